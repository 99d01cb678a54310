"""The line from this machine to a server enters, and is cut in one direction or both: `address` is where the command goes.

Bytes are passed on as they come, event streams too. A cut line keeps its connections; what is sent into it is lost, so
whoever waits at its other end waits, or is told nothing. Mending ends all connections that were cut: what was lost never
arrives.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal

Direction = Literal["in", "out", "both"]
"""in: requests don't reach the server. out: they do, and their answers are lost."""


class Line:
    """A relay on a free port of 127.0.0.1 to another one."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._cut: set[str] = set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, direction: Direction) -> None:
        """From now on nothing passes in that direction."""
        self._cut = {"in", "out"} if direction == "both" else {direction}

    def mend(self) -> None:
        """Connections are lost; new ones pass."""
        self._cut = set()
        self._end_connections()

    def close(self) -> None:
        self._listener.close()
        self._end_connections()

    def _end_connections(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for one in pair:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

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
            with self._lock:
                self._pairs.append((client, server))
            for source, target, direction in ((client, server, "in"), (server, client, "out")):
                threading.Thread(target=self._pass_on, args=(source, target, direction), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if direction not in self._cut:
                    target.sendall(data)
            if direction not in self._cut:
                target.shutdown(socket.SHUT_WR)
