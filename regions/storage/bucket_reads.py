"""Read and list objects of a bucket through a vendor's few verbs.

- A read that doesn't match the sha256 in the metadata is done once more (the wire may have flipped a bit), then refused.
- Large objects come down by ranges, some at once, at most 64 MiB in memory. A range that breaks off goes on where it
  broke, and always with the etag of the first, so that two versions are never mixed.
- A listing whose pages repeat keys, go backwards or never come to an end is an error, not a loop.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from regions.storage.errors import IntegrityError, InvalidStoreURL, PreconditionFailed, Unavailable
from regions.storage.file.localfs import mapped_errors, remove_quietly
from regions.storage.pages import PageOrder
from regions.storage.retry import Retries
from regions.storage.sdk_store import SLACK_BYTES, Found, Limits, Page, SDKStore
from regions.storage.store import ObjectInfo, Progress, Store, checked_key, checked_prefix

RANGE_BYTES = 8 << 20
RANGES_AT_ONCE = 4
_READS = 3


class BucketReads(SDKStore, Store):
    """The reading half of a `BucketStore`."""

    lists_in_byte_order = True

    def get(self, key: str) -> bytes:
        """See `Store.get`."""
        chunks: list[bytes] = []
        self._read(key, chunks.append, chunks.clear)
        return b"".join(chunks)

    def get_small(self, key: str, *, limit_bytes: int) -> bytes:
        """See `Store.get_small`."""
        chunks: list[bytes] = []
        self._read(key, chunks.append, chunks.clear, limit_bytes)
        return b"".join(chunks)

    def get_range(self, key: str, start: int, size_bytes: int) -> bytes:
        """See `Store.get_range`."""
        got = bytearray()
        etag = ""
        while len(got) < size_bytes:
            wanted = min(RANGE_BYTES, size_bytes - len(got))
            found, part = self._range(key, start + len(got), wanted, etag)
            got += part
            etag = found.info.etag
            if len(part) < wanted:
                break
        return bytes(got)

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> ObjectInfo:
        """See `Store.get_file`."""
        progress = progress or self.progress
        unfinished = path.with_name(f".{path.name[:60]}.{secrets.token_hex(8)}.part")
        try:
            with mapped_errors("", "write", str(path), is_write=True), unfinished.open("wb") as file:

                def take(chunk: bytes) -> None:
                    file.write(chunk)
                    if progress is not None:
                        progress(len(chunk))

                def restart() -> None:
                    if progress is not None:
                        progress(-file.tell())
                    file.seek(0)
                    file.truncate()

                info = self._read(key, take, restart)
                file.flush()
                os.fsync(file.fileno())
            with mapped_errors("", "write", str(path), is_write=True):
                unfinished.replace(path)
            return info
        finally:
            remove_quietly(unfinished)

    def stat(self, key: str) -> ObjectInfo:
        """See `Store.stat`."""
        return self._head(key).info

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`. Objects whose key is not valid here (a console's folder markers) are left out."""
        full_prefix = self._base + checked_prefix(prefix)
        after = self._base + start_after if start_after else ""
        for found in self._listed(prefix, full_prefix, after):
            key = found.key[len(self._base) :]
            if key > start_after:
                with suppress(InvalidStoreURL):
                    yield ObjectInfo(checked_key(key), found.size_bytes, found.etag, modified=found.modified)

    def _head(self, key: str) -> Found:
        name = self._name(key)
        return self._call("stat", key, lambda client: self._head_object(client, name, key))

    def _listed(self, prefix: str, full_prefix: str, after: str) -> Iterator[ObjectInfo]:
        """The objects page by page, as the vendor orders them. Raises IntegrityError where the pages contradict."""
        pages = PageOrder(self.url, full_prefix, is_ordered=self.lists_in_byte_order)
        token: str | None = None
        while True:

            def ask(client: Any, token: str | None = token) -> Page:
                return self._list_page(client, full_prefix, after, token)

            with pages.timed():
                page = self._call("list", prefix, ask)
            yield from pages.checked(page, token)
            token = page.token
            if token is None:
                return

    def _read(
        self,
        key: str,
        take: Callable[[bytes], object],
        restart: Callable[[], object],
        limit_bytes: int | None = None,
    ) -> ObjectInfo:
        """Streams the object into `take`, from its start again where it was replaced meanwhile, and verifies it."""
        for reads_left in reversed(range(_READS)):
            restart()
            digest = hashlib.sha256()
            try:
                for found, chunk in self._ranges(key, limit_bytes):
                    info = found.info
                    digest.update(chunk)
                    take(chunk)
            except PreconditionFailed as error:
                if not reads_left:
                    raise Unavailable(
                        f"{key} changes faster than it can be read", store=self.url, operation="get", key=key
                    ) from error
                continue
            if info.sha256 in (None, digest.hexdigest()):
                return info
            if reads_left < _READS - 1:
                break
        raise IntegrityError(
            f"{key} has sha256 {digest.hexdigest()}, but {info.sha256} was written",
            store=self.url,
            operation="get",
            key=key,
            hint="the object was damaged or rewritten behind the store's back: publish it again",
        )

    def _ranges(self, key: str, limit_bytes: int | None = None) -> Iterator[tuple[Found, bytes]]:
        """All of the object, in order; the later ranges some at once. Raises TooLarge."""
        first_bytes = RANGE_BYTES if limit_bytes is None else min(RANGE_BYTES, limit_bytes + 1)
        found, first = self._range(key, 0, first_bytes, "")
        if limit_bytes is not None and found.info.size_bytes > limit_bytes:
            raise self.too_large(key, found.info.size_bytes, limit_bytes)
        yield found, first
        starts = range(len(first), found.info.size_bytes, RANGE_BYTES)
        if not starts:
            return
        pool = ThreadPoolExecutor(RANGES_AT_ONCE)
        try:
            pending: deque[Future[tuple[Found, bytes]]] = deque()
            for start in starts:
                if len(pending) == RANGES_AT_ONCE:
                    yield pending.popleft().result()
                pending.append(pool.submit(self._range, key, start, RANGE_BYTES, found.info.etag))
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _range(self, key: str, start: int, size_bytes: int, etag: str) -> tuple[Found, bytes]:
        """Up to that many bytes of the object at that etag (empty: whichever it has now), gone on with where it breaks."""
        name = self._name(key)
        chunks: list[bytes] = []
        arrived = 0
        retries = Retries(self.patience)
        while True:

            def read(client: Any) -> Found:
                nonlocal etag, arrived
                found, body = self._read_object(client, name, key, start + arrived, size_bytes - arrived, etag)
                etag = found.info.etag
                with closing(body):
                    for chunk in body:
                        chunks.append(chunk)
                        arrived += len(chunk)
                        if arrived > size_bytes:  # more than was asked for
                            break
                return found

            try:
                found = self._once("get", key, read, Limits(size_bytes + SLACK_BYTES, is_data=True))
                expected = min(size_bytes, max(0, found.info.size_bytes - start))
                if arrived > expected:
                    raise IntegrityError(
                        f"{key}: {arrived} bytes came, {expected} were asked for", store=self.url, key=key
                    )
                if arrived == expected:
                    return found, b"".join(chunks)
                raise Unavailable(f"the body of {key} broke off", store=self.url, operation="get", key=key)
            except Unavailable as failure:
                retries.wait(failure)
