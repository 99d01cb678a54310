"""Compares this machine's clock with a store's."""

from __future__ import annotations

from datetime import UTC, datetime

from federation.check import Check, Outcome, clock_check
from jobs.errors import FedmlError
from regions.storage.store import Store

CLOCK_LIMIT_S = 60.0
"""The largest difference: the index refuses a writer whose clock differs more from the store's."""


def store_clock_check(store: Store, subject: str) -> Check:
    """Asks the store for its time. Raises nothing but for a bug."""
    try:
        theirs = store.server_time()
    except FedmlError as error:
        return Check(subject, "clock", Outcome.SKIPPED, error.message)
    skew_s = None if theirs is None else (theirs - datetime.now(UTC)).total_seconds()
    return clock_check(subject, skew_s, limit_s=CLOCK_LIMIT_S, error_s=2.0)
