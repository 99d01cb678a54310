"""Makes a `Plan` from slots, rooms and a policy: placements, slots without a place, and the reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from federation.plan.limits import check_limits
from federation.plan.model import Placement, Plan, Policy, Reason, Room, Unplaced
from federation.plan.policies import fill, ranks
from federation.plan.registry import policy_named
from federation.text import counted, in_words
from jobs.frozen import frozen


@frozen
class Wishes:
    """Limits of the whole plan. `deadline_s` counts from now. `max_cost` is in the currency of the prices."""

    deadline_s: float | None = None
    max_cost: float | None = None


def plan(
    slots: int | None,
    rooms: Sequence[Room],
    policy: str = "spread",
    *,
    place: Policy | None = None,
    wishes: Wishes | None = None,
) -> Plan:
    """Places `slots` (None: one in each usable region) by the policy (`place`: the function of that policy, if known).

    The policy places slots in the free room now, then in elastic regions beyond it. The rest is expected later, in
    proportion to the rooms' size and speed (a usable region that is full counts as one slot), below each cap. An excluded
    region gets nothing. Raises UsageError for an unknown policy and for limits that contradict each other.
    """
    usable = [room for room in rooms if room.excluded is None]
    excluded = tuple(room for room in rooms if room.excluded is not None)
    if slots is None:
        wanted, shares = len(usable), _one_each(usable)
        why = ["no -n given: one slot in each usable region"]
    else:
        check_limits(slots, rooms)
        wanted, shares = slots, _shares(slots, usable, place or policy_named(policy))
        why = _explain(slots, usable, shares, policy)
    why += [
        f"{room.region}: its minimum of {room.minimum} is not kept, because the region is left out"
        for room in excluded
        if room.minimum and slots is not None
    ]
    placements = tuple(_placement(room, shares[room.region]) for room in usable if any(shares[room.region].counts))
    missing = wanted - sum(placement.slots for placement in placements)
    unplaced: tuple[Unplaced, ...] = ()
    if missing or not usable:
        unplaced = (Unplaced(missing or 1, Reason.NO_REGION, _left_out(excluded) or "no region was chosen"),)
    made = Plan(wanted, policy, placements, excluded, unplaced, tuple(why), slots is None)
    return replace(made, problems=tuple(_problems(made, usable, wishes or Wishes())))


@frozen
class _Share:
    now: int = 0
    starting: int = 0
    later: int = 0

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.now, self.starting, self.later


def _one_each(usable: Sequence[Room]) -> dict[str, _Share]:
    return {room.region: _Share(now=1) if room.free else _Share(later=1) for room in usable}


def _shares(slots: int, usable: Sequence[Room], place: Policy) -> dict[str, _Share]:
    now = place(slots, usable)
    rest = slots - sum(now.values())
    beyond = [_after(room, now.get(room.region, 0)) for room in usable]
    starting = place(rest, beyond) if rest and any(room.elastic for room in usable) else {}
    rest -= sum(starting.values())
    sent = {room.region: now.get(room.region, 0) + starting.get(room.region, 0) for room in usable}
    later = _later(rest, usable, sent)
    return {
        room.region: _Share(now.get(room.region, 0), starting.get(room.region, 0), later.get(room.region, 0))
        for room in usable
    }


def _after(room: Room, placed: int) -> Room:
    """The room beyond the free slots, which only an elastic region has."""
    cap = None if room.cap is None else room.cap - placed
    return replace(room, free=room.elastic, minimum=max(0, room.minimum - placed), cap=cap)


def _later(rest: int, usable: Sequence[Room], sent: Mapping[str, int]) -> dict[str, int]:
    """Estimates which regions take the rest. A region's slots become free as often as slots end there."""
    capacity = {room.region: rest if room.cap is None else room.cap - sent[room.region] for room in usable}
    sizes = {room.region: room.weight * max(room.free, 1) for room in usable}
    known = [room.expected_duration_s for room in usable]
    if all(known):
        sizes = {
            room.region: max(room.free, 1) / duration for room, duration in zip(usable, known, strict=True) if duration
        }
    claims = {name: max(1, round(size * 1_000_000)) for name, size in sizes.items()}
    due = {room.region: max(0, room.minimum - sent[room.region]) for room in usable}
    share = fill(rest, due, due, ranks(usable))
    more = fill(
        rest - sum(share.values()), {n: capacity[n] - share[n] for n in capacity}, claims, ranks(usable)
    )  # fmt: skip
    return {name: share[name] + more[name] for name in capacity}


def _placement(room: Room, share: _Share) -> Placement:
    slots = sum(share.counts)
    waves = max(1, -(-slots // max(room.free, 1)))
    finish_s = None if room.expected_duration_s is None else waves * room.expected_duration_s
    cost = None if room.cost is None else slots * room.cost
    return Placement(room.region, share.now, share.later, waves, share.starting, finish_s, cost)


def _left_out(excluded: Sequence[Room]) -> str:
    return "; ".join(f"{room.region}: {room.excluded}{f' ({room.detail})' if room.detail else ''}" for room in excluded)


def _problems(made: Plan, usable: Sequence[Room], wishes: Wishes) -> list[str]:
    problems = []
    if wishes.deadline_s is not None and made.finish_s is not None and made.finish_s > wishes.deadline_s:
        problems.append(
            f"the deadline can't be kept: it is {in_words(wishes.deadline_s)} away, "
            f"and the last slot is expected to end in {in_words(made.finish_s)}"
        )
    if wishes.max_cost is not None and made.cost is not None and made.cost > wishes.max_cost:
        problems.append(
            f"it is expected to cost {made.cost:.2f}, more than {wishes.max_cost:g}{_cheaper(made, usable)}"
        )
    return problems


def _cheaper(made: Plan, usable: Sequence[Room]) -> str:
    """The cost under the policy `cheapest`, if it is lower."""
    if made.policy == "cheapest" or made.one_each:
        return ""
    other = plan(made.slots, usable, "cheapest")
    if other.cost is None or made.cost is None or other.cost >= made.cost:
        return ""
    return f" (--policy cheapest: {other.cost:.2f})"


def _explain(slots: int, usable: Sequence[Room], shares: Mapping[str, _Share], policy: str) -> list[str]:
    free = sum(room.free for room in usable)
    parts = ", ".join(f"{room.region} {shares[room.region].now} of {room.free} free" for room in usable)
    lines = [f"{policy}: {parts}"] if usable else []
    for room in usable:
        share = shares[room.region]
        if room.minimum and sum(share.counts) == room.minimum:
            lines.append(f"{room.region}: its minimum of {room.minimum}")
        if room.cap is not None and sum(share.counts) == room.cap:
            lines.append(f"{room.region}: its cap of {room.cap}")
        if share.starting:
            lines.append(
                f"{room.region}: {counted(share.starting, 'slot')} beyond its free slots, so that its autoscaler adds nodes"
            )
    waiting = sum(share.later for share in shares.values())
    if usable and waiting:
        lines.append(f"{waiting} of {slots} slots wait until room appears: only {free} are free now")
    return lines
