"""Azure's clients, their connections and their credentials."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from regions.storage.azure.errors import CREDENTIALS
from regions.storage.bucket_reads import RANGE_BYTES
from regions.storage.errors import PermissionDenied
from regions.storage.sdk_store import CONNECT_TIMEOUT_S, CONNECTIONS, READ_TIMEOUT_S
from regions.storage.source import CHUNK_BYTES
from regions.store_config import StoreConfig

_SINGLE_PUT_BYTES_MAX = 5000 << 20
"""The service's own limit."""


def container_client(config: StoreConfig, account: str, container: str, endpoint: str | None) -> Any:
    """The client of one container, its own retries off. Raises PermissionDenied without credentials."""
    from azure.storage.blob import ContainerClient

    return ContainerClient(
        address_of(account, endpoint),
        container,
        credential=_credential(config, account),
        transport=_transport(),
        max_chunk_get_size=RANGE_BYTES,
        retry_total=0,
        max_single_put_size=_SINGLE_PUT_BYTES_MAX,
    )


def service_client(config: StoreConfig, account: str, endpoint: str | None, credential: Any) -> Any:
    """The client of the whole account."""
    from azure.storage.blob import BlobServiceClient

    address = address_of(account, endpoint)
    return BlobServiceClient(address, credential=credential, retry_total=0, transport=_transport())


def address_of(account: str, endpoint: str | None) -> str:
    """The address of the account's blob service; `endpoint` names another server than Azure's own."""
    if endpoint is None:
        return f"https://{account}.blob.core.windows.net"
    host = urlsplit(endpoint).hostname or ""
    return endpoint if host.startswith(f"{account}.") else f"{endpoint}/{account}"


def _transport() -> Any:
    from azure.core.pipeline.transport import RequestsTransport
    from requests import Session

    from regions.limited_requests import LimitedAdapter, read_environment_once

    session = Session()
    read_environment_once(session)
    for scheme in ("http://", "https://"):
        session.mount(scheme, LimitedAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS))
    return RequestsTransport(
        session=session,
        session_owner=False,
        connection_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        connection_data_block_size=CHUNK_BYTES,
    )


def _credential(config: StoreConfig, account: str) -> Any:
    """An account key or SAS token by reference or from the environment, else azure-identity's own chain."""
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    if config.access_key_id is not None:
        raise PermissionDenied(
            "az:// takes no access_key_id",
            store=config.url,
            hint="the account stands in the URL; secret_access_key refers to its key or to a SAS token",
        )
    if config.anonymous:
        return None
    if config.secret_access_key is not None:
        secret = config.secret_access_key.read()
    else:
        secret = os.environ.get("AZURE_STORAGE_KEY") or os.environ.get("AZURE_STORAGE_SAS_TOKEN") or ""
    if "sig=" in secret:
        return AzureSasCredential(secret.removeprefix("?"))
    if secret:
        return AzureNamedKeyCredential(account, secret)
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError as error:
        raise PermissionDenied("there are no credentials for Azure here", store=config.url, hint=CREDENTIALS) from error
    return DefaultAzureCredential()
