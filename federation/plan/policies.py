"""Slots and rooms enter, slots per region leave: the policies that fedml has itself. Pure, exact (whole numbers only).

Each places as many slots as there is room for, and is monotonic in capacity: more room in one region never means fewer
slots for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cmp_to_key
from math import inf, lcm

from federation.plan.model import Policy, Room


def spread(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """In proportion to free slots × weight."""
    usable = usable_rooms(rooms)
    weights = _whole({room.region: room.weight for room in usable})
    return fill(
        slots,
        {room.region: room.free for room in usable},
        {room.region: room.free * weights[room.region] for room in usable},
        ranks(usable),
    )


def weights(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """In proportion to `weight` alone, however much is free there."""
    usable = usable_rooms(rooms)
    claims = _whole({room.region: room.weight for room in usable})
    return fill(slots, {room.region: room.free for room in usable}, claims, ranks(usable))


def pack(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Into as few regions as possible: the one with the most room first."""
    return _in_turn(slots, rooms, lambda room: -room.free)


def order(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Into the first region until it is full, then the next, by `order`."""
    return _in_turn(slots, rooms, lambda room: 0)


def cheapest(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Where a slot costs least first: by price × expected duration where both are known everywhere, else by price per
    hour; regions without a price come last."""
    if all(room.cost is not None for room in rooms if room.price_per_hour is not None):
        return _in_turn(slots, rooms, lambda room: inf if room.cost is None else room.cost)
    return _in_turn(slots, rooms, lambda room: inf if room.price_per_hour is None else room.price_per_hour)


def fastest(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Where a slot ends first: by expected duration; regions whose duration isn't known come last."""
    return _in_turn(slots, rooms, lambda room: inf if room.expected_duration_s is None else room.expected_duration_s)


POLICIES: dict[str, Policy] = {
    "spread": spread,
    "pack": pack,
    "order": order,
    "cheapest": cheapest,
    "fastest": fastest,
    "weights": weights,
}


def fill(
    slots: int, capacity: Mapping[str, int], claims: Mapping[str, int], ranks: Mapping[str, tuple[int, str]]
) -> dict[str, int]:
    """`slots` in proportion to the claims, none above its capacity, by largest remainder; ties go to the lower rank.

    What a full region leaves of its share goes to the others in proportion. Sums to the slots, or to all capacity.
    """
    shares = dict.fromkeys(capacity, 0)
    left = min(slots, sum(capacity.values()))
    claims = {name: claims[name] if any(claims[each] for each in capacity) else 1 for name in capacity}
    total = sum(claims.values())

    def by_fullness(one: str, other: str) -> int:  # capacity / claim, compared exactly: who is full first comes first
        return capacity[one] * claims[other] - capacity[other] * claims[one]

    waiting = sorted(sorted(capacity, key=lambda name: ranks[name]), key=cmp_to_key(by_fullness))
    while waiting and (left * claims[waiting[0]] >= capacity[waiting[0]] * total or not total):
        name = waiting.pop(0)
        shares[name] = min(capacity[name], left)
        left -= shares[name]
        total -= claims[name]
    remainders: dict[str, int] = {}
    for name in waiting:
        shares[name], remainders[name] = divmod(left * claims[name], total)
    missing = left - sum(shares[name] for name in waiting)
    for name in sorted(waiting, key=lambda name: (-remainders[name], ranks[name]))[:missing]:
        shares[name] += 1
    return shares


def usable_rooms(rooms: Sequence[Room]) -> list[Room]:
    """Those with any room, in an order that doesn't depend on the one they came in."""
    return sorted((room for room in rooms if room.free > 0 and room.excluded is None), key=rank)


def rank(room: Room) -> tuple[int, str]:
    """Who comes first among equals."""
    return room.order, room.region


def ranks(rooms: Sequence[Room]) -> dict[str, tuple[int, str]]:
    """The rank of each region."""
    return {room.region: rank(room) for room in rooms}


def _in_turn(slots: int, rooms: Sequence[Room], key: Callable[[Room], float]) -> dict[str, int]:
    shares: dict[str, int] = {}
    for room in sorted(usable_rooms(rooms), key=key):
        shares[room.region] = min(room.free, slots - sum(shares.values()))
    return shares


def _whole(claims: Mapping[str, float]) -> dict[str, int]:
    """The same proportions in whole numbers, exactly."""
    ratios = {name: claim.as_integer_ratio() for name, claim in claims.items()}
    common = lcm(*(denominator for _, denominator in ratios.values()))
    return {name: numerator * (common // denominator) for name, (numerator, denominator) in ratios.items()}
