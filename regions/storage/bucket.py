"""Make a whole `Store` of a vendor's few verbs: what S3, GCS and Azure stores have in common.

Every put carries a nonce in its metadata. Where an answer was lost, or a retry meets its own earlier success, the nonce
tells so, and the put succeeds. The sha256 lies in the metadata too; `bucket_reads` verifies it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from regions.storage.bucket_reads import BucketReads
from regions.storage.bucket_rules import Kind, Rule, within
from regions.storage.errors import (
    AlreadyExists,
    IntegrityError,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    StoreError,
    Unavailable,
)
from regions.storage.object_metadata import Noted
from regions.storage.retry import Retries
from regions.storage.sdk_store import BINARY, SENDS
from regions.storage.source import opened_source
from regions.storage.store import (
    Create,
    Mode,
    ObjectInfo,
    Overwrite,
    Progress,
    checked_key,
)

_DELETES_AT_ONCE = 16


class BucketStore(BucketReads):
    """The store of a `scheme://bucket/prefix` URL."""

    single_put_bytes_max = 16 << 20
    """Files above it go up in parts."""

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
        noted = Noted(hashlib.sha256(data).hexdigest(), secrets.token_hex(16), content_type, dict(metadata or {}))
        return self._put(key, data, mode, noted)

    def _put(self, key: str, data: bytes, mode: Mode, noted: Noted) -> ObjectInfo:
        name = self._name(key)
        retries = Retries(self.patience)
        while True:
            try:
                etag = self._once("put", key, lambda client: self._put_object(client, name, data, mode, noted), SENDS)
            except (PreconditionFailed, NotFound, Unavailable) as failure:
                if isinstance(failure, NotFound) and not failure.key:  # no such bucket
                    raise
                try:
                    own = self._own(key, noted.nonce)
                except Unavailable as unknown:  # neither success nor "somebody else's" is certain
                    retries.wait(failure if isinstance(failure, Unavailable) else unknown)
                    continue
                if own is None and isinstance(failure, Unavailable):
                    retries.wait(failure)
                    continue
                if own is None:
                    raise self._refused(key, mode) from failure
                etag = own.etag
            return ObjectInfo(key, len(data), etag, noted.sha256, None, noted.content_type, noted.metadata)

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
                noted = Noted(hashlib.sha256(data).hexdigest(), secrets.token_hex(16), content_type)
                if sha256 not in ("", noted.sha256):
                    raise source.changed()
                info = self._put(key, data, Overwrite(), noted)
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

    def _own(self, key: str, nonce: str) -> ObjectInfo | None:
        """The object if it is the one of this put; None if not, or if it may not be looked at.

        Raises Unavailable where that can't be found out.
        """
        name = self._name(key)
        try:
            found = self._once("stat", key, lambda client: self._head_object(client, name, key))
        except Unavailable:
            raise
        except StoreError:
            return None
        return found.info if found.nonce == nonce else None


def _ignore(size_bytes: int) -> None:
    """Used where no progress is wanted."""
