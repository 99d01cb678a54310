"""A session of `requests` to one region, whose pooled connections all threads share."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests

from regions.limited_requests import LimitedAdapter
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
        self.auth = _unchanged
        self._settings: dict[tuple[Any, ...], dict[str, Any]] = {}

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        parts = urlsplit(url)
        about = (parts.scheme, parts.netloc, stream, verify, cert)
        settings = self._settings.get(about)
        if settings is None:
            settings = dict(super().merge_environment_settings(url, proxies, stream, verify, cert))
            if is_loopback(parts.hostname or ""):
                settings["proxies"] = {}
            self._settings[about] = settings
        return dict(settings)


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """No HTTP authentication, and so none from ~/.netrc, which requests would look up for every request."""
    return request


class _NamedServerAdapter(LimitedAdapter):
    """Checks the certificate against a fixed name (Nomad's are for `server.<region>.nomad`), not the address."""

    def __init__(self, server_name: str) -> None:
        self._server_name = server_name
        super().__init__(pool_maxsize=CONNECTIONS_MAX)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        name = self._server_name
        super().init_poolmanager(*args, **kwargs, server_hostname=name, assert_hostname=name)
