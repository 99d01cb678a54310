"""Who may ask for pages: hosts, origins, the cookie of a signed-in browser. Wraps the application; nothing passes it by.

A page of another site that a person has open must not read or do anything here. Its requests carry a foreign `Origin`, or come
without our cookie (`SameSite=Strict`). A name of it that is made to mean 127.0.0.1 (DNS rebinding) isn't one of our hosts.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from federation.web.site import Settings

POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
COOKIE = "fedml-ui"
USER_CHARS_MAX = 200
BODY_BYTES_MAX = 1_000_000

Refuse = Callable[[Request, int, str, str], Response]
"""(request, status, what is wrong, what to do) → a page that says so."""


@dataclass
class SignIn:
    """The links by which browsers sign in, each good once, and what signed-in browsers show afterwards. Lost when `fedml ui`
    ends."""

    on_use: Callable[[], None] = lambda: None
    """Called when a link was used: the next person needs another."""
    _token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _session: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def token(self) -> str:
        """The token that signs the next browser in."""
        return self._token

    def use(self, token: str) -> str:
        """The session, if this is the token; else "". A token is good once."""
        with self._lock:
            if not hmac.compare_digest(token.encode(), self._token.encode()):
                return ""
            self._token = secrets.token_urlsafe(24)
        self.on_use()
        return self._session

    def knows(self, session: str) -> bool:
        """Whether a browser shows the session."""
        return hmac.compare_digest(session.encode(), self._session.encode())


class Guard:
    """ASGI middleware: refuses requests that aren't a signed-in person's, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, settings: Settings, sign_in: SignIn, refuse: Refuse) -> None:
        self._app, self._settings, self._sign_in, self._refuse = app, settings, sign_in, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        request = Request(scope)
        refusal = self._refusal(request)
        await (refusal or self._app)(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        headers = request.headers
        if not self._is_own_host(headers.get("host", "")):
            hint = "fedml ui --allow-host NAME lets browsers ask by another name"
            return self._refuse(
                request, HTTPStatus.MISDIRECTED_REQUEST, "this name is not one of fedml ui's hosts", hint
            )
        if request.method not in ("GET", "HEAD") and not _is_same_origin(request):
            return self._refuse(
                request, HTTPStatus.FORBIDDEN, "another site sent this form", "use the buttons of these pages"
            )
        if _is_embedded_elsewhere(headers):
            return self._refuse(
                request, HTTPStatus.FORBIDDEN, "a page of another site asked for this", "open it by a link"
            )
        if request.method not in ("GET", "HEAD") and "content-length" not in headers:
            return self._refuse(request, HTTPStatus.LENGTH_REQUIRED, "the form doesn't say how long it is", "")
        if int_of(headers.get("content-length")) > BODY_BYTES_MAX:
            return self._refuse(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large", "")
        if _is_open(request.scope["path"]):
            return None
        if self._settings.user_header:
            user = user_of(headers, self._settings.user_header)
            hint = f"the proxy in front must send the header {self._settings.user_header}"
            return None if user else self._refuse(request, HTTPStatus.UNAUTHORIZED, "nobody is signed in", hint)
        if self._sign_in.knows(request.cookies.get(cookie_name(request), "")):
            return None
        hint = "open the link that fedml ui printed in its terminal. Came from another page? Reload this one"
        return self._refuse(request, HTTPStatus.UNAUTHORIZED, "this browser is not signed in", hint)

    def _is_own_host(self, host: str) -> bool:
        return _without_port(host) in self._settings.hosts


def cookie_name(request: Request) -> str:
    """The cookie of this port: browsers send cookies of all ports of a host."""
    _, port = request.scope["server"]
    return f"{COOKIE}-{port}"


def user_of(headers: Headers, name: str) -> str:
    """Who a proxy says is signed in; "" where it says nobody, or several."""
    given = headers.getlist(name)
    return given[0].strip()[:USER_CHARS_MAX] if len(given) == 1 else ""


def author_of(settings: Settings, otherwise: str, request: Request) -> str:
    """Who does what this request asks for."""
    return user_of(request.headers, settings.user_header) if settings.user_header else otherwise


def int_of(text: str | None) -> int:
    """A number of a header; 0 for none, and for what isn't one."""
    return int(text) if text and text.isdecimal() and len(text) < 20 else 0


def _is_open(path: str) -> bool:
    """Whether the address is for everybody: it shows nothing of the federation."""
    return path == "/sign-in" or path.startswith("/static/")


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() else host).lower()


def _is_embedded_elsewhere(headers: Headers) -> bool:
    """Whether a page of another origin, as of another port of this machine, asks for this to use it in itself. It couldn't read
    the answer, but would make us work. Following a link is fine."""
    is_foreign = headers.get("sec-fetch-site", "") in ("cross-site", "same-site")
    return is_foreign and headers.get("sec-fetch-dest", "") != "document"


def _is_same_origin(request: Request) -> bool:
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    try:
        origin = urlsplit(request.headers.get("origin", ""))
    except ValueError:
        return False
    return origin.netloc.lower() == request.headers.get("host", "").lower() and origin.scheme in ("http", "https")
