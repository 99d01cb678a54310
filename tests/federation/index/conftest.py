"""Records and indexes for tests."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from federation.index import Index, Row
from federation.index.stores import Stores
from federation.result import Key, ResultFile, ResultRecord, manifest_sha256
from regions.model import Datacenter, Region, StoreConfig
from regions.storage.file.store import FileStore
from regions.storage.store import Create, Store

MakeRecord = Callable[..., ResultRecord]
OpenIndex = Callable[..., Index]


class Clouds:
    """A home and two stores in folders, an index, and results that were really published into them."""

    def __init__(self, root: Path, *, home: Store | None = None, us: Store | None = None) -> None:
        self.root = root
        self.home = home or FileStore(StoreConfig((root / "home").as_uri()))
        self.us = us or FileStore(StoreConfig((root / "us").as_uri()))
        self.eu = FileStore(StoreConfig((root / "eu").as_uri()))
        self.index = self.another_index("cache")
        self.names = [self.us.url, self.eu.url]
        self._numbers = itertools.count(1)

    def another_index(self, cache: str, **given: Any) -> Index:
        return Index(self.home, cache_dir=self.root / cache, author="ann@host", **given)

    def regions(self) -> dict[str, Region]:
        """What a fedml.toml would say: us/us-1 and eu/eu-1, each with its store."""
        return {
            name: Region(name, ("http://127.0.0.1:1",), {f"{name}-1": Datacenter(f"{name}-1", StoreConfig(store.url))})
            for name, store in (("us", self.us), ("eu", self.eu))
        }

    @property
    def stores(self) -> Stores:
        return self.stores_by(lambda config: {self.us.url: self.us, self.eu.url: self.eu}[config.url])

    def stores_by(self, opener: Callable[[StoreConfig], Store]) -> Stores:
        return Stores(self.regions(), opener=opener)

    def store(self, url: str, result: Row | ResultRecord | None = None) -> Store:
        return self.stores.of(url, result)

    def publish(
        self,
        slot: int = 0,
        *,
        region: str = "us",
        run: str = "run-1",
        files: Mapping[str, bytes] | None = None,
        commit: bool = True,
        **given: Any,
    ) -> ResultRecord:
        number = next(self._numbers)
        alloc_id = str(uuid.UUID(int=number << 96 | number))
        files = files or {"model/model.bin": f"model {number}".encode() * 20, "metrics.json": b'{"auc": 0.7}'}
        described = tuple(
            ResultFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in sorted(files.items())
        )
        store = self.us if region == "us" else self.eu
        fields: dict[str, Any] = {
            "key": Key(run, slot, "train", 0),
            "attempt": 1,
            "job": "sales",
            "version": "4",
            "spec_hash": "5pec",
            "region": region,
            "datacenter": f"{region}-1",
            "node": f"{region}-node-1",
            "alloc_id": alloc_id,
            "job_id": f"sales/dispatch-{number}",
            "store": store.url,
            "manifest_sha256": manifest_sha256(described),
            "files": described,
            "created": f"2026-11-24T10:{number:02d}:00Z",
            "metrics": {"auc": 0.7 + number / 100},
            "params": {"epochs": "3"},
        }
        record = ResultRecord(**(fields | given))
        for path, data in files.items():
            store.put(record.artifact_prefix + path, data)
        store.put(record.key.record_key(record.alloc_id), record.to_json(), Create())
        if commit:
            self.index.commit([record])
        return record


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    """Two clouds and a home in folders, empty."""
    made = Clouds(tmp_path)
    yield made
    made.index.close()


@pytest.fixture
def make_record() -> MakeRecord:
    """Builds a valid record; keyword arguments replace its fields, `slot`, `run`, `group`, `index` those of its key."""
    numbers = itertools.count()

    def make(**given: Any) -> ResultRecord:
        number = next(numbers)
        key = Key(
            given.pop("run", "run-1"), given.pop("slot", number), given.pop("group", "train"), given.pop("index", 0)
        )
        data = given.pop("data", b"model")
        fields: dict[str, Any] = {
            "key": key,
            "attempt": 1,
            "job": "sales",
            "version": "4",
            "spec_hash": "s" * 8,
            "region": "us",
            "datacenter": "us-east-1",
            "node": "us-1",
            "alloc_id": str(uuid.UUID(int=(number + 1) << 96)),
            "job_id": f"sales/dispatch-{number}",
            "store": "memory://us",
            "manifest_sha256": hashlib.sha256(data).hexdigest(),
            "files": (ResultFile("model.bin", len(data), hashlib.sha256(data).hexdigest()),),
            "created": "2026-11-24T10:00:00Z",
            "metrics": {"auc": 0.75},
            "params": {"epochs": "3"},
        }
        return ResultRecord(**(fields | given))

    return make


@pytest.fixture
def open_index(tmp_path: Path) -> Iterator[OpenIndex]:
    """Opens indexes (by default with a catalog of their own), and closes them after the test."""
    opened: list[Index] = []

    def open_one(store: Store, cache: str = "", **given: Any) -> Index:
        index = Index(store, cache_dir=tmp_path / (cache or f"cache-{len(opened)}"), author="a@b", **given)
        opened.append(index)
        return index

    yield open_one
    for index in opened:
        index.close()
