"""A server on loopback that answers each request as no honest server would: too slowly, without end, or not in HTTP.

A way to answer is a function of the connection and of the request's head. `WAYS` names those that never give an answer;
each of them runs until the client hangs up or the server is closed.
"""

from __future__ import annotations

import gzip
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from threading import Event, Thread

PAUSE_S = 0.05
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-goog-generation: 1\r\n"
    b'ETag: "e"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Range: bytes 0-99999/100000\r\n'
)
"""Good enough for a region and for each vendor's store."""

Way = Callable[["HostileServer", socket.socket], None]


class HostileServer:
    """`address` is where clients go; `requests` are the heads of what came; `sent_bytes` is what was answered."""

    def __init__(self, way: Way, *, is_patient: bool = True) -> None:
        self.way = way
        self._is_patient = is_patient
        self.requests: list[bytes] = []
        self.sent_bytes = 0
        self.is_over = Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        Thread(target=self._accept, daemon=True).start()

    def send(self, connection: socket.socket, data: bytes) -> None:
        connection.sendall(data)
        self.sent_bytes += len(data)

    def drip(self, connection: socket.socket, data: bytes) -> None:
        """Send it byte by byte, and begin again at its end, for ever."""
        while True:
            for byte in data:
                self.send(connection, bytes([byte]))
                if self.is_over.wait(PAUSE_S):
                    raise ConnectionAbortedError

    def flood(self, connection: socket.socket, data: bytes) -> None:
        """Send it again and again, as fast as it is taken."""
        while not self.is_over.is_set():
            self.send(connection, data)

    def close(self) -> None:
        self.is_over.set()
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while not self.is_over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if not self._is_patient:
                self.way(self, connection)
            while head := _request(connection):
                self.requests.append(head)
                self.way(self, connection)


def _request(connection: socket.socket) -> bytes:
    """One whole request; b"" when the client hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        block = connection.recv(65536)
        if not block:
            return b""
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    missing = int(fields.get(b"content-length", b"0")) - len(body)
    while missing > 0:
        block = connection.recv(65536)
        if not block:
            return b""
        missing -= len(block)
    return head


@contextmanager
def hostile_server(way: Way, *, is_patient: bool = True) -> Iterator[HostileServer]:
    """A server that answers every request that way; one that isn't patient begins before it has read any."""
    server = HostileServer(way, is_patient=is_patient)
    try:
        yield server
    finally:
        server.close()


def answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> Way:
    """An honest answer, for what a server has to say before it turns hostile."""

    def way(server: HostileServer, connection: socket.socket) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        server.send(connection, head.encode() + body)

    return way


def never(server: HostileServer, connection: socket.socket) -> None:
    server.is_over.wait()


def drip_status(server: HostileServer, connection: socket.socket) -> None:
    server.drip(connection, b"H" * 100)


def drip_headers(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"X-Long: ")
    server.drip(connection, b"a")


def drip_body(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"Content-Length: 100000\r\n\r\n")
    server.drip(connection, b" ")


def drip_chunks(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    server.drip(connection, b"1\r\n \r\n")


def drip_packed(server: HostileServer, connection: socket.socket) -> None:
    """The stored blocks of gzip: nothing comes out for a long time."""
    server.send(
        connection, HEAD + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n" + gzip.compress(b"")[:10]
    )
    server.drip(connection, b"\x00\x00\x00\xff\xff")


def drip_refusal(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 100000\r\n\r\n")
    server.drip(connection, b"x")


def continue_for_ever(server: HostileServer, connection: socket.socket) -> None:
    server.drip(connection, b"HTTP/1.1 100 Continue\r\n\r\n")


def drip_handshake(server: HostileServer, connection: socket.socket) -> None:
    """One record of TLS, its bytes one by one. For a server that isn't patient."""
    server.send(connection, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
    server.drip(connection, b"\x03")


DRIPPING: dict[str, Way] = {
    "never answers": never,
    "drips the status line": drip_status,
    "drips headers": drip_headers,
    "drips the body": drip_body,
    "drips chunks": drip_chunks,
    "drips a packed body": drip_packed,
    "drips a refusal": drip_refusal,
    "drips 100 Continue": continue_for_ever,
}
"""They never finish: the deadline ends the call."""


def endless_chunks(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    server.flood(connection, b"10000\r\n" + b" " * 65536 + b"\r\n")


def endless_body(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"Connection: close\r\n\r\n")
    server.flood(connection, b" " * 65536)


def endless_length(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"Content-Length: 1099511627776\r\n\r\n")
    server.flood(connection, b" " * 65536)


@cache
def _packed_gigabyte() -> bytes:
    """A gigabyte of spaces in about a megabyte: one packed megabyte, repeated."""
    spaces = b" " * (1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(spaces) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 0
    for _ in range(1024):
        check = zlib.crc32(spaces, check)
    head, end = b"\x1f\x8b\x08" + bytes(7), b"\x03\x00"
    return head + piece * 1024 + end + struct.pack("<LL", check, 1 << 30)


def gzip_bomb(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n")
    server.send(connection, _packed_gigabyte())
    connection.shutdown(socket.SHUT_WR)
    server.is_over.wait()


ENDLESS: dict[str, Way] = {
    "endless chunks": endless_chunks,
    "endless body": endless_body,
    "a terabyte declared and sent": endless_length,
    "a gzip bomb": gzip_bomb,
}
"""They would fill the memory: a limit of bytes ends the call."""


def cut_body(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"Content-Length: 1000\r\n\r\n[1, 2")
    connection.shutdown(socket.SHUT_RDWR)


def garbage(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, b"\x00\xff\x00SSH-2.0 nonsense\r\n\r\n")
    connection.shutdown(socket.SHUT_RDWR)


def many_headers(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"".join(b"X-%d: a\r\n" % number for number in range(5000)) + b"\r\n")
    connection.shutdown(socket.SHUT_RDWR)


def long_header(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"X-Long: " + b"a" * (1 << 20) + b"\r\n\r\n")
    connection.shutdown(socket.SHUT_RDWR)


def wrong_length(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"Content-Length: -5\r\nConnection: close\r\n\r\n{")
    connection.shutdown(socket.SHUT_RDWR)


def bad_gzip(server: HostileServer, connection: socket.socket) -> None:
    server.send(connection, HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!")


BROKEN: dict[str, Way] = {
    "closes mid-body": cut_body,
    "garbage for a status line": garbage,
    "5,000 headers": many_headers,
    "a header of a megabyte": long_header,
    "a negative length": wrong_length,
    "gzip that isn't": bad_gzip,
}
"""They end, but not as HTTP does."""
