"""Connections of urllib3, and so of every SDK that is built on it, under the limits of the current call.

`limited_pools` makes the connections of any pool manager limited.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from regions.call_limits import CallLimits, LimitedSocket, current_limits


def limited_pools(manager: Any) -> None:
    """Make the manager's pools open limited connections from now on. Safe to call twice."""
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _limited_pool(pool) for scheme, pool in pools.items()}


@cache
def _limited_pool(pool: Any) -> Any:
    if issubclass(pool.ConnectionCls, _LimitedConnection):
        return pool
    connection = type(f"Limited{pool.ConnectionCls.__name__}", (_LimitedConnection, pool.ConnectionCls), {})
    return type(f"Limited{pool.__name__}", (pool,), {"ConnectionCls": connection})


class _LimitedConnection:
    """What a limited connection does besides what urllib3's does."""

    sock: Any
    timeout: Any
    _opening: _Opening | None = None

    def connect(self) -> None:
        limits = current_limits()
        if limits is not None:
            self.timeout = limits.wait_s(self.timeout if isinstance(self.timeout, (int, float)) else None)
        with _watched(limits) as self._opening:
            super().connect()  # type: ignore[misc]
        self.sock = LimitedSocket(self.sock)
        self.sock.limits = limits

    def _new_conn(self) -> Any:
        sock = super()._new_conn()  # type: ignore[misc]
        if self._opening is not None:
            self._opening.watch(sock)
        return sock

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        if isinstance(self.sock, LimitedSocket):
            self.sock.limits = current_limits()
        super().putrequest(*args, **kwargs)  # type: ignore[misc]


class _Opening:
    """A connection being opened: its socket is shut down when the call's time is over, whatever TLS does with it."""

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_over = False
        self._timer = threading.Timer(max(0.0, limits.left_s), self._shut_down)
        self._timer.daemon = True

    def watch(self, sock: Any) -> None:
        """A copy of the descriptor is kept: wrapping a socket in TLS takes the descriptor away from it."""
        with self._lock:
            self._sockets.append(socket.socket(fileno=os.dup(sock.fileno())))
        if not self._timer.is_alive():
            self._timer.start()

    def end(self) -> None:
        """Called when the connection is open, or failed."""
        self._timer.cancel()
        with self._lock:
            self._is_over = True
            for sock in self._sockets:
                sock.close()

    def _shut_down(self) -> None:
        with self._lock:
            if self._is_over:
                return
            self._limits.overdue()
            for sock in self._sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:  # the other side was faster
                    continue


@contextmanager
def _watched(limits: CallLimits | None) -> Iterator[_Opening | None]:
    if limits is None:
        yield None
        return
    opening = _Opening(limits)
    try:
        yield opening
    finally:
        opening.end()
