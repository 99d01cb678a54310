"""A TCP relay in front of a server, whose fault can be changed at any moment: `address` is where clients go.

Bytes are passed on as they come, event streams too. What a fault drops is lost for that connection, as a packet is that is
dropped each time it is sent again. Mending ends all connections, so that nobody waits for bytes that were lost.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["in", "out", "both"]
"""in: requests don't reach the server. out: they do, and their answers are lost."""
STREAM = b"/v1/event/stream"
LARGE_READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing passes in that direction; connections stay open."""

    direction: Direction = "both"


@dataclass(frozen=True, slots=True)
class Refused:
    """Connections are reset, old and new ones."""


@dataclass(frozen=True, slots=True)
class Oversized:
    """What is sent at once and is larger never arrives, nor what follows it on that connection."""

    over_bytes: int


@dataclass(frozen=True, slots=True)
class Delayed:
    """Each answer begins so much later."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Dripped:
    """Answers come in pieces of so many bytes, a pause before each."""

    piece_bytes: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class Limited:
    """So many bytes a second and connection, in each direction."""

    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class StreamStalled:
    """Nothing arrives on event streams; everything else passes."""


Fault = Dropped | Refused | Oversized | Delayed | Dripped | Limited | StreamStalled


@dataclass(eq=False, slots=True)
class _Connection:
    """A client's connection and the one to the server."""

    client: socket.socket
    server: socket.socket
    is_stream: bool = False
    is_asked: bool = True
    """A request came, and no answer to it yet."""
    dead: set[str] = field(default_factory=set)
    """Directions in which something was lost that can't arrive any more."""

    def end(self, *, is_reset: bool = False) -> None:
        for one in (self.client, self.server):
            with contextlib.suppress(OSError):
                if is_reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Link:
    """A relay on a free port of 127.0.0.1 to another one."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._fault: Fault | None = None
        self._changed = threading.Event()
        """Set when the fault that threads wait in is over; each fault has its own."""
        self._connections: list[_Connection] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def suffer(self, fault: Fault) -> None:
        """From now on, instead of what it suffered before."""
        changed, self._changed = self._changed, threading.Event()
        self._fault = fault
        changed.set()
        if isinstance(fault, Refused):
            self._end_connections(is_reset=True)

    def cut(self, direction: Direction) -> None:
        """From now on nothing passes in that direction."""
        self.suffer(Dropped(direction))

    def mend(self) -> None:
        """Connections are lost; new ones pass."""
        self._fault = None
        self._changed.set()
        self._end_connections()

    def close(self) -> None:
        """End it, with all its connections."""
        with contextlib.suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.mend()

    def _end_connections(self, *, is_reset: bool = False) -> None:
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.end(is_reset=is_reset)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream))
            except OSError:  # the server is gone: its clients find that too
                client.close()
                continue
            connection = _Connection(client, server)
            if isinstance(self._fault, Refused):
                connection.end(is_reset=True)
                continue
            with self._lock:
                self._connections.append(connection)
            for direction in ("in", "out"):
                threading.Thread(target=self._pass_on, args=(connection, direction), daemon=True).start()

    def _pass_on(self, connection: _Connection, direction: str) -> None:
        source, target = connection.client, connection.server
        if direction == "out":
            source, target = target, source
        with contextlib.suppress(OSError):
            while data := source.recv(LARGE_READ_BYTES):
                if direction == "in":
                    connection.is_asked = True
                    connection.is_stream = connection.is_stream or STREAM in data.partition(b"\r\n")[0]
                if self._arrives(connection, direction, len(data)):
                    self._send(connection, direction, data, target.sendall)
            if self._arrives(connection, direction, 0):
                target.shutdown(socket.SHUT_WR)
        with self._lock:
            if direction == "out" and connection in self._connections and not connection.dead:
                self._connections.remove(connection)
                connection.end()

    def _arrives(self, connection: _Connection, direction: str, size_bytes: int) -> bool:
        """Whether so many bytes are passed on; a connection that lost some passes nothing more that way."""
        fault = self._fault
        if (
            (isinstance(fault, Dropped) and fault.direction in (direction, "both"))
            or (isinstance(fault, Oversized) and size_bytes > fault.over_bytes)
            or (isinstance(fault, StreamStalled) and direction == "out" and connection.is_stream)
        ):
            connection.dead.add(direction)
        return direction not in connection.dead

    def _send(self, connection: _Connection, direction: str, data: bytes, send: Callable[[bytes], object]) -> None:
        """Pass the bytes on at the pace of the fault, at once when it is over."""
        fault, changed = self._fault, self._changed
        piece_bytes, pause_s = len(data), 0.0
        if isinstance(fault, Dripped) and direction == "out":
            piece_bytes, pause_s = fault.piece_bytes, fault.pause_s
        elif isinstance(fault, Limited):
            piece_bytes, pause_s = max(1, fault.bytes_per_s // 10), 0.1
        elif isinstance(fault, Delayed) and direction == "out" and connection.is_asked:
            pause_s = fault.delay_s
        if direction == "out":
            connection.is_asked = False
        for start in range(0, len(data), piece_bytes):
            if pause_s:
                changed.wait(pause_s)
            send(data[start : start + piece_bytes])
