"""Guards servers on loopback: a web page whose own name leads to this machine (DNS rebinding) gets no answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_OWN = re.compile(r"(localhost\.?|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{0,5})?", re.IGNORECASE)


def loopback_only(application: Application) -> Application:
    """The application, but 421 for a request whose Host names anything but loopback."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host = str(environ.get("HTTP_HOST", "localhost"))
        if _OWN.fullmatch(host):
            return application(environ, start_response)
        body = f"{host[:80]!r} is not a name of this server\n".encode("utf-8", "replace")
        start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [body]

    return answer
