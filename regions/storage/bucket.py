"""Make a whole `Store` of a vendor's few verbs: what S3, GCS and Azure stores have in common.

- Every put carries a nonce in its metadata. Where an answer was lost, or a retry meets its own earlier success, the nonce
  tells, and the put succeeds.
- sha256 lies in the metadata. A read that doesn't match it is done once more (the wire may have flipped a bit), then
  refused.
- Large objects come down by ranges, some at once, at most 64 MiB in memory; a range that breaks off goes on where it
  broke, and always with the etag of the first, so that two versions are never mixed.
- A listing whose pages repeat keys, go backwards or never come to an end is an error, not a loop.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from regions.storage.bucket_rules import Kind, Rule, within
from regions.storage.errors import (
    AlreadyExists,
    IntegrityError,
    InvalidStoreURL,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    StoreError,
    Unavailable,
)
from regions.storage.file.localfs import mapped_errors, remove_quietly
from regions.storage.object_metadata import Noted
from regions.storage.pages import PageOrder
from regions.storage.retry import Retries
from regions.storage.sdk_store import BINARY, SENDS, SLACK_BYTES, Found, Limits, Page, Vendor
from regions.storage.source import opened_source
from regions.storage.store import (
    Create,
    Mode,
    ObjectInfo,
    Overwrite,
    Progress,
    Store,
    checked_key,
    checked_prefix,
)

RANGE_BYTES = 8 << 20
RANGES_AT_ONCE = 4

_READS = 3
_DELETES_AT_ONCE = 16


class BucketStore(Vendor, Store):
    """The store of a `scheme://bucket/prefix` URL."""

    single_put_bytes_max = 16 << 20
    """Files above it go up in parts."""
    lists_in_byte_order = True

    def put(
        self,
        key: str,
        data: bytes,
        mode: Mode = Overwrite(),  # noqa: B008 - a frozen value
        *,
        content_type: str = BINARY,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """See `Store.put`."""
        name = self._name(key)
        noted = Noted(hashlib.sha256(data).hexdigest(), secrets.token_hex(16), content_type, dict(metadata or {}))
        retries = Retries(self.patience)
        while True:
            try:
                etag = self._once("put", key, lambda client: self._put_object(client, name, data, mode, noted), SENDS)
            except (PreconditionFailed, NotFound, Unavailable) as failure:
                if isinstance(failure, NotFound) and not failure.key:  # no such bucket
                    raise
                try:
                    own = self._own(key, noted.nonce)
                except Unavailable as unknown:  # neither success nor "somebody else's" may be told
                    retries.wait(failure if isinstance(failure, Unavailable) else unknown)
                    continue
                if own is None and isinstance(failure, Unavailable):
                    retries.wait(failure)
                    continue
                if own is None:
                    raise self._refused(key, mode) from failure
                etag = own.etag
            return ObjectInfo(key, len(data), etag, noted.sha256, None, content_type, noted.metadata)

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
        self._name(key)
        progress = progress or self.progress
        with opened_source(path) as source:
            if source.size_bytes <= self.single_put_bytes_max:
                data = b"".join(source.chunks())
                if sha256 and hashlib.sha256(data).hexdigest() != sha256:
                    raise source.changed()
                info = self.put(key, data, content_type=content_type)
                if progress is not None:
                    progress(source.size_bytes)
                return info
            nonce = secrets.token_hex(16)
            try:
                etag, sha256 = self._put_large(key, source, sha256, nonce, content_type, progress or _ignore)
            except StoreError as failure:
                found = None
                if not isinstance(failure, (IntegrityError, PermissionDenied)):
                    with suppress(Unavailable):
                        found = self._own(key, nonce)  # only the answer to the last request was lost
                if found is None or found.sha256 is None:
                    raise
                etag, sha256 = found.etag, found.sha256
            return ObjectInfo(key, source.size_bytes, etag, sha256, None, content_type)

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
        """See `Store.list`. Objects whose key could not be asked for (a console's folder markers) are left out."""
        full_prefix = self._base + checked_prefix(prefix)
        after = self._base + start_after if start_after else ""
        for found in self._listed(prefix, full_prefix, after):
            key = found.key[len(self._base) :]
            if key > start_after:
                with suppress(InvalidStoreURL):
                    yield ObjectInfo(checked_key(key), found.size_bytes, found.etag, modified=found.modified)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        name = self._name(key)
        with suppress(NotFound):
            self._call("delete", key, lambda client: self._delete_object(client, name))

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `Store.delete_many`. Some requests at once."""
        names = [checked_key(key) for key in keys]
        pool = ThreadPoolExecutor(_DELETES_AT_ONCE)
        try:
            deque(pool.map(self.delete, names), maxlen=0)
        finally:
            pool.shutdown(cancel_futures=True)

    def url_of(self, key: str) -> str:
        """The store's URL without parameters, then the key."""
        return f"{self.url.rstrip('/')}/{checked_key(key)}"

    def signed_url(self, key: str, *, expires_s: int = 3600) -> str:
        """See `Store.signed_url`."""
        name = self._name(key)
        return self._call("sign", key, lambda client: self._sign(client, name, expires_s))

    def server_time(self) -> datetime | None:
        """The `Date` of the server's answer, to the second; also of one that refuses."""
        date = self._call("ask", "", self._date)
        return parsedate_to_datetime(date) if date else None

    def rules(self, kind: Kind) -> Sequence[Rule]:
        """See `Store.rules`."""
        return within(self._call("look at", "", lambda client: list(self._rules(client, kind))), self._base)

    # How it is done

    def _refused(self, key: str, mode: Mode) -> StoreError:
        if isinstance(mode, Create):
            return AlreadyExists(f"{key} already exists", store=self.url, operation="put", key=key)
        what = f"{key} changed since its etag was read, or is gone"
        return PreconditionFailed(what, store=self.url, operation="put", key=key)

    def _head(self, key: str) -> Found:
        name = self._name(key)
        return self._call("stat", key, lambda client: self._head_object(client, name, key))

    def _own(self, key: str, nonce: str) -> ObjectInfo | None:
        """The object if it is the one of this put; None if not, or if it may not be looked at.

        Raises Unavailable where that can't be told.
        """
        name = self._name(key)
        try:
            found = self._once("stat", key, lambda client: self._head_object(client, name, key))
        except Unavailable:
            raise
        except StoreError:
            return None
        return found.info if found.nonce == nonce else None

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
                        if arrived > size_bytes:  # it goes on and on
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


def _ignore(size_bytes: int) -> None:
    """No progress is wanted."""
