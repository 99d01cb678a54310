"""Wraps a policy so that it keeps every region's minimum and cap, and finds limits that can't be kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from federation.errors import UsageError
from federation.plan.model import Policy, Room
from federation.plan.policies import rank


def within_limits(name: str, policy: Policy) -> Policy:
    """Returns the policy under each region's `minimum` and `cap`. Minimums come first, in order if there are fewer slots.
    The policy places the rest. No region gets more than its cap.

    A minimum that finds no room is kept free for its region, unless the region is excluded. Later calls in a run pass what
    is left of both limits (`left_of`). The policy may come from a plug-in, so its answer is checked: UsageError if it
    places more than there is, or in a region that it may not use.
    """

    def place(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
        shares: dict[str, int] = {}
        open_rooms: list[Room] = []
        left = max(0, slots)
        for room in sorted((room for room in rooms if room.excluded is None), key=rank):
            free = room.free if room.cap is None else min(room.free, room.cap)
            due = min(room.minimum, left)
            left -= due
            shares[room.region] = min(due, free)
            if free > due:
                open_rooms.append(replace(room, free=free - due))
        given = policy(left, open_rooms) if left and open_rooms else {}
        _check(name, left, open_rooms, given)
        return {region: share + given.get(region, 0) for region, share in shares.items()}

    return place


def left_of(room: Room, free: int, held: int) -> Room:
    """The room for a later call in a run: `free` slots now, `held` slots of the run there already."""
    cap = None if room.cap is None else max(0, room.cap - held)
    return replace(room, free=max(0, free), minimum=max(0, room.minimum - held), cap=cap)


def check_limits(slots: int, rooms: Sequence[Room]) -> None:
    """Raises UsageError with the limits if no placement of all slots can keep them."""
    usable = [room for room in rooms if room.excluded is None]
    for room in usable:
        if room.cap is not None and room.minimum > room.cap:
            raise UsageError(
                f"region {room.region} has a minimum of {room.minimum} and a cap of {room.cap}",
                hint="lower the minimum or raise the cap",
            )
    if usable and all(room.cap is not None for room in usable):
        allowed = sum(room.cap or 0 for room in usable)
        if allowed < slots:
            raise UsageError(
                f"the caps allow {allowed} of {slots} slots: {', '.join(f'{room.region} {room.cap}' for room in usable)}",
                hint="raise a cap ([regions.NAME] cap, or --cap NAME=N), or ask for fewer slots",
            )
    minimums = [room for room in usable if room.minimum]
    if sum(room.minimum for room in minimums) > slots:
        listed = ", ".join(f"{room.region} {room.minimum}" for room in minimums)
        raise UsageError(
            f"the minimums need {sum(room.minimum for room in minimums)} slots, more than {slots}: {listed}",
            hint="lower a minimum ([regions.NAME] minimum, or --minimum NAME=N), or ask for more slots",
        )


def _check(name: str, slots: int, rooms: Sequence[Room], given: dict[str, int]) -> None:
    free = {room.region: room.free for room in rooms}
    for region, share in given.items():
        if type(share) is not int or not 0 <= share <= free.get(region, 0):
            raise UsageError(
                f"policy {name!r} gives region {region} {share!r} slots, where {free.get(region, 0)} are free",
                hint="a policy returns whole numbers, none above a room's `free`",
            )
    if sum(given.values()) > slots:
        raise UsageError(
            f"policy {name!r} places {sum(given.values())} slots of {slots}",
            hint="a policy places at most as many slots as it is given",
        )
