"""Asks, a capacity snapshot and a policy enter, a `Plan` leaves: placements, and what has no place with its reason.

Pure: no I/O, clock or randomness; equal inputs give equal plans. A leaf that other stages may use: `Room` is how capacity
speaks to it, and the run's brain calls `spread` again whenever room appears.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """Why a region gets no slot, or a slot no place."""

    NOT_CHOSEN = "not chosen"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    INFEASIBLE = "no node fits"
    NO_REGION = "no region can take it"


@dataclass(frozen=True, slots=True)
class Room:
    """One region's room for this job, in slots.

    `free` is what it would place now, queue already deducted. `excluded` is why it gets nothing at all. `weight` scales
    its share; `order` breaks ties (lower first).
    """

    region: str
    free: int
    weight: float = 1.0
    order: int = 0
    excluded: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """`now` slots go to the region at once; `later` are expected there as room appears (bound late, so not a promise)."""

    region: str
    now: int
    later: int
    waves: int
    """How many rounds of its free slots that makes, at least 1."""

    @property
    def slots(self) -> int:
        """Both together."""
        return self.now + self.later


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

    @property
    def is_complete(self) -> bool:
        """Whether every slot has a place, now or later."""
        return not self.unplaced


Policy = Callable[[int, Sequence[Room]], dict[str, int]]
"""Slots to place and regions with room → slots per region; the sum is at most the slots, none above its room."""


def plan(slots: int | None, rooms: Sequence[Room], policy: str = "spread") -> Plan:
    """Place `slots` (None: one in each usable region) over the rooms.

    Slots within the free room are placed now by the policy. The rest is expected later, in proportion to the rooms' size
    (a usable region that is full counts as one slot). Nothing is placed where a region is excluded.
    """
    usable = [room for room in rooms if room.excluded is None]
    excluded = tuple(room for room in rooms if room.excluded is not None)
    why: list[str] = []
    if slots is None:
        wanted = len(usable)
        shares = {room.region: 1 for room in usable}
        now = {room.region: min(1, room.free) for room in usable}
        why.append("no -n given: one slot in each usable region")
    else:
        wanted = slots
        now = POLICIES[policy](slots, usable)
        rest = slots - sum(now.values())
        sizes = {room.region: room.weight * max(room.free, 1) for room in usable}
        later = apportion(rest, sizes, _ranks(usable)) if usable else {}
        shares = {room.region: now.get(room.region, 0) + later.get(room.region, 0) for room in usable}
        why.extend(_explain(slots, usable, now, policy))
    placements = tuple(
        Placement(
            room.region,
            now.get(room.region, 0),
            shares[room.region] - now.get(room.region, 0),
            _waves(shares[room.region], room),
        )
        for room in usable
        if shares[room.region]
    )
    missing = wanted - sum(placement.slots for placement in placements)
    unplaced: tuple[Unplaced, ...] = ()
    if missing or not usable:
        detail = "; ".join(
            f"{room.region}: {room.excluded}{f' ({room.detail})' if room.detail else ''}" for room in excluded
        )
        unplaced = (Unplaced(missing or 1, Reason.NO_REGION, detail or "no region was chosen"),)
    return Plan(wanted, policy, placements, excluded, unplaced, tuple(why))


def spread(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """In proportion to free slots × weight, by largest remainder, none above its room. The default policy."""
    open_rooms = {room.region: room for room in rooms if room.free > 0 and room.excluded is None}
    left = min(slots, sum(room.free for room in open_rooms.values()))
    shares = dict.fromkeys(open_rooms, 0)
    while left:
        weights = {name: room.free * room.weight for name, room in open_rooms.items() if shares[name] < room.free}
        if not any(weights.values()):
            weights = dict.fromkeys(weights, 1.0)
        given = 0
        for name, share in apportion(left, weights, _ranks(rooms)).items():
            taken = min(share, open_rooms[name].free - shares[name])
            shares[name] += taken
            given += taken
        left -= given
    return shares


def apportion(slots: int, weights: Mapping[str, float], ranks: Mapping[str, int]) -> dict[str, int]:
    """`slots` in proportion to weights by largest remainder; ties go to the lower rank, then the name. Sums exactly."""
    total = sum(weights.values())
    exact = {name: slots * weight / total if total else slots / len(weights) for name, weight in weights.items()}
    shares = {name: int(value) for name, value in exact.items()}
    order = sorted(exact, key=lambda name: (shares[name] - exact[name], ranks.get(name, 0), name))
    for name in order[: slots - sum(shares.values())]:
        shares[name] += 1
    return shares


POLICIES: dict[str, Policy] = {"spread": spread}


def _ranks(rooms: Sequence[Room]) -> dict[str, int]:
    return {room.region: room.order for room in rooms}


def _waves(slots: int, room: Room) -> int:
    return max(1, -(-slots // max(room.free, 1)))


def _explain(slots: int, rooms: Sequence[Room], now: Mapping[str, int], policy: str) -> list[str]:
    free = sum(room.free for room in rooms)
    parts = ", ".join(f"{room.region} {now.get(room.region, 0)} of {room.free} free" for room in rooms)
    lines = [f"{policy}: {parts}"] if rooms else []
    if rooms and slots > free:
        lines.append(f"{slots - free} of {slots} slots wait: only {free} are free now; they are bound as room appears")
    return lines
