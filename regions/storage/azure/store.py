"""A container of Azure Blob Storage as a store. Requests are sent through azure-storage-blob.

What it promises, and what each promise rests on (`bucket` has the rest):

- `Create` is `If-None-Match: *` and `Update` is `If-Match`, on single puts (Put Blob), whatever their size.
- Files above 16 MiB go up as blocks, some at a time; the blob appears when the list of them is committed. Blocks of an
  upload that failed stay invisible, and the service drops them after a week. No request removes them earlier.
- Azure lists without a start: what comes up to `start_after` is read and left out. `order` corrects its order.
- The bytes of every put carry an MD5 that the server verifies.

Metadata is one field of JSON, since Azure's names must be identifiers.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.foreign import parse_object
from regions.storage.azure.account import split_account
from regions.storage.azure.client import container_client, service_client
from regions.storage.azure.errors import store_error
from regions.storage.azure.order import in_byte_order
from regions.storage.bucket import BucketStore
from regions.storage.bucket_rules import Kind, Rule, azure_lock, azure_versions
from regions.storage.errors import NotSupported, StoreError, Unavailable
from regions.storage.object_metadata import Noted
from regions.storage.parts import send_file
from regions.storage.sdk_store import (
    BINARY,
    SENDS,
    Found,
    Page,
    closing_after,
)
from regions.storage.source import SourceFile
from regions.storage.store import Create, Mode, ObjectInfo, Progress, Update
from regions.storage.url import checked_endpoint
from regions.store_config import StoreConfig

_SHA256, _NONCE, _METADATA = "fedml_sha256", "fedml_nonce", "fedml_metadata"
_PAGE = 5000


class AzureStore(BucketStore):
    """The store of an `az://account/container/prefix` URL; `endpoint` names a server that isn't the account's own."""

    file_variables = "REQUESTS_CA_BUNDLE and AZURE_FEDERATED_TOKEN_FILE"

    def __init__(self, config: StoreConfig) -> None:
        self._account, container, prefix = split_account(config.url)
        super().__init__(config, container, prefix)
        self._endpoint = checked_endpoint(config.endpoint) if config.endpoint else None

    lists_in_byte_order = False

    def _listed(self, prefix: str, full_prefix: str, after: str) -> Iterator[ObjectInfo]:
        return in_byte_order(super()._listed(prefix, full_prefix, after), self.url)

    def _put_object(self, client: Any, name: str, data: bytes, mode: Mode, noted: Noted) -> str:
        from azure.storage.blob import ContentSettings

        answer = client.get_blob_client(name).upload_blob(
            data,
            length=len(data),
            metadata=_metadata(noted),
            content_settings=ContentSettings(content_type=noted.content_type),
            validate_content=True,
            **_condition(mode),
        )
        return _etag(answer["etag"])

    def _put_large(
        self, key: str, source: SourceFile, sha256: str, nonce: str, content_type: str, progress: Progress
    ) -> tuple[str, str]:
        """Reads the file once: its sha256 goes with the list of its blocks."""
        from azure.storage.blob import BlobBlock, ContentSettings

        name = self._name(key)

        def send(number: int, body: bytes) -> str:
            block = f"{nonce}-{number:06d}"

            def stage(client: Any) -> None:
                client.get_blob_client(name).stage_block(block, body, len(body), validate_content=True)

            self._call("put", key, stage, SENDS)
            progress(len(body))
            return block

        sent, sha256 = send_file(source, send, sha256)
        blocks = [BlobBlock(block) for block in sent]
        noted = Noted(sha256, nonce, content_type)

        def commit(client: Any) -> Any:
            settings = ContentSettings(content_type=content_type)
            blob = client.get_blob_client(name)
            return blob.commit_block_list(
                blocks, metadata=_metadata(noted), content_settings=settings, validate_content=True
            )

        return _etag(self._call("put", key, commit)["etag"]), noted.sha256

    def _head_object(self, client: Any, name: str, key: str) -> Found:
        properties = client.get_blob_client(name).get_blob_properties()
        return _found(key, properties, properties.size)

    def _read_object(
        self, client: Any, name: str, key: str, start: int, size_bytes: int, etag: str
    ) -> tuple[Found, Generator[bytes, None, None]]:
        from azure.core.exceptions import HttpResponseError

        condition = _condition(Update(etag)) if etag else {}
        condition.pop("overwrite", None)
        try:
            body = client.get_blob_client(name).download_blob(start, size_bytes, max_concurrency=1, **condition)
        except HttpResponseError as error:
            if error.status_code != 416:
                raise
            return self._head_object(client, name, key), closing_after(())  # it starts beyond the end
        size = str(body.properties.content_range or "").rpartition("/")[2]
        found = _found(key, body.properties, int(size) if size.isdecimal() else body.size)
        return found, closing_after(body.chunks())

    def _list_page(self, client: Any, prefix: str, after: str, token: str | None) -> Page:
        pages = client.list_blobs(name_starts_with=prefix or None, results_per_page=_PAGE).by_page(token)
        objects = [
            ObjectInfo(blob.name, blob.size, _etag(blob.etag), modified=blob.last_modified) for blob in next(pages, ())
        ]
        return Page(objects, pages.continuation_token or None)

    def _delete_object(self, client: Any, name: str) -> None:
        client.get_blob_client(name).delete_blob(delete_snapshots="include")

    def _sign(self, client: Any, name: str, expires_s: int) -> str:
        from azure.storage.blob import BlobSasPermissions, generate_blob_sas

        key = getattr(client.credential, "account_key", None)
        now = datetime.now(UTC)
        ends = now + timedelta(seconds=expires_s)
        signer: dict[str, Any] = {"account_key": key}
        if key is None:
            if not hasattr(client.credential, "get_token"):
                raise NotSupported(
                    "these credentials can't sign URLs", store=self.url, operation="sign", hint="an account key can"
                )
            delegated = service_client(
                self._config, self._account, self._endpoint, client.credential
            ).get_user_delegation_key(now - timedelta(minutes=5), ends)
            signer = {"user_delegation_key": delegated}
        signature = generate_blob_sas(
            self._account, self._bucket, name, permission=BlobSasPermissions(read=True), expiry=ends, **signer
        )
        return f"{client.get_blob_client(name).url.partition('?')[0]}?{signature}"

    def _rules(self, client: Any, kind: Kind) -> Iterable[Rule]:
        if kind is Kind.LOCK:
            container = client.get_container_properties()
            return azure_lock(
                has_immutability_policy=bool(container.has_immutability_policy),
                has_legal_hold=bool(container.has_legal_hold),
            )
        if kind is Kind.VERSIONS:
            kept = service_client(
                self._config, self._account, self._endpoint, client.credential
            ).get_service_properties()["delete_retention_policy"]
            return azure_versions(kept.days if kept.enabled else None)
        raise NotSupported(
            "not readable from here, only by the account's management",
            store=self.url,
            operation="look at",
            hint=f"az storage account management-policy show --account-name {self._account} --resource-group GROUP",
        )

    def _service(self, client: Any) -> Any:
        return service_client(self._config, self._account, self._endpoint, client.credential)

    def _date(self, client: Any) -> str | None:
        from azure.core.exceptions import HttpResponseError

        dates: list[str | None] = []
        try:
            client.get_container_properties(
                raw_response_hook=lambda answer: dates.append(answer.http_response.headers.get("Date"))
            )
        except HttpResponseError as error:
            if error.response is None:
                raise
            return str(error.response.headers.get("Date") or "") or None
        return dates[0] if dates else None

    def make_container(self) -> None:
        """The container, if it isn't there yet."""
        from azure.core.exceptions import ResourceExistsError

        def make(client: Any) -> None:
            with suppress(ResourceExistsError):
                client.create_container()

        self._call("make", "", make)

    def _sdk_errors(self) -> tuple[type[Exception], ...]:
        from azure.core.exceptions import AzureError, DeserializationError, SerializationError
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        # A ValueError is what the SDK says to an answer, a key or a token that it can't read.
        return (AzureError, SerializationError, DeserializationError, RequestException, HTTPError, ValueError)

    def _store_error(self, error: Any, operation: str, key: str) -> StoreError:
        return store_error(error, store=self.url, operation=operation, key=key)

    def _new_client(self) -> Any:
        return container_client(self._config, self._account, self._bucket, self._endpoint)


