"""A bucket of Google Cloud Storage as a store. Requests are sent through google-cloud-storage.

What it promises, and what each promise rests on (`bucket` has the rest):

- An etag is the object's generation. `Create` is `ifGenerationMatch=0`, `Update` is `ifGenerationMatch=…`.
- Reads go by the XML API over the SDK's own authorised session: only there one answer holds bytes, metadata and generation.
- Files above 8 MiB go up in one resumable upload: after a broken connection the server is asked how far it came, and the
  rest is sent. Parts of a file can't go at once there without either private interfaces of the SDK or further objects. An
  upload that is never finished stays invisible, and the service forgets it after a week.
- The bytes of every put carry a CRC32C (an MD5, where that isn't compiled) that the server verifies.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from jobs.foreign import parse_object
from jobs.json_limits import ANSWER_LIMITS
from regions.storage.bucket import BucketStore
from regions.storage.bucket_rules import Kind, Rule, gcs_lifecycle, gcs_lock, gcs_versions
from regions.storage.errors import (
    NotSupported,
    PreconditionFailed,
    StoreError,
    Unavailable,
)
from regions.storage.gcs.bucket import split_gcs_bucket
from regions.storage.gcs.client import new_client
from regions.storage.gcs.errors import store_error
from regions.storage.gcs.upload import Rest, wire_checksum
from regions.storage.object_metadata import Noted, read_fields
from regions.storage.retry import Retries
from regions.storage.sdk_store import (
    BINARY,
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    SENDS,
    Found,
    Page,
    closing_after,
)
from regions.storage.source import CHUNK_BYTES, SourceFile
from regions.storage.store import Create, Mode, ObjectInfo, Progress, Update
from regions.storage.url import checked_endpoint
from regions.store_config import StoreConfig

_TIMEOUT_S = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
_PAGE: int | None = None
"""As many as the server gives at once (a thousand)."""
_LISTED = "items(name,size,generation,updated),nextPageToken"
_META = "x-goog-meta-"


class GCSStore(BucketStore):
    """The store of a `gs://bucket/prefix` URL; `endpoint` names a server that isn't Google's."""

    file_variables = "GOOGLE_APPLICATION_CREDENTIALS and REQUESTS_CA_BUNDLE"

    single_put_bytes_max = 8 << 20

    def __init__(self, config: StoreConfig) -> None:
        super().__init__(config, *split_gcs_bucket(config.url))
        self._endpoint = checked_endpoint(config.endpoint) if config.endpoint else None

    def _put_object(self, client: Any, name: str, data: bytes, mode: Mode, noted: Noted) -> str:
        blob = self._blob(client, name)
        blob.metadata = noted.fields()
        blob.upload_from_file(
            io.BytesIO(data),
            size=len(data),
            content_type=noted.content_type,
            if_generation_match=_generation(mode),
            checksum=wire_checksum()[0],
            timeout=_TIMEOUT_S,
            retry=None,
        )
        return _etag(blob.generation)

    def _put_large(
        self, key: str, source: SourceFile, sha256: str, nonce: str, content_type: str, progress: Progress
    ) -> tuple[str, str]:
        """Reads the file twice: its checksums go ahead of its bytes. These go in one request, without a buffer."""
        kind, checksum = wire_checksum()
        if sha256:
            deque(map(checksum.update, source.chunks()), maxlen=0)
        else:
            sha256 = source.sha256(checksum.update)
        noted = Noted(sha256, nonce, content_type)
        url = self._call("put", key, lambda client: self._begin(client, self._name(key), source.size_bytes, noted))
        headers = {"X-Goog-Hash": f"{kind}={b64encode(checksum.digest()).decode()}"}
        arrived = 0
        retries = Retries(self.patience)
        while True:
            span = f"bytes {arrived}-{source.size_bytes - 1}/{source.size_bytes}"
            body = Rest(source, sha256, arrived, progress)
            try:
                answer = self._sent(key, url, body, headers | {"Content-Range": span})
            except Unavailable as failure:
                retries.wait(failure)
                answer = self._call("put", key, lambda client: self._ask_how_far(client, url, source.size_bytes))
            if isinstance(answer, str):
                progress(source.size_bytes - body.sent)
                return answer, sha256
            progress(answer - body.sent)
            if answer == source.size_bytes:
                raise Unavailable(f"the upload of {key} has no end", store=self.url, operation="put", key=key)
            if answer > arrived:
                retries = Retries(self.patience)
            arrived = answer

    def _begin(self, client: Any, name: str, size_bytes: int, noted: Noted) -> str:
        blob = self._blob(client, name)
        blob.metadata = noted.fields()
        blob.content_type = noted.content_type
        url: str = blob.create_resumable_upload_session(
            noted.content_type, size_bytes, checksum=None, timeout=_TIMEOUT_S, retry=None
        )
        return url

    def _sent(self, key: str, url: str, body: Rest, headers: Mapping[str, str]) -> int | str:
        """How many bytes the upload has now, or its object's etag when that was the last of them."""

        def send(client: Any) -> int | str:
            return _progress_of(client._http.put(url, data=body, headers=headers, timeout=_TIMEOUT_S))

        return self._once("put", key, send, SENDS)

    def _ask_how_far(self, client: Any, url: str, size_bytes: int) -> int | str:
        headers = {"Content-Range": f"bytes */{size_bytes}", "Content-Length": "0"}
        return _progress_of(client._http.put(url, headers=headers, timeout=_TIMEOUT_S))

    def _head_object(self, client: Any, name: str, key: str) -> Found:
        blob = self._blob(client, name)
        blob.reload(timeout=_TIMEOUT_S, retry=None)
        sha256, nonce, metadata = read_fields(blob.metadata or {})
        etag, content_type = _etag(blob.generation), blob.content_type or BINARY
        return Found(ObjectInfo(key, blob.size, etag, sha256, blob.updated, content_type, metadata), nonce)

    def _read_object(
        self, client: Any, name: str, key: str, start: int, size_bytes: int, etag: str
    ) -> tuple[Found, Generator[bytes, None, None]]:
        from google.api_core.exceptions import from_http_response

        # gzip is accepted so that the server never unpacks an object that is stored packed.
        headers = {"Range": f"bytes={start}-{start + size_bytes - 1}", "Accept-Encoding": "gzip"}
        if etag:
            headers["x-goog-if-generation-match"] = etag
        url = f"{client.api_endpoint}/{self._bucket}/{quote(name, safe='/~')}"
        answer = client._http.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S)
        if answer.status_code == 416:  # it starts at the end: an empty object, or beyond
            answer.close()
            return self._head_object(client, name, key), closing_after(())
        if answer.status_code >= 300:
            raise from_http_response(answer)
        try:
            found = _found(key, answer.headers)
            if etag and found.info.etag != etag:
                what = f"{key} was replaced while it was read"
                raise PreconditionFailed(what, store=self.url, operation="get", key=key)
        except BaseException:
            answer.close()
            raise
        return found, closing_after(answer.raw.stream(CHUNK_BYTES, decode_content=False), answer.close)

    def _list_page(self, client: Any, prefix: str, after: str, token: str | None) -> Page:
        from google.api_core.exceptions import from_http_response

        # As JSON: the SDK's own objects of a listing take most of its time.
        wanted = {"prefix": prefix, "startOffset": after, "pageToken": token, "maxResults": _PAGE, "fields": _LISTED}
        answer = client._http.get(
            f"{client.api_endpoint}/storage/v1/b/{self._bucket}/o",
            params={name: value for name, value in wanted.items() if value},
            timeout=_TIMEOUT_S,
        )
        if answer.status_code >= 300:
            raise from_http_response(answer)
        page = _said(answer)
        objects = [
            ObjectInfo(
                found["name"],
                int(found["size"]),
                _etag(found["generation"]),
                modified=datetime.fromisoformat(found["updated"].replace("Z", "+00:00")),
            )
            for found in page.get("items", ())
        ]
        return Page(objects, page.get("nextPageToken"))

    def _delete_object(self, client: Any, name: str) -> None:
        self._blob(client, name).delete(timeout=_TIMEOUT_S, retry=None)

    def _sign(self, client: Any, name: str, expires_s: int) -> str:
        try:
            url: str = self._blob(client, name).generate_signed_url(
                version="v4", expiration=timedelta(seconds=expires_s), api_access_endpoint=client.api_endpoint
            )
        except AttributeError as error:  # the SDK's way to say it
            raise NotSupported(
                "these credentials can't sign URLs",
                store=self.url,
                operation="sign",
                hint="a service account's key can",
            ) from error
        return url

    def _rules(self, client: Any, kind: Kind) -> Iterable[Rule]:
        from google.api_core.exceptions import from_http_response

        read = {Kind.LIFECYCLE: gcs_lifecycle, Kind.LOCK: gcs_lock, Kind.VERSIONS: gcs_versions}[kind]
        answer = client._http.get(f"{client.api_endpoint}/storage/v1/b/{self._bucket}", timeout=_TIMEOUT_S)
        if answer.status_code >= 300:
            raise from_http_response(answer)
        return read(_said(answer))

    def _date(self, client: Any) -> str | None:
        answer = client._http.get(f"{client.api_endpoint}/storage/v1/b/{self._bucket}", timeout=_TIMEOUT_S)
        date: str | None = answer.headers.get("Date")
        return date

    def _blob(self, client: Any, name: str) -> Any:
        return client.bucket(self._bucket).blob(name)

    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.exceptions import DataCorruption, InvalidPathError, InvalidResponse
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        own = (InvalidResponse, DataCorruption, InvalidPathError)
        # A ValueError is what the SDK says to an answer or a key that it can't read.
        return (GoogleAPIError, GoogleAuthError, *own, RequestException, HTTPError, ValueError)

    def _store_error(self, error: Any, operation: str, key: str) -> StoreError:
        return store_error(error, store=self.url, operation=operation, key=key)

    def _new_client(self) -> Any:
        return new_client(self._config, self._endpoint)


