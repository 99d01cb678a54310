"""The HTTP/1.1 server: parses requests from keep-alive connections, calls a handler and sends its replies.

Why it is not a library: docs/adr/0011-the-regions-own-http-server.md.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regions.local.http.messages import TEXT, Failure, Relay, Reply, Request, Stream

if TYPE_CHECKING:
    from ssl import SSLContext

_MAX_HEAD = 64 * 1024
_FRAMING = ("content-length", "transfer-encoding")
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
_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) ([\x21-\x7e\x80-\xff]+) HTTP/1\.[01]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\n-\x1f\x7f]*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


Handler = Callable[[Request], Any]


class Server:
    """Serves a listening socket with one thread per connection until `close`, with TLS if given.

    Calls `hold` before it handles a request and before it sends anything. `hold` returns when the region can be reached.
    Paths under `never_held` skip it.
    """

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
        except OSError:
            pass  # the client went away
        finally:
            self._connections.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket, reader: _Reader) -> bool:
        """Answers one request. Returns whether the connection goes on."""
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
        except Exception as error:  # noqa: BLE001 - a bug costs one answer, not the connection's thread
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


def _malformed(what: str) -> Failure:
    return Failure(400, f"400 Bad Request: malformed HTTP request: {what}")


class _Reader:
    """Reads requests strictly: a message whose end could be read in two ways is refused with 400."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def request(self) -> Request | None:
        """Reads the next request. None at the end of the connection."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0 and len(self._buffer) <= _MAX_HEAD:
            data = self._connection.recv(65536)
            if not data:
                return None
            self._buffer += data
        if not 0 <= end <= _MAX_HEAD:
            raise _malformed("the head is too large")
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        first, *lines = head.decode("latin-1").split("\r\n")
        start = _REQUEST_LINE.fullmatch(first)
        if start is None:
            raise _malformed(f"request line {first[:80]!r}")
        headers: dict[str, str] = {}
        for line in lines:
            header = _HEADER.fullmatch(line)
            name = header[1].lower() if header else ""
            if header is None or (name in _FRAMING and name in headers):
                raise _malformed(f"header {line[:80]!r}")
            headers[name] = header[2]
        if headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(start[1], start[2], headers, self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        encoding, length = headers.get("transfer-encoding"), headers.get("content-length", "0")
        if encoding is None:
            if _LENGTH.fullmatch(length) is None:
                raise _malformed(f"Content-Length {length[:80]!r}")
            return self._take(int(length))
        if encoding.lower() != "chunked":
            raise Failure(501, f"Unsupported transfer encoding: {encoding[:80]!r}")
        if "content-length" in headers:
            raise _malformed("Content-Length and Transfer-Encoding together")
        return self._chunks()

    def _chunks(self) -> bytes:
        body = b""
        while True:
            size = _CHUNK_SIZE.fullmatch(line := self._line())
            if size is None:
                raise _malformed(f"chunk size {line[:80]!r}")
            if not int(size[1], 16):
                break
            body += self._take(int(size[1], 16), len(body))
            if self._line():
                raise _malformed("a chunk is longer than its size")
        while self._line():
            pass
        return body

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _MAX_HEAD:
                raise _malformed("a line is too long")
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _take(self, size: int, have: int = 0) -> bytes:
        if have + size > _MAX_BODY:
            raise Failure(413, "http: request body too large")
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> None:
        data = self._connection.recv(262144)
        if not data:
            raise ConnectionError("the client closed the connection within a request")
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
    """Replaces `hold` for requests that are answered even while the region is cut off."""


def _relay(source: socket.socket, target: socket.socket, hold: Callable[[], object]) -> None:
    with source:
        while data := source.recv(65536):
            hold()
            target.sendall(data)
