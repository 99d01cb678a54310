"""Connections of urllib3, and so of requests and of the stores' SDKs, under the limits of the current call.

`limited_pools` makes the connections of any pool manager limited. `LimitedAdapter` is that for a session of requests, and
reads the body itself, so that neither a packed nor an endless one fills the memory.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from regions.call_limits import CallLimits, LimitedSocket, current_limits

ERROR_BYTES_MAX = 64 << 10
"""What is read of the body of a refusal."""
_READ_BYTES = 64 << 10


class BodyTooLarge(requests.RequestException):
    """The answer's body, unpacked, has more bytes than it may."""


def limited_pools(manager: Any) -> None:
    """Have the manager's pools open limited connections from now on; safe to say twice."""
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _limited_pool(pool) for scheme, pool in pools.items()}


class LimitedAdapter(HTTPAdapter):
    """An adapter for sessions of requests whose calls keep the current limits."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools limited."""
        super().init_poolmanager(*args, **kwargs)
        limited_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the pools of a proxy limited too."""
        manager = super().proxy_manager_for(*args, **kwargs)
        limited_pools(manager)
        return manager

    def send(self, request: Any, stream: bool = False, *args: Any, **kwargs: Any) -> requests.Response:
        """Send it and read the body within the limits, but for a stream that isn't refused. Raises BodyTooLarge."""
        response = super().send(request, stream, *args, **kwargs)
        limits = current_limits()
        if limits is None:
            return response
        if response.status_code < 300 and request.method != "HEAD":
            _refuse_declared(response, limits)
        if not stream or response.status_code >= 300:
            _read_body(response, limits)
        else:
            # A stream is given as it comes: unpacked, a few bytes could become any number.
            response.raw.headers.pop("Content-Encoding", None)
        return response


def _refuse_declared(response: requests.Response, limits: CallLimits) -> None:
    """Refuse a body that is too large by its own length. Raises BodyTooLarge."""
    declared = response.headers.get("Content-Length", "")
    if limits.answer_bytes_max is None or not (declared.isascii() and declared.isdigit()):
        return
    if len(declared) > 18 or int(declared) > limits.answer_bytes_max:
        response.close()
        raise BodyTooLarge(str(limits.too_large()))


def _read_body(response: requests.Response, limits: CallLimits) -> None:
    """Read what a body may have; of a refusal only its beginning is kept."""
    is_refusal = response.status_code >= 300
    size_max = ERROR_BYTES_MAX if is_refusal else limits.answer_bytes_max
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in response.iter_content(_READ_BYTES):
            pieces.append(piece)
            size += len(piece)
            if size_max is not None and size > size_max:
                if not is_refusal:
                    raise BodyTooLarge(str(limits.too_large()))
                response.close()
                break
    except BaseException:
        response.close()
        raise
    response._content = b"".join(pieces)[:size_max]
    response._content_consumed = True


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
        """It is open, or failed."""
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
