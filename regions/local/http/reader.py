"""Reads HTTP/1.1 requests from a connection: the head at once, the body when it is asked for."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from regions.local.http.messages import Failure, Request

IDLE_S = 3600.0
_MAX_HEAD = 64 * 1024
_MAX_CHUNK_LINE = 4096
_MAX_CHUNK_EXTENSIONS = 16 * 1024
_MAX_BODY = 64 * 1024 * 1024
_BODY_S = 60.0
_ONCE = ("content-length", "host", "transfer-encoding")
_REQUEST_LINE = re.compile(r"([A-Z]{1,20}) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\n-\x1f\x7f]*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")
_LENGTH = re.compile(r"[0-9]{1,18}")
_MAX_SKIPPED = 256 * 1024
"""So much of a body that nobody read is read before the next request; after more the connection ends."""


def _malformed(what: str) -> Failure:
    return Failure(400, f"400 Bad Request: malformed HTTP request: {what}")


class Reader:
    """Reads requests strictly: a message whose end could be read in two ways is refused with 400."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self._parts: Iterator[bytes] = iter(())
        self._left = 0
        """How much of the body wasn't read yet, as far as that is known."""

    def request(self) -> Request | None:
        """Reads the next request's head. Its body is read when it is asked for. None at the end of the connection."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0 and len(self._buffer) <= _MAX_HEAD:
            data = self._connection.recv(65536)
            if not data:
                return None
            self._buffer += data
        if not 0 <= end <= _MAX_HEAD:
            raise _malformed("the head is too large")
        first, *lines = self._cut(end, 4).decode("latin-1").split("\r\n")
        start = _REQUEST_LINE.fullmatch(first)
        if start is None:
            raise _malformed(f"request line {first[:80]!r}")
        headers: dict[str, str] = {}
        for line in lines:
            header = _HEADER.fullmatch(line)
            name = header[1].lower() if header else ""
            if header is None or (name in _ONCE and name in headers):
                raise _malformed(f"header {line[:80]!r}")
            headers[name] = header[2]
        if start[3] == "1" and not headers.get("host"):
            raise Failure(400, "400 Bad Request: missing required Host header")
        self._parts = self._body(headers)
        return Request(start[1], start[2], headers, self._parts)

    def can_go_on(self) -> bool:
        """Returns whether the rest of the request is short enough to be skipped."""
        return self._left <= _MAX_SKIPPED

    def skip_rest(self) -> bool:
        """Skips the rest of the request. Returns whether that was possible."""
        skipped = 0
        try:
            for part in self._parts:
                skipped += len(part)
                if skipped > _MAX_SKIPPED:
                    return False
        except Failure:
            return False
        return True

    def _body(self, headers: dict[str, str]) -> Iterator[bytes]:
        encoding, length = headers.get("transfer-encoding"), headers.get("content-length", "0")
        if encoding is None:
            if _LENGTH.fullmatch(length) is None:
                raise _malformed(f"Content-Length {length[:80]!r}")
            self._left = int(length)
            parts = self._take(int(length))
        elif encoding.lower() != "chunked":
            raise Failure(501, f"Unsupported transfer encoding: {encoding[:80]!r}")
        elif "content-length" in headers:
            raise _malformed("Content-Length and Transfer-Encoding together")
        else:
            self._left = _MAX_BODY
            parts = self._chunks()
        waits = headers.get("expect", "").lower() == "100-continue" and self._left > 0
        if waits:
            self._left = _MAX_BODY
        return self._timed(parts, waits=waits)

    def _timed(self, parts: Iterator[bytes], *, waits: bool) -> Iterator[bytes]:
        """Reads a body in limited time. First tells a client that waits for it to go on."""
        if waits:
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._left:
            self._connection.settimeout(_BODY_S)
        yield from parts
        if self._left:
            self._connection.settimeout(IDLE_S)
        self._left = 0

    def _chunks(self) -> Iterator[bytes]:
        body = extensions = 0
        while True:
            line = self._line(_MAX_CHUNK_LINE)
            size = _CHUNK_SIZE.fullmatch(line)
            if size is None:
                raise _malformed(f"chunk size {line[:80]!r}")
            if not int(size[1], 16):
                break
            extensions += len(line) - len(size[1])
            if extensions > _MAX_CHUNK_EXTENSIONS:
                raise _malformed("chunks have too long extensions")
            body += int(size[1], 16)
            yield from self._take(int(size[1], 16), body)
            if self._line(_MAX_CHUNK_LINE):
                raise _malformed("a chunk is longer than its size")
        left = _MAX_HEAD
        while trailer := self._line(left):
            left -= len(trailer) + 2

    def _line(self, limit: int) -> bytes:
        while (end := self._buffer.find(b"\r\n", 0, max(0, limit) + 2)) < 0:
            if len(self._buffer) > limit:
                raise _malformed("a line is too long")
            self._more()
        return self._cut(end, 2)

    def _take(self, size: int, whole: int = 0) -> Iterator[bytes]:
        """Reads so many bytes, in parts. `whole`: the size of the body up to their end."""
        if max(size, whole) > _MAX_BODY:
            raise Failure(413, "http: request body too large")
        while size:
            if not self._buffer:
                self._more()
            part = self._cut(min(size, len(self._buffer)))
            size -= len(part)
            yield part

    def _cut(self, size: int, gap: int = 0) -> bytes:
        """Takes these bytes out of the buffer, and drops the `gap` bytes that follow."""
        taken = bytes(self._buffer[:size])
        del self._buffer[: size + gap]
        return taken

    def _more(self) -> None:
        data = self._connection.recv(262144)
        if not data:
            raise ConnectionError("the client closed the connection within a request")
        self._buffer += data
