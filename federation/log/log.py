"""Appends entries to one log, and reads them."""

from __future__ import annotations

import getpass
import itertools
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from typing import TypeVar

from federation.errors import FederationError, IndexCorrupt, LogConflict
from federation.log.entry import ENTRY_BYTES_READ_MAX, Change, Entry, Position, draft, parse, timestamp, utc_now
from jobs.errors import ForeignTextError
from regions.storage.errors import AlreadyExists, IntegrityError, NotFound, TooLarge, Unavailable
from regions.storage.store import Create, Store

T = TypeVar("T")

CLOCK_SKEW_MAX_S = 60.0

_CLOCK_CHECK_EVERY_S = 300.0
_READ_AHEAD = (1, 8, 32)
_READ_THREADS = 8
_LOOKS = 5
_PAUSE_MIN_S = 0.005
_PAUSE_MAX_S = 2.0
_PAUSES_GROW_FOR_S = 5.0
"""A writer that has waited longer comes back sooner and sooner, so that newer ones, whose pauses still grow, let it pass."""

Rebase = Callable[[list[Entry]], list[Change] | None]


def default_author() -> str:
    """`user@host`, or FEDML_AUTHOR where it is set (CI)."""
    author = os.environ.get("FEDML_AUTHOR", "").strip()
    if author:
        return author
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def look_again(look: Callable[[], T | None]) -> T | None:
    """Calls `look` for an object that is known to exist, again while a stale "not found" (None) comes. Gives up after about
    1.5 s."""
    for turn in range(_LOOKS):
        found = look()
        if found is not None:
            return found
        time.sleep(0.05 * 2**turn)
    return None


