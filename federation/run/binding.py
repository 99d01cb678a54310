"""Slots that wait and regions with room enter, bindings leave: which slot goes where now. Pure.

Retries come first, each to a region that the slot wasn't tried in where one has room or may get some; then the rest, by the
policy (`federation.plan.spread`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from federation.plan import Room, spread
from federation.run.state import RegionState, Slot


def bind_retries(waiting: Sequence[int], slots: Sequence[Slot], regions: Mapping[str, RegionState]) -> dict[int, str]:
    """Slot → region for slots that have failed before. One that could go where it wasn't tried waits for room there."""
    room = {name: region.room for name, region in regions.items()}
    bound: dict[int, str] = {}
    for number in waiting:
        tried = {attempt.region for attempt in slots[number].attempts}
        others = [one for one in regions.values() if one.name not in tried and one.is_usable and one.limit]
        names = [one.name for one in others] or list(regions)
        region = max(names, key=lambda name: (room[name], -regions[name].order))
        if room[region] > 0:
            room[region] -= 1
            bound[number] = region
    return bound


def bind_first(count: int, regions: Mapping[str, RegionState], weights: Mapping[str, float]) -> list[str]:
    """Regions for the next `count` slots that were never bound, fewer where there isn't room for all; interleaved, so
    that low slot numbers are not all in one region."""
    rooms = [Room(one.name, one.room, weights.get(one.name, 1.0), one.order) for one in regions.values()]
    shares = {name: share for name, share in spread(count, rooms).items() if share}
    turns = [
        ((turn + 0.5) / share, regions[name].order, name) for name, share in shares.items() for turn in range(share)
    ]
    return [name for _, _, name in sorted(turns)]


def bind_one_each(waiting: Sequence[int], names: Sequence[str], regions: Mapping[str, RegionState]) -> dict[int, str]:
    """Slot i in region i, whether that one is full or not, unless it can't be used."""
    homes = {number: names[number % len(names)] for number in waiting}
    return {number: name for number, name in homes.items() if regions[name].is_usable}
