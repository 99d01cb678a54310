"""What the brain hears: events, frozen values and nothing else. What it wants done is in `commands`.

A slot's attempt is named by the pair (slot, attempt), attempts counting from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from federation.result import Key, ResultRecord
from federation.run.brain.changes import Change, Entry
from regions.model import Allocation

Pair = tuple[int, int]
"""(slot, attempt)"""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. `now_s` is a monotonic clock."""

    now_s: float


@dataclass(frozen=True, slots=True)
class RegionProbed:
    """A region's room: `free` slots now (queue deducted; negative: so many wait for room), or a problem while it lasts."""

    region: str
    free: int
    problem: str = ""
    is_fatal: bool = False
    """The problem won't go away by waiting (no node fits, the job is refused)."""
    is_denied: bool = False
    """The problem is the token."""
    children: int = 0
    """Children of the job that the region keeps, finished ones too."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A late region has the run's job; or a `problem` keeps it from that, for good (`is_fatal`) or for now."""

    region: str
    problem: str = ""
    is_fatal: bool = False


@dataclass(frozen=True, slots=True)
class RegionHeard:
    """The region's event stream stands, and its allocations were listed since it does."""

    region: str
    is_room_likely: bool = False
    """It told that work of somebody else ended there."""


@dataclass(frozen=True, slots=True)
class Pinged:
    """A quiet region was asked for a sign of life, and gave one or not."""

    region: str
    is_alive: bool
    via: str = ""
    """It answered at none of its own addresses, but through this other region."""


@dataclass(frozen=True, slots=True)
class Appended:
    """An entry stands in the run log: ours, or (resuming) one from before."""

    changes: Entry
    is_replay: bool = False


@dataclass(frozen=True, slots=True)
class LogRead:
    """Entries of the run log that somebody else wrote, in order."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class AppendRefused:
    """Our entry isn't in the run log: others wrote `entries` before it, or (`error`) the home store doesn't answer; then
    it may be found there later as somebody else's."""

    changes: tuple[Change, ...]
    entries: tuple[Entry, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The whole log was replayed; these keys are in the index, each with the number of the attempt that gave it."""

    committed: Mapping[Key, int]


@dataclass(frozen=True, slots=True)
class ParentChecked:
    """The spec hash that a region's registered job carries now ("": another job or none; None: no answer)."""

    region: str
    spec_hash: str | None
    is_denied: bool = False
    """The token was refused."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The region has a child for the attempt."""

    slot: int
    attempt: int
    job_id: str


@dataclass(frozen=True, slots=True)
class DispatchFailed:
    """A dispatch that gave no child. `unknown`: it may have happened all the same; `throttled`: likewise, and the region asks
    for patience; `denied`: the token was refused; `refused`: the region takes the job no more; `input`: it refuses the
    slot's own meta or payload."""

    slot: int
    attempt: int
    outcome: Literal["unknown", "throttled", "denied", "refused", "input"]
    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """The region was searched for children of attempts without acknowledgement; both are empty where it didn't answer."""

    region: str
    children: Mapping[Pair, str]
    missing: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """The spec hash that a child carries."""

    job_id: str
    spec_hash: str


@dataclass(frozen=True, slots=True)
class AllocationChanged:
    """News of one allocation of one of the job's children."""

    region: str
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Listed:
    """All allocations of a region were told; children of these IDs had any."""

    region: str
    job_ids: frozenset[str]
    via: str | None = None
    """The other region through which they were listed; "": itself; None: by its own watch."""


@dataclass(frozen=True, slots=True)
class NotListed:
    """A region that was asked for the run's children told nothing of them."""

    region: str
    is_denied: bool = False
    """It refused the token."""


@dataclass(frozen=True, slots=True)
class ChildInspected:
    """A child's status (pending, running, dead, or gone) and all its allocations."""

    slot: int
    attempt: int
    status: str
    allocations: tuple[Allocation, ...] = ()
    last_line: str = ""
    """The end of the failed task's stderr, of a child that is dead and failed."""


@dataclass(frozen=True, slots=True)
class Looked:
    """The store was asked for an attempt's record(s). `error` is set when it didn't answer; `refusal` tells why a record
    that is there isn't believed."""

    slot: int
    attempt: int
    alloc_id: str
    records: tuple[ResultRecord, ...]
    error: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """The index took records: (record, outcome) each; outcomes are those of `Index.commit`."""

    outcomes: tuple[tuple[ResultRecord, str], ...]


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """The index did not take these records, or nobody knows whether it did."""

    records: tuple[ResultRecord, ...]
    error: str


@dataclass(frozen=True, slots=True)
class LogsKept:
    """A KeepLogs was done, as far as that was possible."""

    slot: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """A Stop was done, or (not `is_done`) may not have been: it is to be tried again. `problem`: it never will be."""

    region: str
    job_id: str
    is_done: bool
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Reverted:
    """A Revert was done, or told why it can't be."""

    region: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants the run to end."""

    reason: str


Event = (
    Tick | RegionProbed | Joined | RegionHeard | Pinged | Appended | LogRead | AppendRefused | Resumed | ParentChecked
    | Acknowledged | DispatchFailed | Found | ChildSpec | AllocationChanged | Listed | NotListed | ChildInspected | Looked
    | Committed | CommitFailed | LogsKept | Stopped | Reverted | CancelRequested
)  # fmt: skip
