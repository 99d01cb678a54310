"""Commands of the brain: frozen values. The event that answers a command stands after the arrow (→)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from federation.claims import Bound
from federation.result import ResultRecord
from federation.run.brain.changes import Change
from federation.run.brain.events import Pair
from jobs.frozen import field, frozen
from jobs.params.values import Value
from regions.model import Allocation

TellKind = Literal[
    "bound",
    "dispatched",
    "running",
    "ended",
    "committed",
    "failing",
    "failed",
    "stopped",
    "retry",
    "lost",
    "back",
    "region",
    "cancel",
    "run",
]


@frozen
class Probe:
    """Ask the region for room for up to so many slots: those that are still to place → RegionProbed."""

    region: str
    slots: int


@frozen
class Join:
    """Bring the job to a region that hadn't answered when the run was opened → Joined."""

    region: str


@frozen
class Ping:
    """Ask a region that was quiet for a while whether it is there → Pinged."""

    region: str


@frozen
class List:
    """Ask a region whose event stream is quiet for the run's children, through another region where need be
    → AllocationChanged each and Listed, or NotListed."""

    region: str


@frozen
class Append:
    """Write one entry to the run log → Appended, or AppendRefused where the log has other than `after` entries before it.
    There is never more than one under way."""

    changes: tuple[Change, ...]
    after: int


@frozen
class ReadLog:
    """Read new entries of the run log → LogRead."""


@frozen
class CheckParent:
    """Read the spec hash of the region's registered job, before a batch of dispatches → ParentChecked."""

    region: str


@frozen
class Dispatch:
    """Dispatch an attempt that is bound in the run log → Acknowledged or DispatchFailed."""

    slot: int
    attempt: int
    region: str


@frozen
class Find:
    """Search the region for children of attempts whose dispatch has no known outcome → Found."""

    region: str
    pairs: tuple[Pair, ...]


@frozen
class Verify:
    """Read back the spec hash of children → ChildSpec each."""

    region: str
    job_ids: tuple[str, ...]


@frozen
class Inspect:
    """Ask for a child's status and allocations → ChildInspected."""

    slot: int
    attempt: int
    region: str
    job_id: str


@frozen
class InspectAll:
    """Ask by lists for the status of children of which nothing is known that is out of the ordinary → ChildInspected each.
    `running`: those of them that ran when they were heard of last."""

    region: str
    children: Mapping[Pair, str]
    running: frozenset[Pair]


@frozen
class Look:
    """Ask the store for the record of an allocation; without one, for all records of the slot → Looked. `bound`: the
    slot's attempts in the run log, which records are compared with."""

    slot: int
    attempt: int
    region: str
    allocation: Allocation | None
    bound: tuple[Bound, ...] = field(default=(), compare=False)


@frozen
class Stop:
    """Stop a child, and (`is_purge`) remove it from Nomad → Stopped."""

    region: str
    job_id: str
    is_purge: bool = False


@frozen
class KeepLogs:
    """Keep what an allocation's tasks wrote and what happened to them, in the home store → LogsKept."""

    slot: int
    attempt: int
    region: str
    allocation: Allocation
    is_failed: bool


@frozen
class Revert:
    """Bring the region's job back to the version before this run's deployment: its canaries failed → Reverted."""

    region: str
    reason: str


@frozen
class Commit:
    """Commit records to the index → Committed."""

    records: tuple[ResultRecord, ...]


@frozen
class Tell:
    """Report to whoever follows the run."""

    kind: TellKind
    region: str = ""
    slot: int = -1
    attempt: int = 0
    detail: str = ""
    count: int = 1
    params: Mapping[str, Value] = field(factory=dict, compare=False)
    """The slot's own parameters, for whoever reads it; the brain doesn't know them (`naming`)."""
    is_earlier: bool = False
    """It happened before this coordinator began: an earlier one reported it."""


@frozen
class Close:
    """The run is over: done, failed or cancelled. The last command."""

    state: Literal["done", "failed", "cancelled"]
    reason: str


Command = (
    Probe | Join | Ping | List | Append | ReadLog | CheckParent | Dispatch | Find | Verify | Inspect | InspectAll | Look | Stop
    | KeepLogs | Revert | Commit | Tell | Close
)  # fmt: skip
