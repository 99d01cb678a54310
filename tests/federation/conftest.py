"""Stores for tests of what is built upon stores: one in memory, one that loses answers, and the emulators."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from regions.storage.errors import AlreadyExists, NotFound, NotSupported, Unavailable
from regions.storage.store import Create, Mode, ObjectInfo, Overwrite, Store, Update, checked_key
from tests.emulators.fixtures import (  # noqa: F401 - fixtures
    aws_credentials,
    azure_config,
    azurite_endpoint,
    file_config,
    gcs_config,
    gcs_endpoint,
    moto_endpoint,
    rclone_config,
    s3_config,
    s3rver_config,
    seaweed_config,
    seaweed_endpoint,
)


class MemoryStore(Store):
    """A dictionary that keeps the promises of a store, and counts requests."""

    def __init__(self, url: str = "memory://home") -> None:
        self.url = url
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.clock: Callable[[], datetime | None] = lambda: datetime.now(UTC)
        self._lock = threading.Lock()

    def put(
        self,
        key: str,
        data: bytes,
        mode: Mode = Overwrite(),
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        if isinstance(mode, Update):
            raise NotSupported("no Update here", store=self.url, key=key)
        with self._lock:
            self.requests.append(("put", key))
            if isinstance(mode, Create) and checked_key(key) in self.objects:
                raise AlreadyExists(f"{key} is taken", store=self.url, operation="put", key=key)
            self.objects[key] = data
        return self._info(key, data)

    def put_file(
        self, key: str, path: Path, *, content_type: str = "application/octet-stream", sha256: str = ""
    ) -> ObjectInfo:
        return self.put(key, path.read_bytes())

    def get(self, key: str) -> bytes:
        with self._lock:
            self.requests.append(("get", key))
            if key not in self.objects:
                raise NotFound(f"no {key}", store=self.url, operation="get", key=key)
            return self.objects[key]

    def get_small(self, key: str, *, limit_bytes: int) -> bytes:
        data = self.get(key)
        if len(data) > limit_bytes:
            raise self.too_large(key, len(data), limit_bytes)
        return data

    def get_file(self, key: str, path: Path) -> ObjectInfo:
        data = self.get(key)
        path.write_bytes(data)
        return self._info(key, data)

    def stat(self, key: str) -> ObjectInfo:
        return self._info(key, self.get(key))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        for key in sorted(self.objects, key=str.encode):
            if key.startswith(prefix) and key > start_after:
                yield self._info(key, self.objects[key])

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def url_of(self, key: str) -> str:
        return f"{self.url}/{key}"

    def server_time(self) -> datetime | None:
        return self.clock()

    def _info(self, key: str, data: bytes) -> ObjectInfo:
        etag, sha256 = hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest()
        return ObjectInfo(key, len(data), etag, sha256, modified=self.clock())


class FaultyStore(MemoryStore):
    """Another store, behind a bad line: each request may be lost, before or after it took effect, and a read may be
    stale (not found though it is there). Faults come from `seed`; `fault_rate` 0 is a good line."""

    def __init__(self, store: Store, *, seed: int = 0, fault_rate: float = 0.2) -> None:
        super().__init__(store.url)
        self.inner = store
        self.fault_rate = fault_rate
        self.script: list[str] = []
        """Faults for the next requests, used up before any random ones: `ok`, `before`, `after`, `stale`."""
        self._random = random.Random(seed)

    def _fault(self, *choices: str) -> str:
        if self.script:
            return self.script.pop(0)
        return self._random.choice(choices) if self._random.random() < self.fault_rate else "ok"

    def put(
        self,
        key: str,
        data: bytes,
        mode: Mode = Overwrite(),
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        fault = self._fault("before", "after")
        if fault == "before":
            raise Unavailable("lost request", store=self.url, operation="put", key=key)
        info = self.inner.put(key, data, mode, content_type=content_type, metadata=metadata)
        if fault == "after":
            raise Unavailable("lost answer", store=self.url, operation="put", key=key)
        return info

    def get(self, key: str) -> bytes:
        fault = self._fault("before", "stale")
        if fault == "before":
            raise Unavailable("lost request", store=self.url, operation="get", key=key)
        if fault == "stale":
            raise NotFound(f"no {key} yet", store=self.url, operation="get", key=key)
        return self.inner.get(key)

    def server_time(self) -> datetime | None:
        return self.inner.server_time()


@pytest.fixture
def memory_store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def faulty() -> type[FaultyStore]:
    return FaultyStore
