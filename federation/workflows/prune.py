"""Deletes kept logs and leases of old runs that are over from the home store.

The manifest, the run log and every result stay: a pruned run is still shown, only without its tasks' output.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from federation.app import App
from federation.home import RunKeys
from jobs.frozen import frozen


@frozen
class Pruned:
    """One run: how many objects were deleted (or would be), and their bytes."""

    run: str
    job: str
    closed: str
    objects: int
    size_bytes: int


def prune(app: App, *, older_than: timedelta, now: datetime, is_dry: bool) -> Iterator[Pruned]:
    """Prunes each closed run that ended longer ago than that, oldest first. With `is_dry` only counts.

    After an interruption the next call goes on. Raises StoreError.
    """
    closed = [row for row in app.index.runs() if row.closed and datetime.fromisoformat(row.closed) < now - older_than]
    for row in sorted(closed, key=lambda one: one.closed):
        keys = RunKeys(row.run)
        found = [info for part in (keys.kept_logs(), keys.histories, keys.lease) for info in app.home.list(part)]
        if not found:
            continue
        if not is_dry:
            app.home.delete_many([info.key for info in found])
        yield Pruned(row.run, row.job, row.closed, len(found), sum(info.size_bytes for info in found))
