"""Says whether some process drives a run, from its lease. Waits for nothing and changes nothing.

A driver on this machine is known by its lock file. One elsewhere counts as gone when its newest object is older than
`SILENT_LEASES` lifetimes of a lease: only for what people are shown, since the clocks of two machines are compared.
"""

from __future__ import annotations

import fcntl
import socket
from datetime import UTC, datetime
from pathlib import Path

from federation.run.lease import newest_holder
from jobs.frozen import frozen
from regions.storage.store import Store

SILENT_LEASES = 3


@frozen
class Driver:
    """Who drives a run, or drove it last ("": nobody yet)."""

    is_driving: bool
    author: str = ""

    def remedy(self, run: str) -> str:
        """Says that nobody drives the run, and what to do."""
        last = f" (the last one was {self.author}'s)" if self.author else ""
        return f"No process drives run {run}{last}. Go on with it:  fedml runs resume {run}"


def driver_of(home: Store, run: str, *, folder: Path, lease_s: float, now: datetime | None = None) -> Driver:
    """The driver of a run. `folder` has this machine's lock files. Raises StoreError."""
    _, holder, modified = newest_holder(home, run)
    if holder is None:
        return Driver(False)
    lock = folder / f"{run}.lock"
    if holder.is_released:
        is_driving = False
    elif (holder.host, holder.lock) == (socket.gethostname(), str(lock)):
        is_driving = _is_locked(lock)
    else:
        silent_s = ((now or datetime.now(UTC)) - modified).total_seconds() if modified else 0.0
        is_driving = silent_s <= SILENT_LEASES * lease_s
    return Driver(is_driving, holder.author)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
