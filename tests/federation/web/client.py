"""A browser without a window: asks served pages by HTTP, signed in."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.federation.web.served import Served


@dataclass(frozen=True)
class Answer:
    """What came back. `is_whole` False: the connection ended before the promised length."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    path: str
    is_whole: bool = True

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        import json

        return json.loads(self.content)


class Client:
    """Keeps the cookie of its sign-in. Redirects are followed."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self._netloc = urlsplit(served.root).netloc
        self._cookie = ""
        answer = self._ask("GET", served.link.removeprefix(served.root))
        self._cookie = answer.headers["set-cookie"].partition(";")[0]

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """The page at that path."""
        answer = self._ask("GET", path + (f"?{urlencode(params)}" if params else ""))
        return self.get(answer.headers["location"]) if 300 <= answer.status < 400 else answer

    def head(self, path: str) -> Answer:
        """Its headers alone."""
        return self._ask("HEAD", path)

    def _ask(self, method: str, path: str) -> Answer:
        connection = http.client.HTTPConnection(self._netloc, timeout=60)
        try:
            connection.request(method, path, headers={"cookie": self._cookie})
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            try:
                return Answer(answer.status, headers, answer.read(), path)
            except http.client.IncompleteRead as error:
                return Answer(answer.status, headers, error.partial, path, is_whole=False)
        finally:
            connection.close()
