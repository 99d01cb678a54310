"""A small HTTP proxy in front of one server that counts requests by kind.

Kinds are method and path with names and IDs taken out: `GET /v1/job/CHILD`.
"""

from __future__ import annotations

import http.client
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive", "host")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


def kind_of(method: str, target: str) -> str:
    """The request without what differs from one slot to the next."""
    parts = [unquote(part) for part in urlsplit(target).path.strip("/").split("/")]
    shown = ["ALLOC" if _UUID.fullmatch(part) else "CHILD" if "/dispatch-" in part else part for part in parts]
    if shown[:2] == ["v1", "job"] and shown[2:] and shown[2] != "CHILD":
        shown[2] = "JOB"
    return f"{'PUT' if method == 'POST' else method} /{'/'.join(shown)}"


class CountingProxy:
    """Forwards to `address`. `address_here` is where it listens."""

    def __init__(self, address: str) -> None:
        self.counts: Counter[str] = Counter()
        self._target = urlsplit(address).netloc
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.forward(self)

            do_PUT = do_POST = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address_here = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[CountingProxy]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def forward(self, handler: Any) -> None:
        """Counts one request, passes it on, and gives back the answer as it comes."""
        with self._lock:
            self.counts[kind_of(handler.command, handler.path)] += 1
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in _HOP}
        connection = http.client.HTTPConnection(self._target, timeout=120)
        try:
            connection.request(handler.command, handler.path, body or None, headers)
            response = connection.getresponse()
            handler.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in _HOP:
                    handler.send_header(name, value)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            while piece := response.read1(1 << 16):
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):
            handler.close_connection = True  # whoever asked is gone, or the server is
        finally:
            connection.close()
