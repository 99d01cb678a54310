"""The HTTP/1.1 server: calls a handler for each request of keep-alive connections and sends its replies.

Why it is not a library: docs/adr/0011-the-regions-own-http-server.md.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from regions.local.http.messages import TEXT, Failure, Relay, Reply, Request, Stream
from regions.local.http.reader import IDLE_S, Reader

if TYPE_CHECKING:
    from ssl import SSLContext

_LINGER_S = 2.0
_REASONS = {
    200: "OK",
    204: "No Content",
    301: "Moved Permanently",
    307: "Temporary Redirect",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Request Entity Too Large",
    421: "Misdirected Request",
    500: "Internal Server Error",
    501: "Not Implemented",
}
_HOST = re.compile(r"(\[::1\]|[^:\[\]]+)(?::[0-9]{0,5})?")
_LOOPBACK = re.compile(r"localhost|\[::1\]|127(\.[0-9]{1,3}){3}")
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


Handler = Callable[[Request], Reply | Relay]


class Server:
    """Serves a listening socket with one thread per connection until `close`, with TLS if given.

    Calls `hold` before it handles a request and before it sends anything. `hold` returns when the region can be reached.
    Paths under `never_held` skip it. Requests must name in Host a loopback name or address, or one of `hosts`: a web
    page whose own name leads to this machine can't ask.
    """

    def __init__(
        self,
        listener: socket.socket,
        handler: Handler,
        hold: Callable[[], object] = lambda: None,
        never_held: str = "/v1/fedml/",
        tls: SSLContext | None = None,
        hosts: Iterable[str] = (),
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._hold = hold
        self._never_held = never_held
        self._tls = tls
        self._hosts = frozenset(name.lower() for name in hosts)
        self._connections: set[socket.socket] = set()
        self._is_closing = False
        self._thread = threading.Thread(target=self._accept, name="http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stops listening and drops every connection."""
        self._is_closing = True
        for sock in (self._listener, *list(self._connections)):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # not connected any more, or a listener that can't be shut down that way
            sock.close()

    def _accept(self) -> None:
        while not self._is_closing:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), name="connection", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            self._connections.add(connection)
            connection.settimeout(IDLE_S)
            reader = Reader(connection)
            while self._answer(connection, reader):
                pass
        except OSError:
            pass  # the client went away
        finally:
            self._connections.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket, reader: Reader) -> bool:
        """Answers one request. Returns whether the connection goes on."""
        try:
            request = reader.request()
        except Failure as failure:
            connection.sendall(_head(failure.status, failure.headers, failure.message.encode(errors="replace"), False))
            _linger(connection)
            return False
        if request is None:
            return False
        hold = _go_on if request.path.startswith(self._never_held) else self._hold
        hold()
        reply = self._reply(request)
        hold()
        if isinstance(reply, Relay):
            _relay(reply.source, connection, hold)
            return False
        keep = request.headers.get("connection", "").lower() != "close" and reader.can_go_on()
        if isinstance(reply.body, Stream):
            self._send_stream(connection, request, reply, hold, keep)
        else:
            body, headers = _body(reply, request)
            head = _head(reply.status, headers, body, keep)
            connection.sendall(head if request.method != "HEAD" else head[: len(head) - len(body)])
        if keep:
            return reader.skip_rest()
        _linger(connection)
        return False

    def _reply(self, request: Request) -> Reply | Relay:
        """Calls the handler. A refusal is a reply as well."""
        try:
            if not self._is_named(request.headers.get("host", "localhost")):
                raise Failure(421, f"{request.headers['host'][:80]!r} is not a name of this region's server")
            return self._handler(request)
        except Failure as failure:
            reply = Reply(failure.message.encode(errors="replace"), headers=failure.headers)
            reply.status = failure.status
        except ConnectionError:
            raise  # the client went away within its request
        except Exception as error:  # noqa: BLE001 - a bug costs one answer, not the connection's thread
            import traceback

            traceback.print_exc()
            reply = Reply(
                f"internal error in the development engine: {type(error).__name__}: {error}".encode(), headers=TEXT
            )
            reply.status = 500
        return reply

    def _is_named(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        name = found[1].lower().removesuffix(".") if found else ""
        return name in self._hosts or _LOOPBACK.fullmatch(name) is not None

    @staticmethod
    def _send_stream(
        connection: socket.socket, request: Request, reply: Reply, hold: Callable[[], object], keep: bool
    ) -> None:
        connection.settimeout(30.0)
        try:
            connection.sendall(_head(reply.status, {**reply.headers, "Transfer-Encoding": "chunked"}, None, keep))
            if request.method == "HEAD":
                return
            for chunk in reply.body.chunks:
                hold()
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        finally:
            reply.body.close()
        connection.sendall(b"0\r\n\r\n")
        connection.settimeout(IDLE_S)


def _linger(connection: socket.socket) -> None:
    """Lets the client read the answer before the connection ends, although it may still be sending its request."""
    connection.settimeout(_LINGER_S)
    connection.shutdown(socket.SHUT_WR)
    until = time.monotonic() + _LINGER_S
    while connection.recv(65536) and time.monotonic() < until:
        pass


def _body(reply: Reply, request: Request) -> tuple[bytes, dict[str, str]]:
    if isinstance(reply.body, bytes):
        return reply.body, reply.headers
    if "pretty" in request.query and request.get("pretty") != "0":
        text = json.dumps(reply.body, indent=4, ensure_ascii=False) + "\n"
    else:
        text = _encode(reply.body)
    return text.encode(), {"Content-Type": "application/json", **reply.headers}


_date: tuple[int, str] = (0, "")


def _head(status: int, headers: dict[str, str], body: bytes | None, keep: bool) -> bytes:
    global _date
    now = int(time.time())
    if now != _date[0]:
        _date = (now, time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)))
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}", f"Date: {_date[1]}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None and status != 204:
        lines.append(f"Content-Length: {len(body)}")
    if not keep:
        lines.append("Connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    return head + body if body else head


def _go_on() -> None:
    """Replaces `hold` for requests that are answered even while the region is cut off."""


def _relay(source: socket.socket, target: socket.socket, hold: Callable[[], object]) -> None:
    with source:
        while data := source.recv(65536):
            hold()
            target.sendall(data)
