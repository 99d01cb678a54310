"""Events for the brain: frozen values. Each says what happened since the last one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from federation.plan import Budget
from federation.result import Key, ResultRecord
from federation.run.brain.changes import Change, Entry
from jobs.frozen import field, frozen
from regions.model import Allocation

Pair = tuple[int, int]
"""(slot, attempt)"""


@frozen
class Tick:
    """The time, by a monotonic clock."""

    now_s: float


@frozen
class RegionProbed:
    """Room of a region: `free` slots now (queue deducted; negative: so many wait for room), or a problem."""

    region: str
    free: int
    problem: str = ""
    is_fatal: bool = False
    """Waiting doesn't solve the problem (no node fits, the job is refused)."""
    is_denied: bool = False
    """The token was refused."""
    children: int = 0
    """Children of the job that the region keeps, finished ones too."""
    budgets: tuple[Budget, ...] = ()
    """What `[shares]` leaves for this run now."""
    is_least: bool = False
    """There may be room for more: nobody asked."""


@frozen
class Joined:
    """A late region has the run's job; or a `problem` prevents that, for good (`is_fatal`) or for now."""

    region: str
    problem: str = ""
    is_fatal: bool = False


@frozen
class RegionHeard:
    """A line of the region's event stream, whose allocations were listed since the stream began."""

    region: str
    is_room_likely: bool = False
    """Work of somebody else ended there."""


@frozen
class Pinged:
    """Answer to a ping, or none."""

    region: str
    is_alive: bool
    via: str = ""
    """The other region through which it answered; "" for one of its own addresses."""


@frozen
class Appended:
    """An entry is in the run log: ours, or (resuming) an earlier one."""

    changes: Entry
    is_replay: bool = False


@frozen
class LogRead:
    """Entries of the run log that somebody else wrote, in order."""

    entries: tuple[Entry, ...]


@frozen
class AppendRefused:
    """Our entry isn't in the run log: others wrote `entries` before it, or (`error`) the home store doesn't answer; then
    it may be found there later as somebody else's."""

    changes: tuple[Change, ...]
    entries: tuple[Entry, ...]
    error: str = ""


@frozen
class Resumed:
    """The whole log was replayed. `committed`: the keys in the index, each with the number of the attempt that produced it."""

    committed: Mapping[Key, int]


@frozen
class ParentChecked:
    """The spec hash that a region's registered job carries now ("": another job or none; None: no answer)."""

    region: str
    spec_hash: str | None
    is_denied: bool = False
    """The token was refused."""
    budgets: tuple[Budget, ...] = ()
    """What `[shares]` leaves for this run, read after the bindings were logged."""


@frozen
class Acknowledged:
    """The region has a child for the attempt."""

    slot: int
    attempt: int
    job_id: str


@frozen
class DispatchFailed:
    """A dispatch that gave no child. `unknown`: it may have happened all the same; `throttled`: likewise, and the region asks
    for patience; `denied`: the token was refused; `refused`: the region takes the job no more; `input`: it refuses the
    slot's own meta or payload."""

    slot: int
    attempt: int
    outcome: Literal["unknown", "throttled", "denied", "refused", "input"]
    message: str


@frozen
class Found:
    """Result of a search for children of unacknowledged attempts; both are empty where the region didn't answer."""

    region: str
    children: Mapping[Pair, str]
    missing: tuple[Pair, ...]


@frozen
class ChildSpec:
    """The spec hash that a child carries."""

    job_id: str
    spec_hash: str


@frozen
class AllocationChanged:
    """News of one allocation of one of the job's children."""

    region: str
    allocation: Allocation


@frozen
class Listed:
    """All allocations of a region were listed; children of these IDs have any."""

    region: str
    job_ids: frozenset[str]
    via: str | None = None
    """The other region through which they were listed; "": itself; None: by its own watch."""


@frozen
class NotListed:
    """A list of the run's children failed."""

    region: str
    is_denied: bool = False
    """The token was refused."""


@frozen
class ChildInspected:
    """A child's status (pending, running, dead, or gone) and all its allocations. `unlisted`: lists don't tell, so it is to be
    asked for alone."""

    slot: int
    attempt: int
    status: str
    allocations: tuple[Allocation, ...] = ()
    last_line: str = ""
    """The end of stderr of the task that failed, or that Nomad restarts after it failed."""
    is_stopped: bool = False
    """Somebody stopped the job."""
    is_queued: bool = False
    """Nomad holds it until a node that fits has room."""
    deciding: Mapping[str, frozenset[str]] = field(factory=dict)
    """The leader, or the main tasks, of each group."""


@frozen
class Looked:
    """The store was asked for an attempt's record(s). `error` is set when it didn't answer; `refusal` tells why a record
    that is there isn't believed."""

    slot: int
    attempt: int
    alloc_id: str
    records: tuple[ResultRecord, ...]
    error: str = ""
    refusal: str = ""


@frozen
class Committed:
    """The index took records: (record, outcome) each; outcomes are those of `Index.commit`."""

    outcomes: tuple[tuple[ResultRecord, str], ...]
    givers: Mapping[Key, int] = field(factory=dict)
    """Key → the attempt whose record won it, for keys that weren't won by these records just now."""


@frozen
class CommitFailed:
    """The index did not take these records, or nobody knows whether it did."""

    records: tuple[ResultRecord, ...]
    error: str


@frozen
class LogsKept:
    """Logs are kept, as far as that was possible."""

    slot: int
    attempt: int


@frozen
class Stopped:
    """Outcome of a stop. Not `is_done`: it may not have happened and is repeated. `problem`: it is refused for good."""

    region: str
    job_id: str
    is_done: bool
    problem: str = ""


@frozen
class Measured:
    """The newest values that a child's task wrote to its curves. `reached`: its values at the
    first steps of `--keep-best`."""

    job_id: str
    step: float
    values: Mapping[str, float]
    reached: tuple[float, ...] = ()


@frozen
class Reverted:
    """A revert was done, or reported why it can't be."""

    region: str


@frozen
class CancelRequested:
    """The user asked for the end of the run."""

    reason: str


Event = (
    Tick | RegionProbed | Joined | RegionHeard | Pinged | Appended | LogRead | AppendRefused | Resumed | ParentChecked
    | Acknowledged | DispatchFailed | Found | ChildSpec | AllocationChanged | Listed | NotListed | ChildInspected | Looked
    | Committed | CommitFailed | LogsKept | Stopped | Measured | Reverted | CancelRequested
)  # fmt: skip
