"""The one writer of a region's state: each operation becomes one durable entry of the log, a snapshot and events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from regions.local.nomad_version import REFERENCES, NomadVersion
from regions.local.state.events import EventLog
from regions.local.state.journal import Journal
from regions.local.state.snapshot import Snapshot
from regions.local.state.transaction import Transaction

Result = TypeVar("Result")


class Store:
    """A region's state. `snapshot` is always the last committed one. Reading it needs no lock."""

    def __init__(self, folder: Path, *, event_buffer: int = 1000, answers_as: NomadVersion = REFERENCES[0]) -> None:
        self.answers_as = answers_as
        self._journal = Journal(folder)
        self.snapshot = self._journal.load()
        self.events = EventLog(event_buffer)
        self.writing = threading.RLock()
        self._changed = threading.Condition()
        self._waiters = 0
        self._is_closed = False

    def commit(self, kind: str, operation: Callable[[Transaction], Result]) -> tuple[Result, Transaction]:
        """Runs `operation` on a transaction and commits it under the event type `kind`, one at a time.

        When `operation` raises or changes nothing, nothing happens and no index is used. When this returns, the change
        is durable and visible to everybody.
        """
        with self.writing:
            before = self.snapshot
            transaction = Transaction(before, self.answers_as)
            result = operation(transaction)
            transaction.finish()
            if not transaction.changes:
                transaction.state = before
                return result, transaction
            self._journal.append(before, transaction.state, transaction.changes)
            self.snapshot = transaction.state
            self.events.publish(transaction.index, kind, transaction.changes)
        if self._waiters:
            with self._changed:
                self._changed.notify_all()
        return result, transaction

    def wait(self, index_of: Callable[[Snapshot], int], above: int, timeout_s: float) -> Snapshot:
        """Waits for a snapshot whose index of interest is above `above`. Returns the current one after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._waiters += 1
            try:
                while index_of(self.snapshot) <= above and not self._is_closed:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                return self.snapshot
            finally:
                self._waiters -= 1

    def close(self) -> None:
        """Ends all waiting and flushes the journal to the disk."""
        self.events.close()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        with self.writing:
            self._journal.close()
