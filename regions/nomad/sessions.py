"""A session of `requests` to one region, whose pooled connections all threads share."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests

from regions.limited_requests import LimitedAdapter, read_environment_once
from regions.loopback import is_loopback

CONNECTIONS_MAX = 64
"""Connections to one address that are kept for the next request. More may be open at once."""


def new_session(server_name: str | None) -> requests.Session:
    """A session for all threads. `server_name` is the name that servers' certificates must have; None: the address. Closed, it
    opens new connections when it is used again.

    Sharing one is safe here: Nomad sets no cookies, and nothing in the session is changed after it was made.
    """
    session = _Session()
    session.mount("http://", LimitedAdapter(pool_maxsize=CONNECTIONS_MAX))
    session.mount(
        "https://", _NamedServerAdapter(server_name) if server_name else LimitedAdapter(pool_maxsize=CONNECTIONS_MAX)
    )
    return session


class _Session(requests.Session):
    """Session that follows no redirect, since the token's header would be sent to a stranger, reads no netrc, and reaches
    loopback without a proxy. What the environment says of an address (proxies, certificates) is read once."""

    def __init__(self) -> None:
        super().__init__()
        read_environment_once(self)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None

    def merge_environment_settings(self, url: Any, *args: Any, **kwargs: Any) -> Any:
        settings = super().merge_environment_settings(url, *args, **kwargs)
        if is_loopback(urlsplit(url).hostname or ""):
            settings["proxies"] = {}
        return settings


class _NamedServerAdapter(LimitedAdapter):
    """Checks the certificate against a fixed name (Nomad's are for `server.<region>.nomad`), not the address."""

    def __init__(self, server_name: str) -> None:
        self._server_name = server_name
        super().__init__(pool_maxsize=CONNECTIONS_MAX)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        name = self._server_name
        super().init_poolmanager(*args, **kwargs, server_hostname=name, assert_hostname=name)