class Log:
    """One log under `prefix` (ending in `/`) of `store`. May be used from several threads.

    `clock` tells the time of entries; `patience_s` bounds how long one append tries without any progress, its own or others'.
    """

    def __init__(
        self,
        store: Store,
        prefix: str,
        *,
        author: str = "",
        clock: Callable[[], datetime] = utc_now,
        patience_s: float = 120.0,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._author = author or default_author()
        self._clock = clock
        self._patience_s = patience_s
        self._at = Position()
        self._untaken: list[Entry] = []
        self._clock_checked_s = float("-inf")
        self._lock = threading.RLock()

    @property
    def head(self) -> int:
        """The number of the newest entry that was read or appended; 0 before the first."""
        return self._at.number

    @property
    def position(self) -> Position:
        """The newest entry that was read or appended: another `Log` may start there."""
        return self._at

    def start_at(self, position: Position) -> None:
        """Continues from a position that is known from elsewhere (a catalog). Drops entries that were read but not taken."""
        with self._lock:
            self._at = position
            self._untaken = []

    def refresh(self) -> list[Entry]:
        """Reads to the end of the log. Returns the entries that neither `refresh` nor `take` returned before, also own ones.

        Raises IndexCorrupt for an entry that is missing, torn or doesn't chain, FormatTooNew, and the store's errors;
        entries that were read before the error are given by the next call.
        """
        with self._lock:
            self._read_tail()
            return self.take()

    def take(self) -> list[Entry]:
        """Returns what `refresh` would, without asking the store: the entries that were read or appended meanwhile."""
        with self._lock:
            taken, self._untaken = self._untaken, []
            return taken

    def read(self, number: int) -> Entry:
        """Reads one entry that is known to exist. Doesn't check that it chains. Raises IndexCorrupt."""
        return self._parsed(self._look_again(number, "is missing"), number)

    def append(self, changes: Iterable[Change], *, reason: str = "", rebase: Rebase | None = None) -> Entry:
        """Writes one entry after all others, and returns it.

        When others were faster, `rebase` gets their entries and returns the changes to try again with. So a decision made in
        it takes all earlier entries into account. If it returns None, LogConflict is raised. Without `rebase` the same
        changes are tried again.

        While others win, it tries again: each of their entries is progress. Raises LogConflict when the number is taken, and
        nothing can be read there for longer than the patience lasts; Unavailable when the store is silent.
        After a crash or Unavailable the entry is there whole or not there; only in these two cases is that unknown, so
        changes must be harmless if written twice. A lost answer to a write that succeeded is noticed
        by the entry's nonce, and returned as success.
        """
        with self._lock:
            self._refuse_wrong_clock()
            wanted = list(changes)
            nonce = secrets.token_hex(8)
            first_s = time.monotonic()
            deadline_s = first_s + self._patience_s
            pause_s = 0.0
            while True:
                entry, data = self._draft(wanted, reason, nonce)
                began_s = time.monotonic()
                try:
                    self._store.put(self._key(entry.number), data, Create(), content_type="application/json")
                except (AlreadyExists, Unavailable) as error:
                    refusal: AlreadyExists | Unavailable = error
                else:
                    self._accept(entry)
                    return entry
                # Exponential backoff with full jitter, starting at the time that one attempt took. The pause comes before
                # the look: a writer that looks and then waits is always behind a busy one.
                now_s = time.monotonic()
                factor = 2.0 if now_s - first_s < _PAUSES_GROW_FOR_S else 0.5
                pause_s = min(_PAUSE_MAX_S, max(_PAUSE_MIN_S, factor * pause_s, now_s - began_s))
                time.sleep(random.uniform(0, pause_s))  # noqa: S311
                others = self._read_tail()
                for other in others:
                    if other.nonce == nonce:
                        return other
                if others and isinstance(refusal, AlreadyExists):
                    deadline_s = time.monotonic() + self._patience_s
                elif time.monotonic() > deadline_s:
                    if isinstance(refusal, Unavailable):
                        raise refusal
                    raise self._conflict(
                        f"entry {entry.number} is there already, and can't be read for {self._patience_s:g} s"
                    )
                if others and rebase is not None:
                    rebased = rebase(others)
                    if rebased is None:
                        raise self._conflict("another writer was faster, and the change no longer holds")
                    wanted = rebased

    def _conflict(self, why: str) -> LogConflict:
        return LogConflict(f"log {self._store.url_of(self._prefix + 'x')[:-1]}: {why}", hint="run the command again")

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:020d}.json"

    def _draft(self, changes: list[Change], reason: str, nonce: str) -> tuple[Entry, bytes]:
        moment = max(timestamp(self._clock()), self._at.time)
        return draft(self._at, moment, self._author, reason, changes, nonce)

    def _accept(self, entry: Entry) -> None:
        self._untaken.append(entry)
        self._at = Position(entry.number, entry.sha256, entry.time)

    def _read_tail(self) -> list[Entry]:
        """Reads and accepts entries until one isn't found."""
        read: list[Entry] = []
        with ExitStack() as stack:
            pool: ThreadPoolExecutor | None = None
            for step in itertools.count():
                width = _READ_AHEAD[min(step, len(_READ_AHEAD) - 1)]
                if width > 1 and pool is None:
                    pool = stack.enter_context(ThreadPoolExecutor(_READ_THREADS))
                for data in self._get_ahead(width, pool):
                    if data is None:
                        return read
                    entry = self._parsed(data, self.head + 1)
                    if entry.previous != self._at.sha256:
                        problem = f"doesn't chain: entry {self.head} isn't the one that it was written after"
                        raise self._corrupt(entry.number, problem)
                    self._accept(entry)
                    read.append(entry)
        raise AssertionError("unreachable")

    def _get_ahead(self, width: int, pool: ThreadPoolExecutor | None) -> list[bytes | None]:
        """The next `width` entries' bytes, None where there is none yet; a hole before an existing entry is filled or
        raises IndexCorrupt (it may just have been written between two of these reads)."""
        numbers = range(self.head + 1, self.head + 1 + width)
        found = list((pool.map if pool else map)(self._get, numbers))
        last = max((place for place, data in enumerate(found) if data is not None), default=-1)
        for place in range(last):
            if found[place] is None:
                found[place] = self._look_again(numbers[place], "is missing, though later entries exist")
        return found

    def _look_again(self, number: int, problem: str) -> bytes:
        """The bytes of an entry that exists. Raises IndexCorrupt with the problem."""
        data = look_again(lambda: self._get(number))
        if data is None:
            raise self._corrupt(number, problem)
        return data

    def _get(self, number: int) -> bytes | None:
        try:
            return self._store.get_small(self._key(number), limit_bytes=ENTRY_BYTES_READ_MAX)
        except NotFound:
            return None
        except TooLarge as error:
            raise self._corrupt(number, f"is not an entry: {error.message}") from error
        except IntegrityError as error:
            raise self._corrupt(number, f"is damaged ({error})") from error

    def _parsed(self, data: bytes, number: int) -> Entry:
        where = f"log entry {self._store.url_of(self._key(number))}"
        try:
            entry = parse(data, source=where, time_before=self._at.time)
        except ForeignTextError as error:
            raise self._corrupt(
                number, f"is torn, or is not an entry: {error.message.removeprefix(where).strip()}"
            ) from error
        if entry.number != number:
            raise self._corrupt(number, f"says that it is number {entry.number!r}")
        return entry

    def _corrupt(self, number: int, problem: str) -> IndexCorrupt:
        key = self._key(number)
        return IndexCorrupt(
            f"log entry {self._store.url_of(key)} {problem}",
            hint=f"restore the object {key} from the bucket's version history or a copy; "
            "the results themselves are in their own stores and are not touched",
        )

    def _refuse_wrong_clock(self) -> None:
        now_s = time.monotonic()
        if now_s - self._clock_checked_s < _CLOCK_CHECK_EVERY_S:
            return
        server_time = self._store.server_time()
        if server_time is not None:
            ahead_s = (self._clock() - server_time).total_seconds()
            if abs(ahead_s) > CLOCK_SKEW_MAX_S:
                raise FederationError(
                    f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} "
                    f"the clock of {self._store.url}; entries must not carry such a time",
                    hint="set the clock (NTP), then run the command again",
                )
        self._clock_checked_s = now_s
