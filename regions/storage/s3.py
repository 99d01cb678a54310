"""A bucket of S3, or of any server that speaks S3, as a store: keys and bytes enter, requests leave through boto3.

What holds, and on what it rests:

- `Create` is `If-None-Match: *` and `Update` is `If-Match`, on single puts. A server that ignores these headers breaks
  the promise without a word: `regions.storage.conformance.race_create` finds out.
- Every put carries a nonce in its metadata. Where a retry meets its own earlier success (412, or no answer at all), the
  nonce tells, and the put succeeds.
- S3's 409 for two conditional writes at the same time is tried again, a bounded number of times.
- sha256 lies in the metadata and is verified by every `get`. Metadata names are lower-case ASCII; values may be Unicode.
- Files above 16 MiB go up in parts, at most 64 MiB in memory whatever the file's size; an upload that fails is aborted,
  and an object appears only when all parts are there. After a kill the parts remain, invisible: a lifecycle rule for
  incomplete uploads removes them.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from regions.model import StoreConfig
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
from regions.storage.localfs import mapped_errors, remove_quietly
from regions.storage.s3_errors import RequestConflict, store_error
from regions.storage.s3_parts import part_bytes, put_parts
from regions.storage.source import CHUNK_BYTES, opened_source
from regions.storage.store import Create, Mode, ObjectInfo, Overwrite, Store, Update, checked_key, checked_prefix
from regions.storage.url import checked_endpoint, split_bucket

T = TypeVar("T")

SINGLE_PUT_BYTES_MAX = 16 << 20

_BINARY = "application/octet-stream"
_SHA256 = "fedml-sha256"
_NONCE = "fedml-nonce"
_TRIES = 10
_READ_TRIES = 3
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class S3Store(Store):
    """The store of an `s3://bucket/prefix` URL; `endpoint` names a server that isn't AWS."""

    def __init__(self, config: StoreConfig) -> None:
        self.url = config.url
        self._config = config
        self._endpoint = checked_endpoint(config.endpoint) if config.endpoint else None
        self._bucket, prefix = split_bucket(config.url)
        self._base = f"{prefix}/" if prefix else ""
        self._lock = Lock()
        self._client: Any = None

    def put(
        self,
        key: str,
        data: bytes,
        mode: Mode = Overwrite(),  # noqa: B008 - a frozen value
        *,
        content_type: str = _BINARY,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """See `Store.put`."""
        sha256 = hashlib.sha256(data).hexdigest()
        nonce = secrets.token_hex(16)
        fields = self._fields(key, sha256, nonce, content_type, metadata or {}) | {"Body": data}
        if isinstance(mode, Create):
            fields["IfNoneMatch"] = "*"
        elif isinstance(mode, Update):
            fields["IfMatch"] = f'"{mode.etag}"'
        etag = self._put(key, fields, mode, nonce)
        return ObjectInfo(key, len(data), etag, sha256, None, content_type, dict(metadata or {}))

    def put_file(self, key: str, path: Path, *, content_type: str = _BINARY) -> ObjectInfo:
        """See `Store.put_file`. Reads the file twice: its sha256 goes ahead of its bytes."""
        with opened_source(path) as source:
            if source.size_bytes <= SINGLE_PUT_BYTES_MAX:
                return self.put(key, b"".join(source.chunks()), content_type=content_type)
            digests, sha256 = source.digests(part_bytes(source.size_bytes))
            fields = self._fields(key, sha256, secrets.token_hex(16), content_type, {})
            answer = put_parts(partial(self._call, "put", key), fields, source, digests)
            return ObjectInfo(key, source.size_bytes, _etag(answer), sha256, None, content_type)

    def get(self, key: str) -> bytes:
        """See `Store.get`."""
        chunks: list[bytes] = []
        self._read(key, chunks.append, chunks.clear)
        return b"".join(chunks)

    def get_file(self, key: str, path: Path) -> ObjectInfo:
        """See `Store.get_file`."""
        unfinished = path.with_name(f".{path.name[:60]}.{secrets.token_hex(8)}.part")
        try:
            with mapped_errors("", "write", str(path), is_write=True), unfinished.open("wb") as file:

                def restart() -> None:
                    file.seek(0)
                    file.truncate()

                info = self._read(key, file.write, restart)
                file.flush()
                os.fsync(file.fileno())
            with mapped_errors("", "write", str(path), is_write=True):
                unfinished.replace(path)
            return info
        finally:
            remove_quietly(unfinished)

    def stat(self, key: str) -> ObjectInfo:
        """See `Store.stat`."""
        return _info(key, self._head(key))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`. Objects whose key could not be asked for (a console's folder markers) are left out."""
        fields: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._base + checked_prefix(prefix)}
        if start_after:
            fields["StartAfter"] = self._base + start_after
        while True:
            page = self._call("list", prefix, lambda client: client.list_objects_v2(**fields))
            for found in page.get("Contents", ()):
                with suppress(InvalidStoreURL):
                    key = checked_key(found["Key"][len(self._base) :])
                    yield ObjectInfo(key, found["Size"], _etag(found), modified=found["LastModified"])
            if not page.get("IsTruncated"):
                return
            fields["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        fields = {"Bucket": self._bucket, "Key": self._base + checked_key(key)}
        with suppress(NotFound):
            self._call("delete", key, lambda client: client.delete_object(**fields))

    def url_of(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return f"s3://{self._bucket}/{self._base}{checked_key(key)}"

    def server_time(self) -> datetime | None:
        """The `Date` of the server's answer, to the second; also of one that refuses."""
        from botocore.exceptions import ClientError

        def ask(client: Any) -> Mapping[str, Any]:
            try:
                return client.head_bucket(Bucket=self._bucket)  # type: ignore[no-any-return]
            except ClientError as error:
                return error.response  # type: ignore[no-any-return]

        date = self._call("ask", "", ask).get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        return parsedate_to_datetime(date) if date else None

    def _fields(
        self, key: str, sha256: str, nonce: str, content_type: str, metadata: Mapping[str, str]
    ) -> dict[str, Any]:
        noted = {name: quote(value, safe=_PLAIN) for name, value in metadata.items()}
        return {
            "Bucket": self._bucket,
            "Key": self._base + checked_key(key),
            "ContentType": content_type,
            "Metadata": noted | {_SHA256: sha256, _NONCE: nonce},
        }

    def _put(self, key: str, fields: Mapping[str, Any], mode: Mode, nonce: str) -> str:
        """Sends a single put, again on 409, and looks whose object it is when the answer leaves that open."""
        failure: StoreError = RequestConflict(f"put of {key} failed", store=self.url, operation="put", key=key)
        for attempt in range(_TRIES):
            try:
                return _etag(self._call("put", key, lambda client: client.put_object(**fields)))
            except RequestConflict as error:
                failure = error
                time.sleep(random.uniform(0.01, 0.05) * (attempt + 1))  # noqa: S311 - jitter
            except (PreconditionFailed, Unavailable) as error:
                failure = error
                break
            except NotFound as error:
                if not error.key:  # no such bucket
                    raise
                failure = error
                break
        with suppress(StoreError):
            head = self._head(key)
            if head.get("Metadata", {}).get(_NONCE) == nonce:
                return _etag(head)
        if isinstance(failure, Unavailable):
            raise failure
        if isinstance(mode, Create):
            raise AlreadyExists(f"{key} already exists", store=self.url, operation="put", key=key) from failure
        what = f"{key} changed since its etag was read, or is gone"
        raise PreconditionFailed(what, store=self.url, operation="put", key=key) from failure

    def _head(self, key: str) -> Mapping[str, Any]:
        fields = {"Bucket": self._bucket, "Key": self._base + checked_key(key)}
        return self._call("stat", key, lambda client: client.head_object(**fields))

    def _read(self, key: str, take: Callable[[bytes], object], restart: Callable[[], object]) -> ObjectInfo:
        """Streams the object into `take`, from its start again after a broken connection, and verifies it."""
        fields = {"Bucket": self._bucket, "Key": self._base + checked_key(key)}
        for attempt in range(_READ_TRIES):
            restart()
            digest = hashlib.sha256()
            try:
                answer = self._call("get", key, lambda client: client.get_object(**fields))
                with self._door("get", key):
                    for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                        digest.update(chunk)
                        take(chunk)
            except Unavailable:
                if attempt + 1 == _READ_TRIES:
                    raise
                continue
            info = _info(key, answer)
            if info.sha256 not in (None, digest.hexdigest()):
                raise IntegrityError(
                    f"{key} has sha256 {digest.hexdigest()}, but {info.sha256} was written",
                    store=self.url,
                    operation="get",
                    key=key,
                    hint="the object was damaged or reunfinished behind the store's back: publish it again",
                )
            return info
        raise AssertionError("unreachable: the last try returns or raises")

    def _call(self, operation: str, key: str, request: Callable[[Any], T]) -> T:
        """One request. Credential references are read anew, once, when the store refuses what they gave before."""
        try:
            with self._door(operation, key):
                return request(self._opened())
        except PermissionDenied:
            if self._config.access_key_id is None:
                raise
        with self._lock:
            self._client = None
        with self._door(operation, key):
            return request(self._opened())

    @contextmanager
    def _door(self, operation: str, key: str) -> Iterator[None]:
        """The one door: no error of the SDK passes it."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except (BotoCoreError, ClientError, ResponseParserError, HTTPError) as error:
            raise store_error(error, store=self.url, operation=operation, key=key) from error

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _new_client(self._config, self._endpoint)
            return self._client


def _new_client(config: StoreConfig, endpoint: str | None) -> Any:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    options: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": 5}, "max_pool_connections": 64}
    options |= {"connect_timeout": 10, "read_timeout": 60}
    if config.anonymous:
        options["signature_version"] = UNSIGNED
    if endpoint:
        # Other servers than AWS: the bucket stands in the path, and not all know the newer checksum trailers.
        options["s3"] = {"addressing_style": "path"}
        options |= {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    keys: dict[str, str] = {}
    if (config.access_key_id is None) != (config.secret_access_key is None):
        raise PermissionDenied(
            "only one of access_key_id and secret_access_key is given", store=config.url, hint="give both, or neither"
        )
    if config.access_key_id is not None and config.secret_access_key is not None:
        keys["aws_access_key_id"] = config.access_key_id.read()
        keys["aws_secret_access_key"] = config.secret_access_key.read()
    session = boto3.session.Session(profile_name=config.profile, region_name=config.location)
    return session.client("s3", endpoint_url=endpoint, config=Config(**options), **keys)


def _etag(answer: Mapping[str, Any]) -> str:
    if not answer.get("ETag"):
        raise Unavailable(
            "what answers there doesn't speak S3: it gives no ETag", hint="check the endpoint of the store"
        )
    return str(answer["ETag"]).strip('"')


def _info(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    noted = dict(answer.get("Metadata", {}))
    sha256 = noted.pop(_SHA256, None)
    noted.pop(_NONCE, None)
    return ObjectInfo(
        key,
        answer["ContentLength"],
        _etag(answer),
        sha256,
        answer["LastModified"],
        answer.get("ContentType", _BINARY),
        {name: unquote(value) for name, value in noted.items()} if sha256 else noted,
    )
