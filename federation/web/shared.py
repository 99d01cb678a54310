"""Values read from regions and stores: one read for all viewers, none while nobody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from federation.beside import beside
from jobs.errors import FedmlError

T = TypeVar("T")

READING_PART = 20
"""A value is read again after this many times as long as reading it took, so that a slow server is asked less often."""
FAILED_PART = 4
"""The same after a read that failed: whether a silent region is back is wanted sooner."""
FAILED_AGE_MAX_S = 10.0
"""A read that failed is repeated after this, whatever age its value may have."""
KEYS_MAX = 256
"""More values than this are not kept, but for those that are being read. The one that was wanted longest ago goes first."""


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """A value as of `at` (seconds since the epoch). `problem` says why no newer one could be read."""

    value: T
    at: float
    took_s: float
    problem: FedmlError | None = None


@dataclass(slots=True)
class _Slot:
    known: Known[object] | None = None
    error: FedmlError | None = None
    """Why the last read failed, where nothing is known."""
    again_after_s: float = 0.0
    """How long servers are left alone after a read, by how long that took."""
    tried: float | None = None
    """When the last read ended; None: it is to be read again."""
    begun: float = 0.0
    wanted: float = 0.0
    reading: Future[None] | None = None
    is_renewed: bool = False
    """Somebody wants it read again, whatever the read that goes on finds."""

    def age_max_s(self, wanted_s: float) -> float:
        """How old the last read may be for someone who wants a value of that age."""
        has_failed = self.error is not None or (self.known is not None and self.known.problem is not None)
        return max(min(wanted_s, FAILED_AGE_MAX_S) if has_failed else wanted_s, self.again_after_s)


class Shared:
    """Keeps what was read under a key. Who finds it too old has it read again; others get what is known meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[Hashable, _Slot] = {}

    def get(self, key: Hashable, read: Callable[[], T], *, max_age_s: float | Callable[[T], float]) -> Known[T]:
        """The value, at most about `max_age_s` old, which may depend on the value that is known. Raises the FedmlError of
        `read` where nothing was known before. Where something was, it stays, with the error as its `problem`."""
        slot, reading, is_mine = self._begun(key, read, max_age_s)
        if reading is not None and (is_mine or slot.known is None):
            reading.result()
        return cast("Known[T]", _outcome(slot))

    def soon(self, key: Hashable, read: Callable[[], T], *, max_age_s: float, wait_s: float) -> Known[T] | None:
        """As `get`, but waits at most until `wait_s` after the read began. Then returns what is known: None where that is
        nothing yet. The read goes on, for whoever looks next."""
        slot, reading, is_mine = self._begun(key, read, max_age_s)
        if reading is not None and (is_mine or slot.known is None):
            try:
                reading.result(max(0.0, slot.begun + wait_s - self._clock()))
            except TimeoutError:
                return cast("Known[T] | None", slot.known)
        return cast("Known[T]", _outcome(slot))

    def renew(self, key: Hashable) -> None:
        """Reads the value again when it is wanted next, however young it is. It stays known until then."""
        with self._lock:
            if key in self._slots:
                self._slots[key].tried, self._slots[key].is_renewed = None, True

    def is_being_read(self, key: Hashable) -> bool:
        """Whether a read goes on."""
        with self._lock:
            return key in self._slots and self._slots[key].reading is not None

    def _begun(
        self, key: Hashable, read: Callable[[], object], max_age_s: float | Callable[[Any], float]
    ) -> tuple[_Slot, Future[None] | None, bool]:
        """The slot, the read that goes on (None for a young value), and whether it began just now."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            slot.wanted = self._clock()
            if len(self._slots) > KEYS_MAX:
                settled = [known for known, other in self._slots.items() if other is not slot and other.reading is None]
                self._slots.pop(min(settled, key=lambda known: self._slots[known].wanted, default=None), None)
            age_s = -1.0 if slot.tried is None else self._clock() - slot.tried
            if callable(max_age_s):
                max_age_s = max_age_s(slot.known.value) if slot.known is not None else FAILED_AGE_MAX_S
            if 0 <= age_s < slot.age_max_s(max_age_s):
                return slot, None, False
            if slot.reading is not None:
                return slot, slot.reading, False
            slot.begun, slot.is_renewed = self._clock(), False
            slot.reading = beside(lambda: self._read(slot, read), name="shared-read")
            return slot, slot.reading, True

    def _read(self, slot: _Slot, read: Callable[[], object]) -> None:
        known, error, tried = slot.known, None, None
        part = READING_PART
        try:
            value = read()
            known = Known(value, self._clock(), self._clock() - slot.begun)
            tried = self._clock()
        except FedmlError as problem:
            error, part, tried = problem, FAILED_PART, self._clock()
            known = replace(known, problem=problem) if known is not None else None
        finally:
            with self._lock:
                slot.again_after_s = (self._clock() - slot.begun) * part
                slot.known, slot.error, slot.reading = known, error, None
                slot.tried = None if slot.is_renewed else tried


def _outcome(slot: _Slot) -> Known[object]:
    if slot.known is not None:
        return slot.known
    assert slot.error is not None
    raise slot.error.with_traceback(None)