def _generation(mode: Mode) -> int | None:
    if isinstance(mode, Create):
        return 0
    if isinstance(mode, Update):
        if not mode.etag.isdecimal() or mode.etag == "0":
            raise PreconditionFailed(f"{mode.etag!r} is not a valid generation of an object")
        return int(mode.etag)
    return None


def _said(answer: Any) -> dict[str, Any]:
    return parse_object(answer.content, source="the store's answer", limits=ANSWER_LIMITS)


def _progress_of(answer: Any) -> int | str:
    from google.api_core.exceptions import from_http_response

    if answer.status_code == 308:
        return int(answer.headers.get("Range", "bytes=0--1").partition("-")[2]) + 1
    if answer.status_code >= 300:
        raise from_http_response(answer)
    return _etag(_said(answer).get("generation"))


def _etag(generation: object) -> str:
    if generation is None:
        failure = Unavailable(
            "what answers there isn't Google Cloud Storage: it gives no generation",
            hint="check the endpoint of the store",
        )
        failure.is_passing = False
        raise failure
    return str(generation)


def _found(key: str, headers: Mapping[str, str]) -> Found:
    noted = {name[len(_META) :].lower(): value for name, value in headers.items() if name.lower().startswith(_META)}
    sha256, nonce, metadata = read_fields(noted)
    size = headers.get("Content-Range", "").rpartition("/")[2] or headers.get("Content-Length", "0")
    modified = headers.get("Last-Modified")
    info = ObjectInfo(
        key,
        int(size),
        _etag(headers.get("x-goog-generation")),
        sha256,
        parsedate_to_datetime(modified) if modified else None,
        headers.get("Content-Type", BINARY),
        metadata,
    )
    return Found(info, nonce)
