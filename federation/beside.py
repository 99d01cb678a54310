"""Runs a call beside others, in a thread that doesn't keep the process alive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def beside(call: Callable[[], T], *, name: str) -> Future[T]:
    """Begins the call. The future has its value, or raises what it raised. A call that hangs holds up nobody who doesn't ask
    for its value."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
