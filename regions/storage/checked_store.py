"""Check what a third party's backend answers: `open_store` puts `CheckedStore` around each of its stores.

Listings are held to the same rules as those of fedml's own backends (`pages`), and answers are not larger than what was
asked for. How long one call may take is the backend's own matter: a call that hangs in foreign code can't be ended from
outside without losing what it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from regions.storage.bucket_rules import Kind, Rule
from regions.storage.errors import IntegrityError
from regions.storage.pages import PageOrder
from regions.storage.sdk_store import BINARY, Page
from regions.storage.store import Mode, ObjectInfo, Overwrite, Progress, Store, checked_prefix


class CheckedStore(Store):
    """Another store, whose answers are checked."""

    def __init__(self, store: Store) -> None:
        self.url = store.url
        self.inner = store

    def put(
        self,
        key: str,
        data: bytes,
        mode: Mode = Overwrite(),
        *,
        content_type: str = BINARY,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """See `Store.put`."""
        return self.inner.put(key, data, mode, content_type=content_type, metadata=metadata)

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = BINARY,
        sha256: str = "",
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """See `Store.put_file`."""
        progress = progress or self.progress
        return self.inner.put_file(key, path, content_type=content_type, sha256=sha256, progress=progress)

    def get(self, key: str) -> bytes:
        """See `Store.get`."""
        return self.inner.get(key)

    def get_small(self, key: str, *, limit_bytes: int) -> bytes:
        """See `Store.get_small`."""
        data = self.inner.get_small(key, limit_bytes=limit_bytes)
        if len(data) > limit_bytes:
            raise self.too_large(key, len(data), limit_bytes)
        return data

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> ObjectInfo:
        """See `Store.get_file`."""
        return self.inner.get_file(key, path, progress=progress or self.progress)

    def get_range(self, key: str, start: int, size_bytes: int) -> bytes:
        """See `Store.get_range`."""
        data = self.inner.get_range(key, start, size_bytes)
        if len(data) > size_bytes:
            what = f"{key}: {len(data)} bytes came, {size_bytes} were asked for"
            raise IntegrityError(what, store=self.url, operation="get", key=key)
        return data

    def stat(self, key: str) -> ObjectInfo:
        """See `Store.stat`."""
        return self.inner.stat(key)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`. Raises IntegrityError, Unavailable for a listing that breaks the rules of `pages`."""
        order = PageOrder(self.url, checked_prefix(prefix), is_ordered=True, after=start_after)
        listed = iter(self.inner.list(prefix, start_after=start_after))
        while True:
            with order.timed():
                found = next(listed, None)
            if found is None:
                return
            yield from order.checked(Page([found], None), None)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        self.inner.delete(key)

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `Store.delete_many`."""
        self.inner.delete_many(keys)

    def url_of(self, key: str) -> str:
        """See `Store.url_of`."""
        return self.inner.url_of(key)

    def server_time(self) -> datetime | None:
        """See `Store.server_time`."""
        return self.inner.server_time()

    def signed_url(self, key: str, *, expires_s: int = 3600) -> str:
        """See `Store.signed_url`."""
        return self.inner.signed_url(key, expires_s=expires_s)

    def rules(self, kind: Kind) -> Sequence[Rule]:
        """See `Store.rules`."""
        return self.inner.rules(kind)
