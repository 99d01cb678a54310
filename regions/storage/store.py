"""Contract of every object store.

A mode is atomic or refused with `NotSupported`; it is never "check, then write". Keys are relative to the store's
prefix, `/`-separated UTF-8 without empty, `.` or `..` segments (`checked_key`). All methods may be called from several
threads.
"""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Union

from jobs.frozen import field, frozen
from regions.storage.errors import InvalidStoreURL, NotFound, NotSupported, TooLarge
from regions.storage.file.localfs import mapped_errors, remove_quietly
from regions.storage.source import opened_source

if TYPE_CHECKING:
    from regions.storage.bucket_rules import Kind, Rule


@frozen
class Overwrite:
    """Write, whether the key is free or not."""


@frozen
class Create:
    """Write only if the key is free, else raise AlreadyExists. Of many racing writers exactly one wins."""


@frozen
class Update:
    """Write only if the object still has this etag, else raise PreconditionFailed."""

    etag: str


Mode = Union[Overwrite, Create, Update]  # noqa: UP007 - in the archive for nodes it runs under Python 3.9

Progress = Callable[[int], None]
"""Called with how many bytes more went over, from any thread; with a negative number where a transfer starts again."""

KEY_BYTES_MAX = 1024

_BAD_SEGMENT = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)")
_BAD_CHARACTER = re.compile("[\x00-\x1f\x7f\ud800-\udfff\\\\]")


@frozen
class ObjectInfo:
    """What a store says of one object. `sha256` is lower-case hex, None where the object was not written by us."""

    key: str
    size_bytes: int
    etag: str
    sha256: str | None = None
    modified: datetime | None = None
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(factory=dict)


def checked_key(key: str) -> str:
    """The key itself if it is well-formed. Raises InvalidStoreURL for one that is empty, too long or points elsewhere."""
    problem = ""
    if not key:
        problem = "is empty"
    elif len(key.encode("utf-8", "surrogatepass")) > KEY_BYTES_MAX:
        problem = f"has more than {KEY_BYTES_MAX} bytes"
    elif _BAD_SEGMENT.search(key):
        problem = "has an empty, '.' or '..' segment"
    elif _BAD_CHARACTER.search(key):
        problem = "holds a control character, a lone surrogate or a backslash"
    if problem:
        raise InvalidStoreURL(f"object key {key[:80]!r} {problem}", key=key)
    return key


def checked_prefix(prefix: str) -> str:
    """The listing prefix itself if well-formed keys may start with it (`a/b/`, `a/b`, ``). Raises InvalidStoreURL."""
    folder, slash, _ = prefix.rpartition("/")
    if slash:
        checked_key(folder)
    return prefix