def _condition(mode: Mode) -> dict[str, Any]:
    from azure.core import MatchConditions

    if isinstance(mode, Update):
        return {"overwrite": True, "etag": f'"{mode.etag}"', "match_condition": MatchConditions.IfNotModified}
    return {"overwrite": not isinstance(mode, Create)}


def _metadata(noted: Noted) -> dict[str, str]:
    fields = {_SHA256: noted.sha256, _NONCE: noted.nonce}
    if noted.metadata:
        fields[_METADATA] = json.dumps(dict(noted.metadata))
    return fields


def _etag(etag: object) -> str:
    if not etag:
        failure = Unavailable(
            "what answers there isn't Azure Blob Storage: it gives no ETag", hint="check the endpoint of the store"
        )
        failure.is_passing = False
        raise failure
    return str(etag).strip('"')


def _found(key: str, properties: Any, size_bytes: int) -> Found:
    noted: Mapping[str, str] = properties.metadata or {}
    sha256 = noted.get(_SHA256)
    metadata = parse_object(noted.get(_METADATA, "{}"), source=f"the metadata of {key}") if sha256 else dict(noted)
    info = ObjectInfo(
        key,
        size_bytes,
        _etag(properties.etag),
        sha256,
        properties.last_modified,
        properties.content_settings.content_type or BINARY,
        metadata,
    )
    return Found(info, noted.get(_NONCE))
