"""A policy enters, one that keeps every region's minimum and cap leaves; and what makes limits impossible is told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from federation.errors import UsageError
from federation.plan.model import Policy, Room
from federation.plan.policies import rank


def within_limits(name: str, policy: Policy) -> Policy:
    """The policy under each region's `minimum` and `cap`: minimums first (in order, where there are fewer slots), the rest as
    the policy says, nothing above a cap.

    What a region is due and has no room for is held back for it, unless it is excluded. Whoever asks again in the course of
    a run passes what is left of both limits (`left_of`). The answer is checked, since a policy may be a stranger's:
    UsageError where it gives more than there is, or to whom it may not.
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
    """The room as a policy is to see it in the course of a run: `free` now, `held` slots of the run there already."""
    cap = None if room.cap is None else max(0, room.cap - held)
    return replace(room, free=max(0, free), minimum=max(0, room.minimum - held), cap=cap)


def check_limits(slots: int, rooms: Sequence[Room]) -> None:
    """Raises UsageError, naming the limits, where no placement of all the slots could keep them."""
    usable = [room for room in rooms if room.excluded is None]
    for room in usable:
        if room.cap is not None and room.minimum > room.cap:
            raise UsageError(
                f"region {room.region} has a minimum of {room.minimum} and a cap of {room.cap}",
                hint="the minimum may not be above the cap",
            )
    if usable and all(room.cap is not None for room in usable):
        allowed = sum(room.cap or 0 for room in usable)
        if allowed < slots:
            raise UsageError(
                f"the caps allow {allowed} of {slots} slots: {', '.join(f'{one.region} {one.cap}' for one in usable)}",
                hint="raise a cap ([regions.NAME] cap, or --cap NAME=N), or ask for fewer slots",
            )
    minimums = [room for room in usable if room.minimum]
    if sum(room.minimum for room in minimums) > slots:
        told = ", ".join(f"{room.region} {room.minimum}" for room in minimums)
        raise UsageError(
            f"the minimums need {sum(room.minimum for room in minimums)} slots, more than {slots}: {told}",
            hint="lower a minimum ([regions.NAME] minimum, or --minimum NAME=N), or ask for more slots",
        )


def _check(name: str, slots: int, rooms: Sequence[Room], given: dict[str, int]) -> None:
    free = {room.region: room.free for room in rooms}
    for region, share in given.items():
        if type(share) is not int or not 0 <= share <= free.get(region, 0):
            raise UsageError(
                f"policy {name!r} gives region {region} {share!r} slots, where {free.get(region, 0)} are free",
                hint="a policy answers whole numbers, none above a room's `free`",
            )
    if sum(given.values()) > slots:
        raise UsageError(
            f"policy {name!r} places {sum(given.values())} slots of {slots}",
            hint="a policy places at most the slots that it is asked for",
        )
