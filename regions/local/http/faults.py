"""Faults of the API that were requested on purpose, until they are used up or removed."""

from __future__ import annotations

import threading


class Faults:
    """Faults in effect.

    `is_cut`: nobody gets an answer. Connections stay open and go on when the cut is mended; tasks don't notice.
    `forgotten_tokens`: this many dispatches overlook that their idempotency token was used, as when two of them race
    on a server older than 1.11.2. `lost_evaluations`: this many dispatches create their child and then fail, as when
    the leader crashes between the two.
    """

    def __init__(self) -> None:
        self.forgotten_tokens = 0
        self.lost_evaluations = 0
        self._lock = threading.Lock()
        self._reachable = threading.Event()
        self._reachable.set()

    @property
    def is_cut(self) -> bool:
        return not self._reachable.is_set()

    def forgets_token(self, is_used: bool) -> bool:
        """Returns whether this dispatch must overlook that its token was used."""
        with self._lock:
            if not (is_used and self.forgotten_tokens):
                return False
            self.forgotten_tokens -= 1
            return True

    def loses_evaluation(self) -> bool:
        """Returns whether this dispatch must fail after creating its child."""
        with self._lock:
            if not self.lost_evaluations:
                return False
            self.lost_evaluations -= 1
            return True

    def cut(self) -> None:
        self._reachable.clear()

    def mend(self) -> None:
        self._reachable.set()

    def hold(self) -> None:
        """Waits while the region is cut."""
        self._reachable.wait()
