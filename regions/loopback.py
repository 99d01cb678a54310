"""Keeps requests to this machine away from proxies: a proxy's loopback is another machine's. No dependency."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from contextlib import suppress

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_NAMES = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's loopback."""
    import ipaddress

    host = host.strip("[]").rstrip(".").lower()
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def keep_loopback_from_proxies(environ: MutableMapping[str, str] = os.environ) -> None:
    """Adds loopback to NO_PROXY where the environment names a proxy. SDKs of stores and child processes read it from there."""
    if not any(environ.get(name) or environ.get(name.upper()) for name in _PROXIES):
        return
    before = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    given = [name.strip() for name in before.split(",") if name.strip()]
    if "*" not in given:
        environ["no_proxy"] = environ["NO_PROXY"] = ",".join([*given, *(name for name in _NAMES if name not in given)])
