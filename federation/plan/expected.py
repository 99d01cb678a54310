"""A plan and a slot's number enter, where that slot is expected to go leaves. Pure; no slot is an object.

Regions take turns in proportion to their shares, so that low numbers are not all in one place; first what goes out now, then
what is sent beyond it, then what waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heapreplace
from typing import Literal

from federation.plan.model import Plan

When = Literal["now", "starting", "later"]


def expected_place(plan: Plan, slot: int) -> tuple[str, When] | None:
    """(region, when) of a slot; None for one without a place. Only a slot that goes out now is as good as sure: the others
    are bound as room appears."""
    if plan.one_each:
        one = plan.placements[slot] if slot < len(plan.placements) else None
        return None if one is None else (one.region, "now" if one.now else "later")
    shares: Sequence[tuple[When, dict[str, int]]] = (
        ("now", {one.region: one.now for one in plan.placements if one.now}),
        ("starting", {one.region: one.starting for one in plan.placements if one.starting}),
        ("later", {one.region: one.later for one in plan.placements if one.later}),
    )
    for when, each in shares:
        total = sum(each.values())
        if slot < total:
            return turn_of(slot, each), when
        slot -= total
    return None


def turn_of(place: int, shares: Mapping[str, int]) -> str:
    """Whose turn the place-th is (from 0), when region r has its i-th turn at (i + ½) / share(r); ties go to the first."""
    total = sum(shares.values())
    # All turns before `start` come before the place; what is left is at most two turns a region.
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
