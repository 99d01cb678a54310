"""Asks the application of the pages as a browser does, without a server: any method, path, header and body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from federation.app import App
from federation.web.application import application
from federation.web.security import SignIn
from federation.web.site import Settings, Site

HOST = "127.0.0.1:8646"
ROOT = f"http://{HOST}"
COOKIE = "fedml-ui-8646"


@dataclass
class Answer:
    """What the application answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def text(self) -> str:
        """The body."""
        return self.content.decode()

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.content)


class Browser:
    """A browser, signed in or not, that asks for pages of one site."""

    def __init__(self, app: App, chosen: Settings | None = None, *, signs_in: bool = True) -> None:
        self.site = Site(app, chosen or Settings())
        self.used = 0
        self.sign_in = SignIn(on_use=self._count)
        self._guard = application(self.site, self.sign_in)
        self.cookie = ""
        if signs_in:
            answer = self.get(f"/sign-in?token={self.sign_in.token}")
            self.cookie = answer.headers["set-cookie"].partition(";")[0]

    def _count(self) -> None:
        self.used += 1

    def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        """Asks for an address, as it stands in the request line. `sec_fetch_site` becomes `sec-fetch-site`."""
        named = {"host": HOST, "cookie": self.cookie} | {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask(method, target, [(name, text) for name, text in named.items() if text])

    def post(self, target: str, body: bytes = b"", **headers: str) -> Answer:
        """Sends a form as the own pages do, unless the headers say otherwise."""
        own = {"host": HOST, "cookie": self.cookie, "origin": ROOT, "sec-fetch-site": "same-origin"}
        named = (
            own | {"content-length": str(len(body))} | {name.replace("_", "-"): text for name, text in headers.items()}
        )
        return self.ask("POST", target, [(name, text) for name, text in named.items() if text], body)

    def ask(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> Answer:
        """Sends a request as it is."""
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers],
            "server": ("127.0.0.1", 8646),
            "client": ("127.0.0.1", 1),
        }
        answer, is_sent = Answer(), False

        async def receive() -> dict[str, Any]:
            nonlocal is_sent
            if is_sent:
                await asyncio.Event().wait()  # the browser stays
            is_sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): text.decode() for name, text in message["headers"]}
            else:
                answer.content += message.get("body", b"")

        asyncio.run(self._guard(scope, receive, send))
        return answer
