"""State of a run that the parts of the brain share: slots, attempts, and what is to be written, committed and commanded."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag, auto

from federation.manifest import Manifest
from federation.plan import Budget, Policy
from federation.result import ResultRecord
from federation.run.brain.causes import CONSEQUENCES, Cause
from federation.run.brain.changes import Change
from federation.run.brain.commands import Command, Revert, Tell, TellKind
from federation.run.brain.events import AllocationChanged, Pair
from federation.run.brain.region_state import RegionState
from federation.run.brain.timing import Limits
from federation.run.brain.transitions import Phase, SlotState, passed
from regions.model import Allocation

GroupIndex = tuple[str, int]


class Logged(Flag):
    """The facts of an attempt that are in the run log."""

    NOTHING = 0
    BINDING = auto()
    CHILD = auto()
    END = auto()


@dataclass(slots=True)
class Attempt:
    """One binding of a slot to a region."""

    number: int
    region: str
    phase: Phase = Phase.BINDING
    job_id: str = ""
    reason: str = ""
    """Why it ended badly."""
    cause: Cause | None = None
    since_s: float = 0.0
    """When it entered its phase, as far as this coordinator knows."""
    is_inherited: bool = False
    """Another coordinator bound it: whether it was dispatched is not known here."""
    searches: dict[str, Search] | None = None
    """The searches in the stores, by allocation ID ("": for all records of the slot)."""
    inspect_at_s: float | None = None
    """When its child is inspected next."""
    verdict: tuple[Cause, str] | None = None
    """Why its child failed, while the stores are asked whether it published all the same."""
    complete: tuple[str, ...] = ()
    """Allocations that ended well."""
    deadline_s: float | None = None
    """When its phase has taken too long."""
    is_queued: bool | None = None
    """Whether Nomad holds its child until a node has room; None: not known."""
    has_given: bool = False
    """This attempt produced the result of at least one of the slot's keys."""
    logged: Logged = Logged.NOTHING
    """What the run log has of it."""
    was_sent: bool = False
    """This coordinator sent its dispatch, whatever became of it."""
    kept: tuple[str, ...] = ()
    """Allocations whose logs are kept, or about to be."""
    troubles: tuple[str, ...] = ()
    """What kept its tasks from starting or made Nomad restart them, in order, each once."""
    is_condemned: bool = False
    """A rule stops it: that is on its way to the run log."""
    failing: str = ""
    """The last of them as people read it. Empty: its tasks have started since, or never had any."""
    mapped: tuple[str, ...] = ()
    """Of a run that adopts: allocations whose key the run log has, or is about to have."""

    def note(self, trouble: str, detail: str) -> None:
        """Takes what keeps its tasks from their work. Empty texts: they have started."""
        self.troubles = (*self.troubles, trouble) if trouble else self.troubles
        self.failing = detail

    @property
    def is_open(self) -> bool:
        """Whether it may still give a result."""
        return self.phase is not Phase.ENDED

    @property
    def is_own_failure(self) -> bool:
        """Whether it failed for a reason of the slot (its task failed), not of the region."""
        return self.cause is not None and CONSEQUENCES[self.cause].is_own

    @property
    def is_counted(self) -> bool:
        """Whether it counts against the slot's attempts."""
        return self.cause is None or CONSEQUENCES[self.cause].is_counted


@dataclass(slots=True)
class Search:
    """Search for the record of one allocation, or (None) for all records of the slot. `misses` counts looks without one."""

    allocation: Allocation | None
    misses: int = 0


