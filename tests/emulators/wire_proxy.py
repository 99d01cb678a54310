"""A proxy that passes bytes on, whatever they mean, and does to them what a bad network does.

A fault of each kind may be switched on and off while connections stand: `proxy.mode("drip")`, `proxy.mode()`.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Literal

Mode = Literal["", "drip", "delay", "cut", "one_way", "max_bytes", "rate"]
_BLOCK_BYTES = 65536


@dataclass(frozen=True)
class Fault:
    """What is done to the bytes.

    - `drip`: the server's bytes come one by one, each after `pause_s`.
    - `delay`: each block, of both sides, waits for `pause_s`.
    - `cut`: connections are closed, and no new one is taken.
    - `one_way`: the server hears everything, and nothing comes back.
    - `max_bytes`: of each connection the server's first `limit_bytes` come, and nothing after them.
    - `rate`: the server's bytes come in blocks of `limit_bytes`, one each `pause_s`.
    """

    mode: Mode = ""
    pause_s: float = 0.05
    limit_bytes: int = 1024


class WireProxy:
    """`address` (`host:port`) is where clients go; `connections` counts those that were taken."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self.connections = 0
        self._upstream = upstream
        self._fault = Fault()
        self._is_over = Event()
        self._lock = Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        Thread(target=self._accept, daemon=True).start()

    def mode(self, mode: Mode = "", *, pause_s: float = 0.05, limit_bytes: int = 1024) -> None:
        """From now on do this to all connections; "" for nothing."""
        self._fault = Fault(mode, pause_s, limit_bytes)
        if mode == "cut":
            self._close_all()

    def close(self) -> None:
        """Close everything."""
        self._is_over.set()
        self._listener.close()
        self._close_all()

    def _close_all(self) -> None:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for side in pair:
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                client, _ = self._listener.accept()
                if self._fault.mode == "cut":
                    client.close()
                    continue
                server = socket.create_connection(self._upstream)
            except OSError:
                if self._is_over.is_set():
                    return
                continue
            self.connections += 1
            with self._lock:
                self._pairs.append((client, server))
            Thread(target=self._relay, args=(client, server), daemon=True).start()

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        passed_bytes = 0
        with suppress(OSError), client, server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ)
            ready.register(server, selectors.EVENT_READ)
            while not self._is_over.is_set():
                for key, _ in ready.select(1.0):
                    is_answer = key.fileobj is server
                    block = key.fileobj.recv(_BLOCK_BYTES)  # type: ignore[union-attr]
                    if not block:
                        return
                    if not is_answer:
                        self._pause("delay")
                        server.sendall(block)
                    else:
                        passed_bytes += self._answer(client, block, passed_bytes)

    def _answer(self, client: socket.socket, block: bytes, passed_bytes: int) -> int:
        """How many bytes of the block were passed on."""
        sent = 0
        while sent < len(block) and not self._is_over.is_set():
            fault = self._fault
            size = {"drip": 1, "rate": fault.limit_bytes}.get(fault.mode, len(block))
            if fault.mode == "one_way":
                return sent
            if fault.mode == "max_bytes":
                size = max(0, fault.limit_bytes - passed_bytes - sent)
                if not size:
                    return sent
            self._pause("drip", "delay", "rate")
            client.sendall(block[sent : sent + size])
            sent += len(block[sent : sent + size])
        return sent

    def _pause(self, *modes: Mode) -> None:
        if self._fault.mode in modes:
            self._is_over.wait(self._fault.pause_s)


@contextmanager
def wire_proxy(address: str) -> Iterator[WireProxy]:
    """A proxy in front of `host:port` or `http://host:port`."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    proxy = WireProxy((host, int(port)))
    try:
        yield proxy
    finally:
        proxy.close()
