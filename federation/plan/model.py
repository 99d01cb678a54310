"""Types of planning: rooms, placements and plans. Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from jobs.frozen import field, frozen


class Reason(StrEnum):
    """Why a region gets no slot, or a slot no place."""

    NOT_ALLOWED = "not allowed"
    UNREACHABLE = "unreachable"
    SLOW = "slow"
    REFUSED = "refused"
    INFEASIBLE = "no node fits"
    NO_REGION = "no region can take it"


@frozen
class Room:
    """One region's room for this job, in slots.

    `free` is what it would place now, without its queue. `excluded` is the reason why it gets nothing. `weight` scales its
    share. `order` breaks ties (lower first). `minimum` and `cap` limit how many slots of the run it gets in all.
    """

    region: str
    free: int
    weight: float = 1.0
    order: int = 0
    excluded: Reason | None = None
    detail: str = ""
    price_per_hour: float | None = None
    """Price of one running slot. None: not known."""
    expected_duration_s: float | None = None
    """How long one slot runs there. None: not known."""
    minimum: int = 0
    """It gets this many slots before the policy is applied."""
    cap: int | None = None
    """It never gets more slots. None: no limit."""
    elastic: int = 0
    """How many slots are sent there beyond `free`, so that an autoscaler sees the demand."""

    @property
    def cost(self) -> float | None:
        """The expected cost of one slot. None if price or duration isn't known."""
        if self.price_per_hour is None or self.expected_duration_s is None:
            return 0.0 if self.price_per_hour == 0 else None
        return self.price_per_hour * self.expected_duration_s / 3600


Policy = Callable[[int, Sequence[Room]], dict[str, int]]
"""Slots to place and rooms → slots of each region. The sum is at most the slots, and no region gets more than its `free`."""


@frozen
class Placement:
    """`now` slots have room at once. `starting` slots are sent beyond it (an elastic region). `later` slots are expected there
    as room appears, which is no promise."""

    region: str
    now: int
    later: int
    waves: int
    """How often these slots fill its room, at least once."""
    starting: int = 0
    finish_s: float | None = None
    """From now until its last slot ends. None if the duration isn't known."""
    cost: float | None = None

    @property
    def slots(self) -> int:
        """All together."""
        return self.now + self.starting + self.later


@frozen
class Unplaced:
    """Slots without a place."""

    slots: int
    reason: Reason
    detail: str


@frozen
class Plan:
    """How N slots spread. `placements` has each region that gets slots, `excluded` each that can't, with the reason."""

    slots: int
    policy: str
    placements: tuple[Placement, ...]
    excluded: tuple[Room, ...]
    unplaced: tuple[Unplaced, ...]
    why: tuple[str, ...] = field(default=())
    one_each: bool = False
    """Slot i is bound to region i."""
    problems: tuple[str, ...] = ()
    """Why it can't be dispatched as requested: a deadline or a cost that it would not keep."""

    @property
    def is_complete(self) -> bool:
        """Whether every slot has a place, now or later."""
        return not self.unplaced

    @property
    def finish_s(self) -> float | None:
        """From now until the last slot ends. None if a duration isn't known."""
        ends = [placement.finish_s for placement in self.placements]
        return max((end for end in ends if end is not None), default=None) if None not in ends else None

    @property
    def cost(self) -> float | None:
        """The expected cost of all slots. None if a price or a duration isn't known."""
        costs = [placement.cost for placement in self.placements]
        return sum(cost for cost in costs if cost is not None) if costs and None not in costs else None
