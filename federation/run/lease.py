"""Lease of a run: one coordinator at a time drives it. It only saves work; two at once do no harm.

Numbered objects `{n:020d}.json` below the run's lease key, each made by create-if-absent: whoever makes the next one holds the
lease, and makes another every third of its lifetime. A holder counts as gone when its number stood still for a lifetime by the
*watcher's* monotonic clock, so that no two clocks are ever compared; at once, when it released the lease, or when it ran on
this machine and its lock file is free (the system frees it, however a process ends).
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from federation.errors import RunIsDriven
from federation.home import RunKeys
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_json
from jobs.frozen import frozen
from regions.storage.errors import AlreadyExists, NotFound, StoreError, TooLarge
from regions.storage.store import Create, Store

LEASE_S = 60.0
LOOK_S = 1.0
_DIGITS = 20
_SIZE_BYTES_MAX = 64 * 1024


@frozen
class Holder:
    """Holder of the lease, as its newest object says."""

    id: str
    """Drawn anew by each process."""
    author: str
    host: str
    lock: str
    """The lock file on that host."""
    is_released: bool = False


class Lease:
    """The lease of one run. Not held before `acquire`; given back by `release`, or by leaving the `with`.

    `on_lost` is called from another thread when somebody else took the lease over: this coordinator was silent for longer
    than its lifetime, or was told to give way.
    """

    def __init__(
        self,
        home: Store,
        run: str,
        *,
        author: str,
        folder: Path,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._home = home
        self._run = run
        self._prefix = RunKeys(run).lease
        self._folder = folder
        self._lease_s = lease_s
        self._clock = clock
        self._pause = pause
        self._self = Holder(os.urandom(8).hex(), author, socket.gethostname(), str(folder / f"{run}.lock"))
        self._number = 0
        self._lock: IO[bytes] | None = None
        self._end = threading.Event()
        self.on_lost: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(
        self,
        *,
        is_patient: bool = False,
        is_over: Callable[[], bool] = lambda: False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> bool:
        """Wait until nobody else holds it, and hold it; False when `is_over` before that.

        An unknown holder is watched for one lifetime at most. Raises RunIsDriven for a holder that lives, unless
        `is_patient`: then it waits until that is gone. Raises StoreError.
        """
        seen, since_s, has_told = 0, self._clock(), False
        while not is_over():
            if self._lock is None:
                self._take_lock()
            number, holder = self._newest()
            if number != seen:
                if seen and holder is not None and not holder.is_released and not is_patient:
                    raise RunIsDriven(
                        f"run {self._run} is driven by {holder.author}",
                        hint=f"follow it:  fedml runs watch {self._run}",
                    )
                seen, since_s = number, self._clock()
            if holder is None or self._is_gone(holder) or self._clock() - since_s > self._lease_s:
                if self._make(number + 1, self._self):
                    threading.Thread(target=self._keep, name="lease", daemon=True).start()
                    return True
                continue
            if not has_told:
                has_told = True
                doing = "standing by" if is_patient else f"looking for {self._lease_s:.0f} s whether that still lives"
                tell(f"Run {self._run} was driven by {holder.author}: {doing}")
            self._pause(LOOK_S)
        return False

    def release(self) -> None:
        """Gives the lease back, if it is held; whoever waits has it at once. If that can't be written, the lease expires."""
        if self._number and not self._end.is_set():
            self._end.set()
            with suppress(StoreError):
                self._make(self._number + 1, Holder(**{**asdict(self._self), "is_released": True}))
        self._end.set()
        if self._lock is not None:
            Path(self._self.lock).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def _keep(self) -> None:
        """Makes the next object in time, until released; asks a store again that doesn't answer."""
        while not self._end.wait(self._lease_s / 3):
            try:
                is_held = self._make(self._number + 1, self._self)
            except StoreError:
                continue
            if not is_held:
                self._end.set()
                self.on_lost()

    def _make(self, number: int, holder: Holder) -> bool:
        try:
            self._home.put(self._key(number), json.dumps(asdict(holder)).encode(), Create())
        except AlreadyExists:
            return False
        self._number = number
        return True

    def _newest(self) -> tuple[int, Holder | None]:
        """The highest number and who made it; (0, None) before the first."""
        number, holder, _ = newest_holder(self._home, self._run, after=max(self._number, 0))
        return number, holder

    def _key(self, number: int) -> str:
        return _key(self._run, number)

    def _is_gone(self, holder: Holder) -> bool:
        is_ours = (holder.host, holder.lock) == (self._self.host, self._self.lock)
        return holder.is_released or (is_ours and self._lock is not None)

    def _take_lock(self) -> None:
        """Takes the lock file, if no other process of this machine holds it."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / f"{self._run}.lock").open("ab")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                raise
            self._lock = lock


def newest_holder(home: Store, run: str, *, after: int = 0) -> tuple[int, Holder | None, datetime | None]:
    """The highest number of a run's lease, who made it, and when by the store's clock; (0, None, None) before the first.
    `after`: a number that is known to be there. Raises StoreError."""
    number, modified, prefix = after, None, RunKeys(run).lease
    for info in home.list(prefix, start_after=_key(run, number) if number else ""):
        name = info.key.removeprefix(prefix).removesuffix(".json")
        if len(name) == _DIGITS and name.isascii() and name.isdecimal():
            number, modified = int(name), info.modified
    if not number:
        return 0, None, None
    where = home.url_of(_key(run, number))
    try:
        text = home.get_small(_key(run, number), limit_bytes=_SIZE_BYTES_MAX)
        held = Members(parse_json(text, source=where), source=where)
        texts = {name: held.text(name) for name in ("id", "author", "host", "lock")}
        return number, Holder(**texts, is_released=held.flag("is_released", False)), modified
    except NotFound:  # pruned meanwhile: its run is over
        return number, None, modified
    except (ForeignTextError, TooLarge):  # an unknown holder: it is watched for one lifetime
        return number, Holder("", "somebody whose lease can't be read", "", ""), modified


def _key(run: str, number: int) -> str:
    return f"{RunKeys(run).lease}{number:0{_DIGITS}d}.json"
