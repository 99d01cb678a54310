"""Exchanges JSON messages, one a line, over a connection of a selector, without ever waiting.

Loads few modules: the executor imports it.
"""

from __future__ import annotations

import json
import selectors
import socket
from typing import Any

_CHUNK = 1 << 16


class LineConnection:
    """The newest connection that was accepted, registered in `selector` with this object as its data."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._peer: socket.socket | None = None
        self._received = b""
        self._unsent = bytearray()

    @property
    def is_connected(self) -> bool:
        """Whether somebody is at the other end."""
        return self._peer is not None

    def accept(self, listener: socket.socket) -> None:
        """Accepts a connection, and drops the one before."""
        peer, _ = listener.accept()
        self._drop()
        self._peer = peer
        self._received = b""
        self._unsent.clear()
        peer.setblocking(False)
        self._selector.register(peer, selectors.EVENT_READ, self)

    def send(self, message: dict[str, Any]) -> None:
        """Sends without waiting, because the peer may itself wait until its messages are read. Nobody there: does nothing."""
        if self._peer is not None:
            self._unsent += json.dumps(message).encode() + b"\n"
            self._flush(self._peer)

    def exchange(self, ready: int) -> list[dict[str, Any]]:
        """Sends and receives what is possible now. Returns the messages that are complete."""
        if ready & selectors.EVENT_WRITE and self._peer is not None:
            self._flush(self._peer)
        if ready & selectors.EVENT_READ and self._peer is not None:
            return self._read(self._peer)
        return []

    def _read(self, peer: socket.socket) -> list[dict[str, Any]]:
        try:
            data = peer.recv(_CHUNK)
        except OSError:
            data = b""
        if not data:
            self._drop()
            return []
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _flush(self, peer: socket.socket) -> None:
        try:
            del self._unsent[: peer.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self._drop()
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if self._selector.get_key(peer).events != wanted:
            self._selector.modify(peer, wanted, self)

    def _drop(self) -> None:
        if self._peer is not None:
            self._selector.unregister(self._peer)
            self._peer.close()
            self._peer = None
