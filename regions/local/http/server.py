"""Bytes of HTTP/1.1 enter on keep-alive connections, requests leave to a handler, its replies go back as bytes."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regions.local.http.messages import TEXT, Failure, Relay, Reply, Request, Stream

if TYPE_CHECKING:
    from ssl import SSLContext

_MAX_HEAD = 64 * 1024
_MAX_BODY = 64 * 1024 * 1024
_IDLE_S = 3600.0
_REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Request Entity Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
}
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


Handler = Callable[[Request], Any]


class Server:
    """Serves a listening socket, over TLS where it is given, one thread a connection, until `close`. `hold` is called
    before a request is handled and before anything is sent, but for paths under `never_held`: it returns when the region
    can be reached."""

    def __init__(
        self,
        listener: socket.socket,
        handler: Handler,
        hold: Callable[[], object] = lambda: None,
        never_held: str = "/v1/fedml/",
        tls: SSLContext | None = None,
    ) -> None:
        self._listener = listener
        self._handler = handler
        self._hold = hold
        self._never_held = never_held
        self._tls = tls
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
            connection.settimeout(_IDLE_S)
            reader = _Reader(connection)
            while self._answer(connection, reader):
                pass
        except (OSError, _Broken):
            pass  # the client went away, or doesn't speak HTTP
        finally:
            self._connections.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket, reader: _Reader) -> bool:
        """Answers one request; whether the connection goes on."""
        try:
            request = reader.request()
        except Failure as failure:
            connection.sendall(_head(failure.status, failure.headers, failure.message.encode(), False))
            return False
        if request is None:
            return False
        keep = request.headers.get("connection", "").lower() != "close"
        hold = _go_on if request.path.startswith(self._never_held) else self._hold
        hold()
        try:
            reply = self._handler(request)
        except Failure as failure:
            connection.sendall(_head(failure.status, failure.headers, failure.message.encode(), keep))
            return keep
        except Exception as error:  # noqa: BLE001 - a mistake of ours costs one answer, not the connection's thread
            import traceback

            traceback.print_exc()
            text = f"internal error in the development engine: {type(error).__name__}: {error}"
            connection.sendall(_head(500, TEXT, text.encode(), keep))
            return keep
        hold()
        if isinstance(reply, Relay):
            _relay(reply.source, connection, hold)
            return False
        if isinstance(reply.body, (bytes, str)) or not isinstance(reply.body, Stream):
            body, headers = _body(reply, request)
            connection.sendall(_head(reply.status, headers, body, keep))
            return keep
        connection.settimeout(30.0)
        connection.sendall(_head(reply.status, {**reply.headers, "Transfer-Encoding": "chunked"}, None, keep))
        try:
            for chunk in reply.body.chunks:
                hold()
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        finally:
            reply.body.close()
        connection.sendall(b"0\r\n\r\n")
        connection.settimeout(_IDLE_S)
        return keep


class _Broken(Exception):
    """The peer sent something that isn't HTTP/1.1."""


class _Reader:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def request(self) -> Request | None:
        """The next request, None at the end of the connection."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise _Broken
            data = self._connection.recv(65536)
            if not data:
                return None
            self._buffer += data
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        first, *lines = head.decode("latin-1").split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3:
            raise _Broken
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(parts[0], parts[1], headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self._line().split(b";")[0], 16):
                body += self._take(size)
                self._line()
                if len(body) > _MAX_BODY:
                    raise Failure(413, "http: request body too large")
            while self._line():
                pass
            return body
        try:
            size = int(headers.get("content-length", "0"))
        except ValueError as error:
            raise _Broken from error
        if size > _MAX_BODY:
            raise Failure(413, "http: request body too large")
        return self._take(size)

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> None:
        data = self._connection.recv(262144)
        if not data:
            raise _Broken
        self._buffer += data


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
    """For a request that is answered whatever happens."""


def _relay(source: socket.socket, target: socket.socket, hold: Callable[[], object]) -> None:
    with source:
        while data := source.recv(65536):
            hold()
            target.sendall(data)
