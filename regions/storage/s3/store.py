"""A bucket of S3, or of any server that speaks S3, as a store.

Requests are sent through botocore, boto3's own core. boto3 itself isn't imported: nothing of it is used here, and importing
it takes a third of the time of both.

What it promises, and what each promise rests on (`bucket` has the rest):

- `Create` is `If-None-Match: *` and `Update` is `If-Match`, on single puts. A server that ignores these headers breaks
  the promise silently: `regions.storage.race.race_create` finds out.
- S3's 409 for two conditional writes at the same time is tried again, a bounded number of times.
- Files above 16 MiB go up in parts, some at a time; an upload that fails is aborted, and an object appears only when all
  parts are there. After a kill the parts remain, invisible: a lifecycle rule for incomplete uploads removes them.
- AWS verifies a CRC of the bytes of every put; of other servers, those reached by http a sha256, part of the signature.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from regions.storage.bucket import BucketStore
from regions.storage.bucket_rules import Kind, Rule, s3_lifecycle, s3_lock, s3_versions
from regions.storage.errors import NotSupported, PermissionDenied, StoreError, Unavailable
from regions.storage.object_metadata import Noted, read_fields
from regions.storage.parts import send_file
from regions.storage.s3.errors import store_error
from regions.storage.sdk_store import (
    BINARY,
    CONNECT_TIMEOUT_S,
    CONNECTIONS,
    READ_TIMEOUT_S,
    SENDS,
    SLACK_BYTES,
    Found,
    Limits,
    Page,
    closing_after,
)
from regions.storage.source import CHUNK_BYTES, SourceFile
from regions.storage.store import Create, Mode, ObjectInfo, Progress, Update, checked_key
from regions.storage.url import checked_endpoint, split_bucket
from regions.store_config import StoreConfig

_DELETED_AT_ONCE = 1000
_COMPLETION = Limits(SLACK_BYTES, deadline_s=600.0)
"""S3 may take minutes to put parts together, and sends spaces meanwhile."""
_NO_RULES = ("NoSuchLifecycleConfiguration", "ObjectLockConfigurationNotFoundError")
_UNTOLD = ("NotImplemented", "MethodNotAllowed", "501", "405")


class S3Store(BucketStore):
    """The store of an `s3://bucket/prefix` URL; `endpoint` names a server that isn't AWS."""

    file_variables = "AWS_CA_BUNDLE, AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE"

    def __init__(self, config: StoreConfig) -> None:
        super().__init__(config, *split_bucket(config.url))
        self._endpoint = checked_endpoint(config.endpoint) if config.endpoint else None

    def delete_many(self, keys: Iterable[str]) -> None:
        """See `Store.delete_many`. One request a thousand."""
        names = [self._base + checked_key(key) for key in keys]
        for start in range(0, len(names), _DELETED_AT_ONCE):
            objects = [{"Key": name} for name in names[start : start + _DELETED_AT_ONCE]]
            fields = {"Bucket": self._bucket, "Delete": {"Objects": objects, "Quiet": True}}
            answer = self._call("delete", "", lambda client: client.delete_objects(**fields))  # noqa: B023 - called here
            for failed in answer.get("Errors", ()):
                code, key = failed.get("Code", ""), failed.get("Key", "")[len(self._base) :]
                refusal = {"Error": {"Code": code, "Message": failed.get("Message", "")}}
                if code != "NoSuchKey":
                    raise store_error(_Refusal(refusal), store=self.url, operation="delete", key=key)

    def _put_object(self, client: Any, name: str, data: bytes, mode: Mode, noted: Noted) -> str:
        fields = self._fields(name, noted) | {"Body": data}
        if isinstance(mode, Create):
            fields["IfNoneMatch"] = "*"
        elif isinstance(mode, Update):
            fields["IfMatch"] = f'"{mode.etag}"'
        return _etag(client.put_object(**fields))

    def _put_large(
        self, key: str, source: SourceFile, sha256: str, nonce: str, content_type: str, progress: Progress
    ) -> tuple[str, str]:
        """The sha256 goes ahead of the bytes: where it isn't known, the file is read twice."""
        sha256 = sha256 or source.sha256()
        fields = self._fields(self._name(key), Noted(sha256, nonce, content_type))
        upload = self._call("put", key, lambda client: client.create_multipart_upload(**fields))["UploadId"]
        place = {"Bucket": self._bucket, "Key": self._name(key), "UploadId": upload}

        def send(number: int, body: bytes) -> dict[str, Any]:
            part = place | {"PartNumber": number + 1, "Body": body}
            etag = _etag(self._call("put", key, lambda client: client.upload_part(**part), SENDS))
            progress(len(body))
            return {"PartNumber": number + 1, "ETag": f'"{etag}"'}

        try:
            sent, _ = send_file(source, send, sha256)
            whole = place | {"MultipartUpload": {"Parts": sent}}
            answer = self._call("put", key, lambda client: client.complete_multipart_upload(**whole), _COMPLETION)
            return _etag(answer), sha256
        except BaseException:
            with suppress(StoreError):
                self._once("put", key, lambda client: client.abort_multipart_upload(**place))
            raise

    def _head_object(self, client: Any, name: str, key: str) -> Found:
        return _found(key, client.head_object(Bucket=self._bucket, Key=name))

    def _read_object(
        self, client: Any, name: str, key: str, start: int, size_bytes: int, etag: str
    ) -> tuple[Found, Generator[bytes, None, None]]:
        from botocore.exceptions import ClientError

        fields: dict[str, Any] = {"Bucket": self._bucket, "Key": name}
        if etag:
            fields["IfMatch"] = f'"{etag}"'
        try:
            answer = client.get_object(**fields, Range=f"bytes={start}-{start + size_bytes - 1}")
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 416:
                raise
            return self._head_object(client, name, key), closing_after(
                (), lambda: None
            )  # it starts at the end: an empty object, or beyond
        try:
            body = answer["Body"]
            return _found(key, answer), closing_after(body.iter_chunks(CHUNK_BYTES), body.close)
        except BaseException:
            answer["Body"].close()
            raise

    def _list_page(self, client: Any, prefix: str, after: str, token: str | None) -> Page:
        fields = {"Bucket": self._bucket, "Prefix": prefix}
        if after:
            fields["StartAfter"] = after
        if token is not None:
            fields["ContinuationToken"] = token
        page = client.list_objects_v2(**fields)
        objects = [
            ObjectInfo(found["Key"], found["Size"], _etag(found), modified=found["LastModified"])
            for found in page.get("Contents", ())
        ]
        return Page(objects, page["NextContinuationToken"] if page.get("IsTruncated") else None)

    def _delete_object(self, client: Any, name: str) -> None:
        client.delete_object(Bucket=self._bucket, Key=name)

    def _sign(self, client: Any, name: str, expires_s: int) -> str:
        place = {"Bucket": self._bucket, "Key": name}
        return str(client.generate_presigned_url("get_object", Params=place, ExpiresIn=expires_s))

    def _rules(self, client: Any, kind: Kind) -> Iterable[Rule]:
        from botocore.exceptions import ClientError

        ask, read = {
            Kind.LIFECYCLE: (client.get_bucket_lifecycle_configuration, s3_lifecycle),
            Kind.LOCK: (client.get_object_lock_configuration, s3_lock),
            Kind.VERSIONS: (client.get_bucket_versioning, s3_versions),
        }[kind]
        try:
            return read(ask(Bucket=self._bucket))
        except ClientError as error:
            code = error.response["Error"].get("Code")
            if code in _NO_RULES:
                return ()
            if code in _UNTOLD:
                raise NotSupported(
                    "not readable: this server doesn't tell", store=self.url, operation="look at"
                ) from error
            raise

    def _date(self, client: Any) -> str | None:
        from botocore.exceptions import ClientError

        try:
            answer = client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            answer = error.response
        date: str | None = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        return date

    def _fields(self, name: str, noted: Noted) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": name, "ContentType": noted.content_type, "Metadata": noted.fields()}

    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        return (BotoCoreError, ClientError, ResponseParserError, HTTPError)

    def _store_error(self, error: Any, operation: str, key: str) -> StoreError:
        return store_error(error, store=self.url, operation=operation, key=key)

    def _new_client(self) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.handlers import convert_body_to_file_like_object
        from botocore.session import Session

        from regions.limited_http import limited_pools

        config = self._config
        options: dict[str, Any] = {"retries": {"mode": "standard", "total_max_attempts": 1}}
        options |= {"max_pool_connections": CONNECTIONS}
        options |= {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": READ_TIMEOUT_S}
        if config.anonymous:
            options["signature_version"] = UNSIGNED
            options["ignore_configured_endpoint_urls"] = True  # no AWS_ENDPOINT_URL: it would say where to
        if self._endpoint:
            # Other servers than AWS: the bucket stands in the path, and not all know the newer checksum trailers.
            options["s3"] = {"addressing_style": "path"}
            options |= {
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            }
        keys: dict[str, str] = {}
        if (config.access_key_id is None) != (config.secret_access_key is None):
            raise PermissionDenied(
                "only one of access_key_id and secret_access_key is given",
                store=config.url,
                hint="give both, or neither",
            )
        if config.access_key_id is not None and config.secret_access_key is not None:
            keys["aws_access_key_id"] = config.access_key_id.read()
            keys["aws_secret_access_key"] = config.secret_access_key.read()
        place = {"region_name": config.location, "endpoint_url": self._endpoint}
        session = Session(profile=config.profile)
        session.register_component("data_loader", _descriptions(session.get_config_variable("data_path")))
        client = session.create_client("s3", **place, config=Config(**options), **keys)
        for operation in ("PutObject", "UploadPart"):
            # Bytes go out as they are. As a file, which botocore makes of them, they are announced first (a round trip for
            # each object: `Expect: 100-continue`) and sent in pieces of 16 KiB.
            client.meta.events.unregister(f"before-parameter-build.s3.{operation}", convert_body_to_file_like_object)
        http = client._endpoint.http_session
        limited_pools(http._manager)
        http._pool_classes_by_scheme = http._manager.pool_classes_by_scheme  # for the managers of proxies, made later
        return client


@cache
def _descriptions(data_path: str | None) -> Any:
    """Botocore's descriptions of services, parsed once in a process. Else each store parses them anew."""
    from botocore.loaders import create_loader

    return create_loader(data_path)


class _Refusal(Exception):
    """One object's failure in an answer about many."""

    def __init__(self, response: Mapping[str, Any]) -> None:
        super().__init__()
        self.response = response


def _etag(answer: Mapping[str, Any]) -> str:
    if not answer.get("ETag"):
        failure = Unavailable(
            "what answers there doesn't speak S3: it gives no ETag", hint="check the endpoint of the store"
        )
        failure.is_passing = False
        raise failure
    return str(answer["ETag"]).strip('"')


def _found(key: str, answer: Mapping[str, Any]) -> Found:
    sha256, nonce, metadata = read_fields(answer.get("Metadata", {}))
    size = str(answer.get("ContentRange", "")).rpartition("/")[2]
    info = ObjectInfo(
        key,
        int(size) if size.isdecimal() else answer["ContentLength"],
        _etag(answer),
        sha256,
        answer["LastModified"],
        answer.get("ContentType", BINARY),
        metadata,
    )
    return Found(info, nonce)
