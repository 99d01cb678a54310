"""Requests to a server on loopback enter, the same leave, but for those that were told to suffer a fault."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


@dataclass(frozen=True)
class Answer:
    """The server is not asked; this is the answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Lost:
    """The server does it, and the connection closes without an answer."""


@dataclass(frozen=True)
class Refused:
    """The connection closes, and the server never hears of it."""


@dataclass(frozen=True)
class Cut:
    """The answer's body ends after so many bytes, by a reset or as if it were whole."""

    after_bytes: int
    is_reset: bool = True


@dataclass(frozen=True)
class Slow:
    """The answer's body comes in pieces of so many bytes, each after a pause."""

    piece_bytes: int
    pause_s: float


@dataclass(frozen=True)
class Flipped:
    """One bit of the answer's body is wrong."""


@dataclass(frozen=True)
class FlippedOnTheWay:
    """One bit of the request's body is wrong."""


Fault = Answer | Lost | Refused | Cut | Slow | Flipped | FlippedOnTheWay


@dataclass(frozen=True)
class Request:
    """One request as it came; `length` is that of its body."""

    method: str
    path: str
    length: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By lower-case names."""


class FaultProxy:
    """`address` is where clients go. `suffer` plans faults; `seen` are all requests, `forwarded` what reached the server."""

    def __init__(self, upstream: str, *, keeps_host: bool, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Request] = []
        self.forwarded: list[Request] = []
        self.instead: Callable[[Request], Answer | None] = lambda request: None
        """What the proxy answers itself, where it gives something, for what the server can't."""
        self._plans: list[tuple[Callable[[Request], bool], list[Fault]]] = []
        self._lock = Lock()
        target = urlsplit(upstream).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def relay(self) -> None:
                body = self._body()
                headers = {name.lower(): value for name, value in self.headers.items()}
                # As a proxy on the way it is asked for whole URLs.
                path = self.path if self.path.startswith("/") else self.path.partition("://")[2].partition("/")[2]
                request = Request(self.command, f"/{path.lstrip('/')}", len(body), headers)
                fault = proxy.instead(request) or proxy._fault_of(request)
                if isinstance(fault, Answer):
                    return self._reply(fault.status, list(fault.headers.items()), fault.body)
                if isinstance(fault, Refused):
                    return self._hang_up()
                if isinstance(fault, FlippedOnTheWay):
                    body = _flipped(body)
                status, told, answer = self._forward(request, body)
                if isinstance(fault, Lost):
                    return self._hang_up()
                if isinstance(fault, Flipped):
                    answer = _flipped(answer)
                return self._reply(status, told, answer, fault)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = relay

            def handle_expect_100(self) -> bool:
                super().handle_expect_100()
                self.wfile.flush()
                return True

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                chunks = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    chunks.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(chunks)

            def _forward(self, request: Request, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
                if not keeps_host:
                    headers["Host"] = target
                if body or self.command in ("PUT", "POST"):
                    headers["Content-Length"] = str(len(body))
                connection = http.client.HTTPConnection(target, timeout=60)
                try:
                    connection.request(self.command, request.path, body or None, headers)
                    answer = connection.getresponse()
                    found = [
                        # Where to go on is told by the server's own address.
                        (name, value.replace(target, urlsplit(proxy.address).netloc) if name == "Location" else value)
                        for name, value in answer.getheaders()
                        if name.lower() not in _HOP or (self.command == "HEAD" and name.lower() == "content-length")
                    ]
                    return answer.status, found, answer.read()
                finally:
                    connection.close()
                    with proxy._lock:
                        proxy.forwarded.append(request)

            def _reply(
                self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault | None = None
            ) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                if self.command != "HEAD" and status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if isinstance(fault, Slow):
                    for start in range(0, len(body), fault.piece_bytes):
                        self.wfile.write(body[start : start + fault.piece_bytes])
                        self.wfile.flush()
                        time.sleep(fault.pause_s)
                    return
                self.wfile.write(body[: fault.after_bytes] if isinstance(fault, Cut) else body)
                if isinstance(fault, Cut):
                    self.wfile.flush()
                    self._hang_up(is_reset=fault.is_reset)

            def _hang_up(self, *, is_reset: bool = True) -> None:
                self.close_connection = True
                if is_reset:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

            def log_message(self, *arguments: object) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def shutdown_request(self, request: Any) -> None:
                self.close_request(request)  # without a shutdown first, so that a reset is one

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hung up is no news."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def suffer(self, *faults: Fault, when: Callable[[Request], bool] = lambda request: True) -> None:
        """The next requests for which `when` holds suffer these, one each."""
        with self._lock:
            self._plans.append((when, list(faults)))

    def forget(self) -> None:
        """No faults are planned any more, and nothing was seen."""
        with self._lock:
            self._plans.clear()
            self.seen.clear()
            self.forwarded.clear()

    def _fault_of(self, request: Request) -> Fault | None:
        with self._lock:
            self.seen.append(request)
            for when, faults in self._plans:
                if faults and when(request):
                    return faults.pop(0)
        return None


@contextmanager
def fault_proxy(upstream: str, *, keeps_host: bool = True, tls: ssl.SSLContext | None = None) -> Iterator[FaultProxy]:
    """A proxy in front of the server. `keeps_host`: signatures cover the Host header, so it goes on as it came."""
    proxy = FaultProxy(upstream, keeps_host=keeps_host, tls=tls)
    thread = Thread(target=proxy._server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        proxy._server.shutdown()
        thread.join()
        proxy._server.server_close()


def _flipped(body: bytes) -> bytes:
    return body[: len(body) // 2] + bytes([body[len(body) // 2] ^ 1]) + body[len(body) // 2 + 1 :] if body else body
