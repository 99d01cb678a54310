"""Runs the pages: opens the port, prints the link, ends with Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvicorn

from federation.errors import UsageError
from federation.web.application import application
from federation.web.security import SignIn
from federation.web.site import LOOPBACK_NAMES, Settings, Site

GRACE_S = 1
WINDOWS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
"""Variables of which Linux sets one where a browser can be shown."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the pages are served. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("127.0.0.1", "localhost", "::1")


def settings(address: Address, *, allow_hosts: Iterable[str], user_header: str, read_only: bool) -> Settings:
    """Who may look. Raises UsageError for an address that others reach without names, encryption or a proxy's sign-in."""
    hosts = frozenset(name.lower() for name in allow_hosts)
    if (address.certificate is None) != (address.key is None):
        raise UsageError("--tls-cert and --tls-key need each other")
    if not address.is_loopback and not hosts:
        raise UsageError(
            f"--host {address.host} lets others reach these pages", hint="say under which name: --allow-host NAME"
        )
    if not address.is_loopback and not (address.certificate or user_header):
        raise UsageError(
            f"--host {address.host} would send the sign-in unencrypted",
            hint="--tls-cert and --tls-key, or a proxy that signs people in: --user-header HEADER",
        )
    return Settings(
        hosts=LOOPBACK_NAMES | hosts, read_only=read_only, user_header=user_header, is_tls=bool(address.certificate)
    )


def serve(
    site: Site, address: Address, *, start_page: str = "/", opens_browser: bool, note: Callable[[str], None]
) -> None:
    """Serves until Ctrl-C. Prints the link by which a browser signs in, and a new one when it was used. Raises UsageError for
    an address or a certificate that can't be used."""
    _check_certificate(address)
    opened = listening(address)
    host = f"[{address.host}]" if ":" in address.host else address.host
    root = f"{'https' if address.certificate else 'http'}://{host}:{opened.getsockname()[1]}"

    def link() -> str:
        if site.settings.user_header:
            return f"{root}{start_page}"
        after = "" if start_page == "/" else f"&next={quote(start_page, safe='')}"
        return f"{root}/sign-in?token={sign_in.token}{after}"

    sign_in = SignIn(on_use=lambda: note(f"Another browser:  {link()}"))
    note(f"The federation's pages (Ctrl-C ends them):  {link()}")
    config = uvicorn.Config(
        application(site, sign_in),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=address.certificate,
        ssl_keyfile=str(address.key) if address.key else None,
        forwarded_allow_ips="",
    )
    if opens_browser:
        _open_browser(link())
    with opened:
        uvicorn.Server(config).run(sockets=[opened])


def listening(address: Address) -> socket.socket:
    """Opens the port. Raises UsageError for one that can't be had."""
    opened = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address.host, address.port))
        opened.listen()  # before the link is shown: a browser may be faster than the server
    except OSError as error:
        opened.close()
        is_taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = "--port 0 takes a free port" if is_taken else "--host takes an address of this machine"
        raise UsageError(f"port {address.port} of {address.host} can't be used: {error.strerror}", hint=hint) from None
    return opened


def _open_browser(link: str) -> None:
    """Opens a browser that has windows. One in text would take the terminal, and keep the pages from being served."""
    is_text_only = sys.platform == "linux" and not any(os.environ.get(name) for name in WINDOWS)
    if not is_text_only:
        threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()


def _check_certificate(address: Address) -> None:
    if address.certificate is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(address.certificate, address.key)
    except OSError as error:  # SSLError is one
        files = f"--tls-cert {address.certificate} with --tls-key {address.key}"
        raise UsageError(
            f"{files} can't be used: {error.strerror or error}",
            hint="both are PEM files, and the key is the certificate's",
        ) from None
