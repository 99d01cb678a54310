"""An event loop on one thread: calls, timers and readable files, run in order, so that nothing needs a lock."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable

_CALLS_A_ROUND = 32  # exits and timers must not wait behind a thousand starts


class Timer:
    """A planned call. `cancel` prevents it if it hasn't run."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """One daemon thread. Any thread may call `post`; `later`, `at_end`, `watch` and `unwatch` only the loop."""

    def __init__(self, name: str) -> None:
        self._calls: deque[Callable[[], None]] = deque()
        self._end_calls: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after everything that was posted before. Returns when it has ended."""
        self.post(self._stop)
        self._thread.join()
        self._selector.close()
        os.close(self._wake)
        os.close(self._waker)

    def post(self, call: Callable[[], None]) -> None:
        """Runs `call` on the loop, soon."""
        self._calls.append(call)
        if threading.current_thread() is not self._thread:
            try:
                os.write(self._waker, b".")
            except OSError:  # full: it wakes anyway; closed: there is nobody to wake
                pass

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def at_end(self, call: Callable[[], None]) -> None:
        """Runs `call` after everything that can run now, so that a common consequence of many events is done once."""
        self._end_calls.append(call)

    def watch(self, fd: int, call: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, call)

    def unwatch(self, fd: int) -> None:
        self._selector.unregister(fd)

    def _stop(self) -> None:
        self._stopping = True

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select(self._timeout()):
                if key.data is None:
                    os.read(self._wake, 1 << 16)
                else:
                    self._call(key.data)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                if call := heapq.heappop(self._timers)[2].call:
                    self._call(call)
            for _ in range(min(len(self._calls), _CALLS_A_ROUND)):
                self._call(self._calls.popleft())
            for _ in range(len(self._end_calls)):
                self._call(self._end_calls.popleft())

    def _timeout(self) -> float | None:
        if self._calls or self._end_calls:
            return 0
        return max(self._timers[0][0] - time.monotonic(), 0) if self._timers else None

    @staticmethod
    def _call(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:  # noqa: BLE001 - one allocation's trouble must not end the others
            import traceback  # rarely needed

            traceback.print_exc()