@dataclass(slots=True)
class Slot:
    """One slot: done when all its keys are committed."""

    attempts: list[Attempt] = field(default_factory=list)
    committed: tuple[GroupIndex, ...] = ()
    state: SlotState = SlotState.OPEN
    reason: str = ""
    forgiven: int = 0
    """How many of the first attempts don't count any more: somebody asked for new ones."""

    @property
    def last(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def counting(self) -> list[Attempt]:
        """The attempts that count against the slot's limit."""
        return [one for one in self.attempts[self.forgiven :] if one.is_counted]


@dataclass(slots=True)
class RunState:
    """State of one run, which the parts of the brain share and change."""

    manifest: Manifest
    limits: Limits
    policy: Policy
    slots: list[Slot]
    regions: dict[str, RegionState]
    now_s: float = 0.0
    begun_s: float = 0.0
    """When this coordinator began."""
    is_cancelled: bool = False
    cancel_reason: str = ""
    halted: str = ""
    """Why the run was stopped before its end (too many failures, or a canary's); empty while it wasn't."""
    reverting: set[str] = field(default_factory=set)
    """Regions whose job is being put back; the run waits for that."""
    is_cut_off: bool = False
    is_catching_up: bool = False
    """What is told now happened before this coordinator began."""
    unbound: deque[int] = field(default_factory=deque)
    retries: list[int] = field(default_factory=list)
    """Slots whose next attempt may be bound now."""
    delayed: list[tuple[float, int]] = field(default_factory=list)
    """A heap of (when, slot): those whose next attempt may be bound later."""
    open_slots: int = 0
    failed_slots: int = 0
    children: dict[str, Pair] = field(default_factory=dict)
    strangers: dict[str, dict[str, AllocationChanged]] = field(default_factory=dict)
    in_flight: set[Pair] = field(default_factory=set)
    sendable: set[str] = field(default_factory=set)
    """Regions in which something waits to be sent."""
    budgets: tuple[Budget, ...] = ()
    """What `[shares]` leaves for this run, as far as it is known."""
    changes: list[Change] = field(default_factory=list)
    """What the next entry of the run log will say."""
    to_commit: list[ResultRecord] = field(default_factory=list)
    is_roomy: bool = True
    """Whether something happened since the last binding that may have made room."""
    out: list[Command] = field(default_factory=list)

    @property
    def is_ending(self) -> bool:
        """Whether the run ends: no new attempt is begun."""
        return self.is_cancelled or bool(self.halted)

    @property
    def keys_a_slot(self) -> int:
        """How many results make a slot done."""
        return sum(self.manifest.groups.values())

    def left_in(self, region: str) -> int | None:
        """How many more slots `[shares]` lets this run have outstanding there; negative: so many too many. None: no limit."""
        return min((self.left_of(budget) for budget in self.budgets if region in budget.regions), default=None)

    def left_of(self, budget: Budget) -> int:
        """How many more slots a limit of `[shares]` allows."""
        return budget.most - sum(one.open for name, one in self.regions.items() if name in budget.regions)

    def revert(self, region: str, reason: str) -> None:
        """Puts back the job that stood in the region before."""
        self.reverting.add(region)
        self.out.append(Revert(region, reason))

    def send(self, slot: int, attempt: Attempt) -> None:
        """Lets an attempt be sent as soon as its region's job was checked."""
        self.regions[attempt.region].waiting.append((slot, attempt.number))
        self.sendable.add(attempt.region)

    def attempt(self, slot: int, number: int) -> Attempt:
        """One attempt of a slot."""
        return self.slots[slot].attempts[number - 1]

    def settle(self, slot: Slot, state: SlotState, reason: str = "") -> None:
        """Brings a slot to a state; the run's counts follow."""
        self.open_slots += (state is SlotState.OPEN) - (slot.state is SlotState.OPEN)
        self.failed_slots += (state is SlotState.FAILED) - (slot.state is SlotState.FAILED)
        slot.state, slot.reason = passed(slot.state, state), reason

    def move(self, attempt: Attempt, phase: Phase) -> None:
        """Brings an attempt to a phase; its region's counts follow."""
        region = self.regions.get(attempt.region)
        if region is not None:
            before, attempt_has_child = attempt.phase, phase in (Phase.SENT, Phase.RUNNING)
            if before in (Phase.BINDING, Phase.BOUND) and (attempt_has_child or phase is Phase.ENDED):
                region.unacknowledged -= 1
            if before is Phase.RUNNING:
                region.running -= 1
            if phase is Phase.RUNNING:
                region.running += 1
            if phase is Phase.ENDED and before is not Phase.ENDED:
                region.open -= 1
                self.is_roomy = True
        attempt.phase = passed(attempt.phase, phase)
        attempt.since_s = self.now_s
        attempt.deadline_s = attempt.is_queued = None

    def tell(
        self,
        kind: TellKind,
        *,
        region: str = "",
        slot: int = -1,
        attempt: Attempt | None = None,
        detail: str = "",
        count: int = 1,
    ) -> None:
        """Reports something to whoever follows the run."""
        where = region or (attempt.region if attempt else "")
        self.out.append(
            Tell(kind, where, slot, attempt.number if attempt else 0, detail, count, is_earlier=self.is_catching_up)
        )


def newest(allocations: tuple[Allocation, ...]) -> Mapping[GroupIndex, Allocation]:
    """For each group and index the newest allocation: the one that no other follows."""
    latest: dict[GroupIndex, Allocation] = {}
    for allocation in sorted(allocations, key=lambda one: (one.create_index, one.modify_index)):
        place = (allocation.group, allocation.index)
        if not allocation.next_allocation or place not in latest:
            latest[place] = allocation
    return latest
