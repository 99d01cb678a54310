"""Google's client, its connections and its credentials."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from jobs.errors import ForeignTextError
from jobs.foreign import parse_object
from regions.storage.errors import PermissionDenied
from regions.storage.sdk_store import CONNECTIONS
from regions.store_config import StoreConfig


def new_client(config: StoreConfig, endpoint: str | None) -> Any:
    """The SDK's client, its own retries off. Raises PermissionDenied without credentials."""
    from google.cloud.storage import Client

    from regions.limited_requests import LimitedAdapter, read_environment_once

    options = {"api_endpoint": endpoint} if endpoint else None
    # The project only matters for making and listing buckets.
    client = Client(project="fedml", credentials=_credentials(config), client_options=options)
    # Newer versions ask for the bucket's metadata for their telemetry, with retries, in a thread of their own.
    client._bucket_metadata_cache = None
    for scheme in ("http://", "https://"):
        client._http.mount(scheme, LimitedAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS))
        tokens = getattr(client._http, "_auth_request_session", None)  # which asks for access tokens
        if tokens is not None:
            tokens.mount(scheme, LimitedAdapter())
    read_environment_once(client._http)
    return client


def _credentials(config: StoreConfig) -> Any:
    """Anonymous ones, those of a referred service account, or None: the SDK's own chain."""
    if config.access_key_id is not None:
        raise PermissionDenied(
            "gs:// takes no access_key_id", store=config.url, hint="secret_access_key refers to a service account's key"
        )
    if config.anonymous:
        from google.auth.credentials import AnonymousCredentials

        return AnonymousCredentials()
    if config.secret_access_key is None:
        return None
    from google.oauth2.service_account import Credentials

    secret = config.secret_access_key.read()
    with suppress(ValueError, ForeignTextError):
        return Credentials.from_service_account_info(parse_object(secret, source="the key"))
    raise PermissionDenied(
        f"what {config.secret_access_key} holds is not a valid key of a service account",
        store=config.url,
        hint="it is the JSON file that Google gives out for a service account",
    )
