"""Pooled connections to one region, a session of `requests` for each thread."""

from __future__ import annotations

import threading
import weakref
from typing import Any
from urllib.parse import urlsplit

import requests

from regions.limited_requests import LimitedAdapter
from regions.loopback import is_loopback


class Sessions:
    """The sessions of all threads. `server_name` is the name that servers' certificates must have; None: the address."""

    def __init__(self, server_name: str | None) -> None:
        self._server_name = server_name
        self._own = threading.local()
        # Weak, so that the connections of a thread that ended are closed with it.
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
        self._lock = threading.Lock()

    def get(self) -> requests.Session:
        """The session of this thread."""
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = _Session()
            name = self._server_name
            session.mount("http://", LimitedAdapter())
            session.mount("https://", LimitedAdapter() if name is None else _NamedServerAdapter(name))
            with self._lock:
                self._sessions.add(session)
        return session

    def close(self) -> None:
        """Close the connections of all threads. A later request opens new ones."""
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.close()


class _Session(requests.Session):
    """Session that follows no redirect, since the token's header would be sent to a stranger, reads no netrc, and reaches
    loopback without a proxy."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _unchanged

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None

    def merge_environment_settings(self, url: Any, *args: Any, **kwargs: Any) -> Any:
        settings = super().merge_environment_settings(url, *args, **kwargs)
        if is_loopback(urlsplit(url).hostname or ""):
            settings["proxies"] = {}
        return settings


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """No HTTP authentication, and so none from ~/.netrc, which requests would look up for every request."""
    return request


class _NamedServerAdapter(LimitedAdapter):
    """Checks the certificate against a fixed name (Nomad's are for `server.<region>.nomad`), not the address."""

    def __init__(self, server_name: str) -> None:
        self._server_name = server_name
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        name = self._server_name
        super().init_poolmanager(*args, **kwargs, server_hostname=name, assert_hostname=name)
