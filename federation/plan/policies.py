"""The policies of fedml itself: slots and rooms → slots of each region. Pure and exact (whole numbers only).

Each policy places as many slots as there is room for. More room in a region never means fewer slots for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cmp_to_key
from math import inf, lcm

from federation.plan.model import Policy, Room


def spread(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Places slots in proportion to free slots × weight."""
    usable = usable_rooms(rooms)
    weights = _whole({room.region: room.weight for room in usable})
    return fill(
        slots,
        {room.region: room.free for room in usable},
        {room.region: room.free * weights[room.region] for room in usable},
        ranks(usable),
    )


def weights(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Places slots in proportion to `weight` alone."""
    usable = usable_rooms(rooms)
    claims = _whole({room.region: room.weight for room in usable})
    return fill(slots, {room.region: room.free for room in usable}, claims, ranks(usable))


def pack(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Uses as few regions as possible, the one with the most room first."""
    return _in_turn(slots, rooms, lambda room: -room.free)


def order(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Fills one region after the other, by `order`."""
    return _in_turn(slots, rooms, lambda room: 0)


def cheapest(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Fills the regions with the lowest cost of a slot first: price × expected duration if both are known everywhere, else
    price per hour. Regions without a price come last."""
    if all(room.cost is not None for room in rooms if room.price_per_hour is not None):
        return _in_turn(slots, rooms, lambda room: inf if room.cost is None else room.cost)
    return _in_turn(slots, rooms, lambda room: inf if room.price_per_hour is None else room.price_per_hour)


def fastest(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    """Fills the regions with the shortest expected duration first. Regions without one come last."""
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
    """Distributes `slots` in proportion to the claims, below each capacity, by largest remainder. The lower rank wins ties.

    What a full region can't take goes to the others in proportion. The sum is `slots`, or all capacity.
    """
    shares = dict.fromkeys(capacity, 0)
    left = min(slots, sum(capacity.values()))
    claims = {name: claims[name] if any(claims[each] for each in capacity) else 1 for name in capacity}
    total = sum(claims.values())

    def by_fullness(
        one: str, other: str
    ) -> int:  # capacity / claim, compared exactly: the region that is full first comes first
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
    """The rooms with free slots, by rank."""
    return sorted((room for room in rooms if room.free > 0 and room.excluded is None), key=rank)


def rank(room: Room) -> tuple[int, str]:
    """The key that breaks ties."""
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
    """The same proportions as exact whole numbers."""
    ratios = {name: claim.as_integer_ratio() for name, claim in claims.items()}
    common = lcm(*(denominator for _, denominator in ratios.values()))
    return {name: numerator * (common // denominator) for name, (numerator, denominator) in ratios.items()}
