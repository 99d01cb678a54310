"""What planning is said in: rooms enter a policy, placements leave. Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """Why a region gets no slot, or a slot no place."""

    NOT_ALLOWED = "not allowed"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    INFEASIBLE = "no node fits"
    NO_REGION = "no region can take it"


@dataclass(frozen=True, slots=True)
class Room:
    """One region's room for this job, in slots.

    `free` is what it would place now, queue already deducted. `excluded` is why it gets nothing at all. `weight` scales
    its share; `order` breaks ties (lower first). `minimum` and `cap` bound how many slots of the run it gets in all.
    """

    region: str
    free: int
    weight: float = 1.0
    order: int = 0
    excluded: Reason | None = None
    detail: str = ""
    price_per_hour: float | None = None
    """Of one slot, as it runs; None: not known."""
    expected_duration_s: float | None = None
    """How long one slot runs there; None: not known."""
    minimum: int = 0
    """It gets so many before the policy shares out the rest."""
    cap: int | None = None
    """It never gets more; None: no limit."""
    elastic: int = 0
    """How many more are sent there than it would place now, so that an autoscaler sees the demand."""

    @property
    def cost(self) -> float | None:
        """What one slot is expected to cost; None where price or duration isn't known."""
        if self.price_per_hour is None or self.expected_duration_s is None:
            return 0.0 if self.price_per_hour == 0 else None
        return self.price_per_hour * self.expected_duration_s / 3600


Policy = Callable[[int, Sequence[Room]], dict[str, int]]
"""Slots to place and regions with room → slots per region; the sum is at most the slots, none above its `free`."""


@dataclass(frozen=True, slots=True)
class Placement:
    """`now` slots find room at once, `starting` are sent beyond it (an elastic region); `later` are expected there as room
    appears (bound late, so not a promise)."""

    region: str
    now: int
    later: int
    waves: int
    """How many rounds of its room that makes, at least 1."""
    starting: int = 0
    finish_s: float | None = None
    """From now until its last slot ends, as far as durations are known."""
    cost: float | None = None

    @property
    def slots(self) -> int:
        """All together."""
        return self.now + self.starting + self.later


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Slots without a place."""

    slots: int
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How N slots spread. `placements` has each region that gets any; `excluded` each that can't, with why."""

    slots: int
    policy: str
    placements: tuple[Placement, ...]
    excluded: tuple[Room, ...]
    unplaced: tuple[Unplaced, ...]
    why: tuple[str, ...] = field(default=())
    one_each: bool = False
    """Slot i is bound to region i."""
    problems: tuple[str, ...] = ()
    """What keeps it from being dispatched as asked: a deadline or a cost that it wouldn't keep."""

    @property
    def is_complete(self) -> bool:
        """Whether every slot has a place, now or later."""
        return not self.unplaced

    @property
    def finish_s(self) -> float | None:
        """From now until the last slot ends; None where a duration isn't known."""
        ends = [placement.finish_s for placement in self.placements]
        return max((end for end in ends if end is not None), default=None) if None not in ends else None

    @property
    def cost(self) -> float | None:
        """What all of it is expected to cost; None where a price or a duration isn't known."""
        costs = [placement.cost for placement in self.placements]
        return sum(cost for cost in costs if cost is not None) if costs and None not in costs else None
