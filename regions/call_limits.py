"""Limits of one whole HTTP call: how long it may take and how many bytes its answer may have.

A client's own timeout starts anew with each read, so a server that sends one byte every two seconds never reaches it.
Here the time counts from the start of the call until its last byte, whatever the call does: connect, shake hands, send,
wait, read. `regions.limited_http` applies the limits to every socket of a client that is built on urllib3.
"""

from __future__ import annotations

import contextvars
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SEND_BYTES = 256 << 10


class CallOverdue(socket.timeout):
    """The call took longer than it may."""


class AnswerTooLarge(OSError):
    """The answer has more bytes than it may."""


class CallLimits:
    """The limits of one call, and what it has used of them. Used by one thread at a time.

    The call may take `deadline_s`. With `rate_bytes_per_s`, each such number of bytes that moves adds a second: a large
    file may take long, but only as long as its bytes do move.
    """

    def __init__(
        self, deadline_s: float, *, answer_bytes_max: int | None = None, rate_bytes_per_s: int | None = None
    ) -> None:
        self.deadline_s = deadline_s
        self.answer_bytes_max = answer_bytes_max
        self.rate_bytes_per_s = rate_bytes_per_s
        self.received_bytes = 0
        self.sent_bytes = 0
        self.problem = ""
        """Which limit the call broke, in words; empty while it broke none."""
        self.is_too_large = False
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """How long the call has taken until now."""
        return time.monotonic() - self._started

    @property
    def left_s(self) -> float:
        """How much longer the call may take; 0 or less when its time is over."""
        earned_s = (self.received_bytes + self.sent_bytes) / self.rate_bytes_per_s if self.rate_bytes_per_s else 0.0
        return self.deadline_s + earned_s - self.elapsed_s

    def restart(self, deadline_s: float, *, rate_bytes_per_s: int | None = None) -> None:
        """Begin anew: count time and bytes from now on."""
        self.received_bytes = self.sent_bytes = 0
        self._started, self.deadline_s, self.rate_bytes_per_s = time.monotonic(), deadline_s, rate_bytes_per_s

    def wait_s(self, timeout_s: float | None) -> float:
        """How long the next wait may take, at most `timeout_s`. Raises CallOverdue when no time is left."""
        left_s = self.left_s
        if left_s <= 0:
            raise self.overdue()
        return left_s if timeout_s is None else min(timeout_s, left_s)

    def overdue(self) -> CallOverdue:
        """Note that the time is over, and give the error that says so."""
        if not self.problem:
            silence = f"no answer in time ({self.elapsed_s:.1f} s)"
            self.problem = f"{self.progress()} and didn't finish" if self.received_bytes else silence
        return CallOverdue(self.problem)

    def too_large(self) -> AnswerTooLarge:
        """Note that the answer is too large, and give the error that says so."""
        self.is_too_large = True
        self.problem = f"the answer has more than {in_bytes(self.answer_bytes_max or 0)}"
        return AnswerTooLarge(self.problem)

    def received(self, size_bytes: int) -> None:
        """Count bytes that arrived. Raises AnswerTooLarge."""
        self.received_bytes += size_bytes
        if self.answer_bytes_max is not None and self.received_bytes > self.answer_bytes_max:
            raise self.too_large()

    def progress(self) -> str:
        """What was answered until now and in which time, for messages."""
        return f"answered {self.received_bytes:,} bytes in {self.elapsed_s:.1f} s"

    @contextmanager
    def applied(self) -> Iterator[CallLimits]:
        """Apply the limits to each request that this thread sends meanwhile."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


_current: contextvars.ContextVar[CallLimits | None] = contextvars.ContextVar("call_limits", default=None)


def current_limits() -> CallLimits | None:
    """The limits of the call that this thread makes now; None where there are none."""
    return _current.get()


def in_bytes(size: int) -> str:
    """A size for messages: `64 MiB`, `312 bytes`."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"


class LimitedSocket:
    """A connected socket under the limits of the call that uses it now. In all other respects it behaves as that socket."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._timeout_s: float | None = sock.gettimeout()
        self.limits: CallLimits | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, timeout_s: float | None) -> None:
        """Set how long one wait may take; the limits may shorten it."""
        self._timeout_s = timeout_s
        self._sock.settimeout(timeout_s)

    def prepare(self, limits: CallLimits | None) -> None:
        """Set how long the next wait may take. Raises CallOverdue."""
        if limits is not None:
            self._sock.settimeout(limits.wait_s(self._timeout_s))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it, as much at a time as the system takes. Raises CallOverdue."""
        limits = self.limits
        with memoryview(data).cast("B") as view:
            start = 0
            while start < len(view):
                self.prepare(limits)
                with _overdue(limits):
                    sent_bytes = self._sock.send(view[start : start + SEND_BYTES], flags)
                start += sent_bytes
                if limits is not None:
                    limits.sent_bytes += sent_bytes

    def makefile(self, mode: str = "r", buffering: int | None = None, **options: Any) -> Any:
        """The reader that http.client reads answers with; as the socket's own, but limited."""
        if mode != "rb":
            return self._sock.makefile(mode, buffering, **options)
        reader = _LimitedReader(self, self._sock.makefile("rb", buffering=0), self.limits)
        return reader if buffering == 0 else io.BufferedReader(reader)


class _LimitedReader(io.RawIOBase):
    """The bytes of one answer, as they arrive."""

    def __init__(self, sock: LimitedSocket, inner: Any, limits: CallLimits | None) -> None:
        self._sock = sock
        self._inner = inner
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        self._sock.prepare(self._limits)
        with _overdue(self._limits):
            count = self._inner.readinto(buffer)
        if self._limits is not None and count:
            self._limits.received(count)
        return count

    def fileno(self) -> int:
        return int(self._inner.fileno())

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


@contextmanager
def _overdue(limits: CallLimits | None) -> Iterator[None]:
    """Raises CallOverdue where a wait ended because the call's time was over."""
    try:
        yield
    except socket.timeout:  # noqa: UP041 - another class than TimeoutError before Python 3.10
        if limits is not None and limits.left_s <= 0:
            raise limits.overdue() from None
        raise
