"""Computes the region in which a plan expects a slot. Pure, and without an object for each slot.

Regions take turns in proportion to their shares, so that low numbers are not all in one region. First come the slots that
are placed now, then those sent beyond the free room, then those that wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heapreplace
from typing import Literal

from federation.plan.model import Plan

When = Literal["now", "starting", "later"]


def expected_place(plan: Plan, slot: int) -> tuple[str, When] | None:
    """(region, when) of a slot, or None for one without a place. Only a slot that is placed now is likely to go there: the
    others are bound as room appears."""
    if plan.one_each:
        placement = plan.placements[slot] if slot < len(plan.placements) else None
        return None if placement is None else (placement.region, "now" if placement.now else "later")
    shares: Sequence[tuple[When, dict[str, int]]] = (
        ("now", {each.region: each.now for each in plan.placements if each.now}),
        ("starting", {each.region: each.starting for each in plan.placements if each.starting}),
        ("later", {each.region: each.later for each in plan.placements if each.later}),
    )
    for when, slots in shares:
        total = sum(slots.values())
        if slot < total:
            return turn_of(slot, slots), when
        slot -= total
    return None


def turn_of(place: int, shares: Mapping[str, int]) -> str:
    """The region of a turn, counted from 0. Region r has its i-th turn at (i + ½) / share(r). The first region wins ties."""
    total = sum(shares.values())
    # Skips all turns before `start`. At most two turns a region are left.
    start = max(0, place - len(shares)) / total
    done = {name: min(share, max(0, int(share * start - 0.5))) for name, share in shares.items()}
    turns = [((done[name] + 0.5) / share, rank, name) for rank, (name, share) in enumerate(shares.items())]
    heapify(turns)
    for _ in range(place - sum(done.values())):
        _, rank, name = turns[0]
        done[name] += 1
        after = (done[name] + 0.5) / shares[name] if done[name] < shares[name] else float("inf")
        heapreplace(turns, (after, rank, name))
    return turns[0][2]
