"""Values read from regions and stores: one read for all viewers, none while nobody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from jobs.errors import FedmlError

T = TypeVar("T")

READING_PART = 20
"""A value is read again after this many times as long as reading it took, so that a slow server is asked less often."""
KEYS_MAX = 256
"""More values than this are not kept. The one that was wanted longest ago goes first."""


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """A value as of `at` (seconds since the epoch). `problem` says why no newer one could be read."""

    value: T
    at: float
    took_s: float
    problem: FedmlError | None = None


@dataclass(slots=True)
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    known: Known[object] | None = None
    tried: float = 0.0
    wanted: float = 0.0


class Shared:
    """Keeps what was read under a key. Who finds it too old reads it again; others get what is known meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[Hashable, _Slot] = {}

    def get(self, key: Hashable, read: Callable[[], T], *, max_age_s: float) -> Known[T]:
        """The value, at most about `max_age_s` old. Raises the FedmlError of `read` where nothing was known before. Where
        something was, it stays, with the error as its `problem`."""
        slot = self._slot(key)
        if self._is_fresh(slot, max_age_s):
            return cast("Known[T]", slot.known)
        if not slot.lock.acquire(blocking=slot.known is None):
            return cast("Known[T]", slot.known)
        try:
            if not self._is_fresh(slot, max_age_s):
                self._read(slot, read)
            return cast("Known[T]", slot.known)
        finally:
            slot.lock.release()

    def forget(self, key: Hashable) -> None:
        """Reads the value again when it is wanted next: an action has changed it."""
        with self._lock:
            self._slots.pop(key, None)

    def _slot(self, key: Hashable) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            slot.wanted = self._clock()
            if len(self._slots) > KEYS_MAX:
                oldest = min(self._slots, key=lambda known: self._slots[known].wanted)
                del self._slots[oldest]
            return slot

    def _is_fresh(self, slot: _Slot, max_age_s: float) -> bool:
        if slot.known is None:
            return False
        return self._clock() - slot.tried < max(max_age_s, slot.known.took_s * READING_PART)

    def _read(self, slot: _Slot, read: Callable[[], object]) -> None:
        begun = self._clock()
        try:
            value = read()
        except FedmlError as error:
            if slot.known is None:
                raise
            took_s = self._clock() - begun
            slot.known = Known(slot.known.value, slot.known.at, took_s, error)
        else:
            slot.known = Known(value, self._clock(), self._clock() - begun)
        slot.tried = self._clock()
