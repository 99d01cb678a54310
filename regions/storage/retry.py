"""Wait before the next try of a request that failed for now, or raise its failure when that was the last.

The SDKs' own retries are off: here the store's wish (Retry-After) is honoured, and one deadline covers all tries.
"""

from __future__ import annotations

import logging
import random
import time

from jobs.frozen import frozen
from regions.storage.errors import Unavailable

CONFLICT_TRIES = 10

_log = logging.getLogger("fedml.requests")


class RequestConflict(Unavailable):
    """Another conditional write of that key was under way, so the request is tried again at once."""


@frozen
class Patience:
    """How long one request is tried: so many times, and no try starts after the deadline."""

    tries: int = 6
    deadline_s: float = 60.0
    first_wait_s: float = 0.2
    """Doubled with every try, and shortened by up to a half at random."""
    longest_wait_s: float = 8.0


class Retries:
    """The tries of one request, from now on."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._ends = time.monotonic() + patience.deadline_s
        self._failures = 0

    def wait(self, failure: Unavailable) -> None:
        """Waits until the next try; raises `failure` where there is none."""
        self._failures += 1
        if isinstance(failure, RequestConflict):
            tries, wait_s = CONFLICT_TRIES, 0.05 * self._failures
        else:
            tries = self._patience.tries if failure.is_passing else 1
            wait_s = min(self._patience.first_wait_s * 2 ** (self._failures - 1), self._patience.longest_wait_s)
        wait_s = max(wait_s * random.uniform(0.5, 1), failure.retry_after_s)  # noqa: S311 - jitter
        if self._failures >= tries or time.monotonic() + wait_s > self._ends:
            raise failure
        _log.debug("%s: asked again in %.1f s", failure.message, wait_s)
        time.sleep(wait_s)
