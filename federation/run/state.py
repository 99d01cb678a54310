"""What the brain knows of slots, attempts and regions. Plain records, changed by the brain only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from regions.model import Allocation

GroupIndex = tuple[str, int]


class Phase(StrEnum):
    """Where an attempt is. BINDING and BOUND precede the child; SENT and RUNNING have one; ENDED is over."""

    BINDING = "binding"
    BOUND = "bound"
    SENT = "sent"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(slots=True)
class Attempt:
    """One binding of a slot to a region."""

    number: int
    region: str
    phase: Phase = Phase.BINDING
    job_id: str = ""
    reason: str = ""
    """Why it ended badly; empty otherwise."""
    is_region_loss: bool = False
    """It ended because its region was lost: that isn't counted against the slot."""
    is_own_failure: bool = False
    """It failed for the slot's own reason (its task failed), not the region's."""
    misses: dict[str, int] = field(default_factory=dict)
    """How often the record of each allocation ("": of any) was looked for and not found."""
    looking: dict[str, Allocation | None] = field(default_factory=dict)
    """The allocations whose record is wanted and not there yet."""
    inspect_at_s: float | None = None
    """When its child is looked at next; None when that isn't due."""
    verdict: tuple[str, bool] | None = None
    """(why, own) of an attempt whose child failed, while the stores are asked whether it published all the same."""
    complete: set[GroupIndex] = field(default_factory=set)
    """Allocation indices that Nomad calls complete."""

    @property
    def is_open(self) -> bool:
        """Whether it may still give a result."""
        return self.phase is not Phase.ENDED


@dataclass(slots=True)
class Slot:
    """One slot: done when all its keys are committed."""

    attempts: list[Attempt] = field(default_factory=list)
    committed: set[GroupIndex] = field(default_factory=set)
    state: str = "open"
    """open, done, failed or cancelled"""
    reason: str = ""

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None


@dataclass(slots=True)
class RegionState:
    """One region of the run. `limit` is how many open attempts it may hold, learnt by probes."""

    name: str
    order: int
    limit: int = 0
    open: int = 0
    problem: str = ""
    is_fatal: bool = False
    heard_s: float = 0.0
    is_lost: bool = False
    is_pinged: bool = False
    """A sign of life was asked for and not answered yet."""
    probe_sent_s: float | None = None
    """When the probe under way was sent; None when none is."""
    probed_s: float = float("-inf")
    open_at_probe: int = 0
    unknown: set[tuple[int, int]] = field(default_factory=set)
    """Attempts whose dispatch has no known outcome."""
    find_at_s: float | None = None
    waiting: list[tuple[int, int]] = field(default_factory=list)
    """Attempts that are in the log and wait for the check of the registered job before they are sent."""
    is_checking: bool = False
    stopping: set[str] = field(default_factory=set)
    """Children whose stop is under way."""
    to_stop: set[str] = field(default_factory=set)
    """Children whose stop may not have happened: tried again at `stop_at_s`."""
    stop_at_s: float = 0.0
    abandoned: list[tuple[int, int]] = field(default_factory=list)
    """Attempts that were open when the region was lost: stopped when it is back."""
    unverified: list[str] = field(default_factory=list)
    """Children whose spec hash wasn't read back yet."""

    @property
    def is_usable(self) -> bool:
        """Whether anything may be sent there now, as far as is known."""
        return not self.problem and not self.is_lost

    @property
    def left(self) -> int:
        """Attempts that may still run there and could not be stopped."""
        return len(self.abandoned) + len(self.unknown) + len(self.stopping | self.to_stop)

    @property
    def room(self) -> int:
        """How many more attempts it may take now."""
        return max(0, self.limit - self.open) if self.is_usable else 0


def task_failure(allocation: Allocation) -> str:
    """Why an allocation failed, in one line: its failed task, and what that task's events say."""
    for name, task in allocation.tasks.items():
        if task.failed:
            code = (
                f" (exit code {task.exit_code})"
                if task.exit_code and str(task.exit_code) not in task.last_event
                else ""
            )
            return f"task {name}: {task.last_event or 'failed'}{code}"
    return f"allocation {allocation.client_status}"


def newest(allocations: tuple[Allocation, ...]) -> Mapping[GroupIndex, Allocation]:
    """For each group and index the newest allocation: the one that no other follows."""
    latest: dict[GroupIndex, Allocation] = {}
    for allocation in sorted(allocations, key=lambda one: one.modify_index):
        place = (allocation.group, allocation.index)
        if not allocation.next_allocation or place not in latest:
            latest[place] = allocation
    return latest