class Store(ABC):
    """One store: a bucket (container, folder) and a prefix in it.

    `url` is the store's own URL, without any secret; `url_of(key)` is where a person finds that object.
    """

    url: str
    endpoint: str | None = None
    """The address of its server; None for the vendor's own, and for a folder."""
    progress: Progress | None = None
    """Called with the bytes of each file's transfer, unless the call itself names another function."""

    @abstractmethod
    def put(
        self,
        key: str,
        data: bytes,
        mode: Mode = Overwrite(),
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Store `data` whole or not at all. Raises AlreadyExists, PreconditionFailed or NotSupported by the mode.

        After a crash or Unavailable the object is there whole or not there. A Create whose answer was lost after it
        succeeded is recognised as one's own by a nonce in the metadata, and returned as success.
        """

    @abstractmethod
    def get(self, key: str) -> bytes:
        """The object's bytes, verified against its sha256 where there is one. Raises NotFound, IntegrityError."""

    def get_small(self, key: str, *, limit_bytes: int) -> bytes:
        """As `get`, for an object that somebody else may have written too large. Raises TooLarge, with its size, for one
        of more than `limit_bytes`, and reads no more than that of it.

        Here its size is asked first; a backend that can read ranges asks for one.
        """
        size_bytes = self.stat(key).size_bytes
        if size_bytes > limit_bytes:
            raise self.too_large(key, size_bytes, limit_bytes)
        data = self.get(key)
        if len(data) > limit_bytes:
            raise self.too_large(key, len(data), limit_bytes)
        return data

    def too_large(self, key: str, size_bytes: int, limit_bytes: int) -> TooLarge:
        """The error for an object of that size."""
        what = f"{key} has {size_bytes:,} bytes; at most {limit_bytes:,} are read of such an object"
        return TooLarge(what, store=self.url, operation="get", key=key)

    @abstractmethod
    def stat(self, key: str) -> ObjectInfo:
        """What the store knows of the object, without its bytes. Raises NotFound."""

    @abstractmethod
    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix` (plain string prefix) and is greater than `start_after`, in
        lexicographic order of the key's UTF-8 bytes, fetched page by page. `sha256` and `metadata` may be absent."""

    def list_at_most(self, prefix: str, *, limit: int) -> Sequence[ObjectInfo]:
        """As `list`, for a place where somebody else may have written more objects than belong there. Raises TooLarge as
        soon as more than `limit` objects come, so a listing without an end is given up too."""
        found = [*islice(self.list(prefix), limit + 1)]
        if len(found) > limit:
            what = f"more than {limit:,} objects are listed below {prefix!r}; at most so many are read there"
            raise TooLarge(what, store=self.url, operation="list", key=prefix)
        return found

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object. It is not an error if it isn't there."""

    @abstractmethod
    def url_of(self, key: str) -> str:
        """The object's own URL (`s3://bucket/prefix/key`, `file:///…`)."""

    @abstractmethod
    def server_time(self) -> datetime | None:
        """The store's own clock (`Date` header; for a folder the file system's), timezone-aware; None if unknown."""

    def put_file(
        self,
        key: str,
        path: Path,
        *,
        content_type: str = "application/octet-stream",
        sha256: str = "",
        progress: Progress | None = None,
    ) -> ObjectInfo:
        """Store a file's bytes (overwriting: large files have keys that hold their own hash) with their sha256.

        Give the `sha256` if it is known: a file of other bytes is refused, and no file has to be read twice. A file that
        changes while it is read is refused too, both with IntegrityError, and nothing is visible. Where a connection
        breaks, what arrived of a large file isn't sent again.

        Here the whole file is in memory for a while; a backend for large files sends it in parts.
        """
        with opened_source(path) as source:
            data = b"".join(source.chunks())
            if sha256 not in ("", hashlib.sha256(data).hexdigest()):
                raise source.changed()
        info = self.put(key, data, content_type=content_type)
        if tell := progress or self.progress:
            tell(info.size_bytes)
        return info

    def get_file(self, key: str, path: Path, *, progress: Progress | None = None) -> ObjectInfo:
        """The object into `path`, verified and placed atomically (a temporary name, then rename).

        Here the whole object is in memory for a while; a backend for large ones gets it in ranges.
        """
        info, data = self.stat(key), self.get(key)
        unfinished = path.with_name(f".{path.name[:60]}.{os.urandom(8).hex()}.part")
        try:
            with mapped_errors("", "write", str(path), is_write=True):
                unfinished.write_bytes(data)
                unfinished.replace(path)
        finally:
            remove_quietly(unfinished)
        if tell := progress or self.progress:
            tell(len(data))
        return info

    def get_range(self, key: str, start: int, size_bytes: int) -> bytes:
        """`size_bytes` of the object from `start` on, fewer at its end and none beyond it. Raises NotFound.

        All of one version of the object; a part can't be held against the sha256 of the whole.
        """
        return self.get(key)[start : start + size_bytes]

    def delete_many(self, keys: Iterable[str]) -> None:
        """Remove the objects. The first failure is raised; some may be removed by then, and it may be repeated."""
        for key in keys:
            self.delete(key)

    def signed_url(self, key: str, *, expires_s: int = 3600) -> str:
        """A URL that reads the object without credentials, valid for `expires_s`. Raises NotSupported where there is none."""
        raise NotSupported(f"this store signs no URLs ({key})", store=self.url, operation="sign", key=key)

    def rules(self, kind: Kind) -> Sequence[Rule]:
        """What the bucket will do by itself to objects of this store, as far as its settings of that kind say.

        Raises PermissionDenied where these credentials may not read them, NotSupported where the store has no such
        settings, or its server doesn't give them.
        """
        raise NotSupported("this store has no such rules", store=self.url, operation="look at")

    def exists(self, key: str) -> bool:
        """Whether the object is there now. Never guard a write with it: modes do that atomically."""
        try:
            self.stat(key)
        except NotFound:
            return False
        return True
