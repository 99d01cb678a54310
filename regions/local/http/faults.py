"""Faults that were asked for enter, and stand here until they are used up or mended: what the API does wrong on purpose."""

from __future__ import annotations

import threading


class Faults:
    """`is_cut`: nobody gets an answer, connections stay as they are, and go on when it is mended; tasks don't notice.

    `forgotten_tokens`: so many dispatches don't see that their idempotency token was used, as when two of them race on a
    server older than 1.11.2. `lost_evaluations`: so many create their child and then fail, as when the leader crashes
    between the two.
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
        """Whether this dispatch, whose token was used before, is not to see that."""
        with self._lock:
            if not (is_used and self.forgotten_tokens):
                return False
            self.forgotten_tokens -= 1
            return True

    def loses_evaluation(self) -> bool:
        """Whether this dispatch, which has made its child, is to end here."""
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
        """Returns at once, but while the region is cut not before it is mended."""
        self._reachable.wait()
