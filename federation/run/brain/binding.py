"""Decides which slot goes to which region now.

Retries come first, each to a region where the slot wasn't tried, if one has room or may get some; then the rest, by the policy.
Free slots are used first. Then a few slots may wait for a node in each region (a head start, or demand that an elastic region
is to see), as long as more slots wait than there is room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from federation.plan import left_of
from federation.run.brain.changes import Bind
from federation.run.brain.region_state import RegionState
from federation.run.brain.state import Attempt, Logged, RunState, Slot
from federation.run.brain.transitions import Phase, SlotState


class Binding:
    """Binds waiting slots to regions with room. Nothing is sent before the run log has its binding."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._has_begun = False

    def bind(self) -> None:
        """Proposes bindings, as far as there is room; none while most regions are silent."""
        state = self._state
        state.is_roomy = False
        if state.is_ending or state.is_cut_off or not (state.unbound or state.retries):
            return
        if self._waits_for_rooms():
            return
        state.retries = list(dict.fromkeys(filter(self._waits, state.retries)))
        room = self._within_shares(self._proven({name: one.room(state.now_s) for name, one in state.regions.items()}))
        bound: dict[int, str] = {}
        if state.retries:
            bound |= self._take(bind_retries(state.retries, state.slots, state.regions, room))
            state.retries = [number for number in state.retries if number not in bound]
        if state.manifest.one_each and state.unbound:
            waiting = list(filter(self._waits, state.unbound))
            names, canary = state.manifest.regions, state.manifest.canary
            bound |= self._take(bind_one_each(waiting, names, state.regions, canary))
            state.unbound = deque(number for number in state.unbound if number not in bound)
            for name in bound.values():
                room[name] = max(0, room[name] - 1)
        at_home = self._held()
        if state.unbound:
            bound |= self._bind_first(room, must_wait=False)
            if state.unbound and not any(room.values()) and not state.manifest.canary:
                bound |= self._bind_first(self._room_ahead(), must_wait=True)
        state.unbound.extendleft(reversed(at_home))
        for region in sorted(set(bound.values())):
            state.tell("bound", region=region, count=sum(1 for name in bound.values() if name == region))

    def _waits_for_rooms(self) -> bool:
        """Whether the start still waits for regions that haven't told their room. Later ones join when they answer."""
        state = self._state
        usable = [one for one in state.regions.values() if one.is_usable]
        late = [one.name for one in usable if one.is_awaited]
        if not late or self._has_begun:
            return False
        if state.now_s - state.begun_s < state.limits.first_probe_s:
            return True
        there = [one.name for one in usable if one.is_known]
        if there:
            self._has_begun = True
            for name in late:
                state.tell("region", region=name, detail=f"no answer yet: starting with {', '.join(there)}")
        return not there

    def _held(self) -> list[int]:
        """Takes those unbound slots out whose own region may still answer."""
        state = self._state
        if not state.manifest.one_each:
            return []
        names = state.manifest.regions
        held = [number for number in state.unbound if state.regions[names[number % len(names)]].is_awaited]
        state.unbound = deque(number for number in state.unbound if number not in held)
        return held

    def _bind_first(self, room: dict[str, int], *, must_wait: bool) -> dict[int, str]:
        """Binds slots that were never bound, by the policy. Deducts them from `room`."""
        state = self._state
        rooms = [
            left_of(one.fixed, room[name], one.open + one.done)
            for name, one in state.regions.items()
            if room[name] or (one.fixed.minimum and one.is_usable and not must_wait)
        ]
        count = min(len(state.unbound), state.limits.bindings_an_entry)
        count = min(
            [count, *(max(0, state.left_of(budget)) for budget in state.budgets if budget.regions >= set(room))]
        )
        shares = {name: share for name, share in state.policy(count, rooms).items() if share} if rooms else {}
        for name, share in shares.items():
            room[name] -= share
        names = interleaved(shares, state.regions)
        bound: dict[int, str] = {}
        for name in names:
            while state.unbound and not self._waits(state.unbound[0]):
                state.unbound.popleft()
            if state.unbound:
                bound[state.unbound.popleft()] = name
        taken = self._take(bound)
        state.unbound.extendleft(number for number in reversed(bound) if number not in taken)
        return taken

    def _within_shares(self, room: Mapping[str, int]) -> dict[str, int]:
        """Limits each region's room to what `[shares]` leaves for this run there."""
        left = {name: self._state.left_in(name) for name in room}
        return {
            name: slots if left[name] is None else max(0, min(slots, left[name] or 0)) for name, slots in room.items()
        }

    def _waits(self, number: int) -> bool:
        """Whether the slot still needs an attempt: another coordinator may have made one."""
        slot = self._state.slots[number]
        return slot.state is SlotState.OPEN and (slot.last is None or not slot.last.is_open)

    def _room_ahead(self) -> dict[str, int]:
        """Gives each region's room for slots that will wait there for a node."""
        state = self._state
        limit = sum(region.limit for region in state.regions.values() if region.is_usable)
        is_tail = len(state.unbound) <= limit
        ahead = {
            name: max(region.fixed.elastic, 0 if is_tail else int(region.limit * state.limits.head_start))
            for name, region in state.regions.items()
        }
        return self._within_shares(
            {name: one.room(state.now_s, ahead[name]) if ahead[name] else 0 for name, one in state.regions.items()}
        )

    def _proven(self, room: dict[str, int]) -> dict[str, int]:
        """Limits the room while canaries are unproven: so many slots a region first, the rest when their results are in the
        index. A region without room for its canaries, or for which no slot is left, isn't waited for."""
        canary = self._state.manifest.canary
        if not canary:
            return room
        regions = self._state.regions.values()
        left = bool(self._state.unbound)
        proving = {
            one.name for one in regions if one.done < canary and one.is_usable and (one.open or (left and room[one.name]))
        }  # fmt: skip
        return {
            one.name: min(room[one.name], max(0, canary - one.open - one.done))
            if one.done < canary
            else 0
            if proving
            else room[one.name]
            for one in regions
        }

    def _take(self, bound: Mapping[int, str]) -> dict[int, str]:
        """Makes the attempts of these bindings, as far as `[shares]` allows, and the changes for the run log. Returns what it
        took."""
        state, taken = self._state, {}
        for number, region in bound.items():
            left = state.left_in(region)
            if left is not None and left <= 0:
                continue
            taken[number] = region
            attempts = state.slots[number].attempts
            attempts.append(Attempt(len(attempts) + 1, region))
            self._count(region)
            state.changes.append(Bind(number, len(attempts), region))
        return taken

    def recorded(self, change: Bind) -> Attempt | None:
        """Adds the attempt of a binding that the log has; None where the log has an earlier binding of its number."""
        attempts = self._state.slots[change.slot].attempts
        if change.attempt != len(attempts) + 1:
            return None
        attempts.append(Attempt(change.attempt, change.region, Phase.BOUND, logged=Logged.BINDING))
        self._count(change.region)
        return attempts[-1]

    def _count(self, region: str) -> None:
        """Counts one more open attempt of a region, without a child so far."""
        one = self._state.regions.get(region)
        if one is not None:
            one.open += 1
            one.unacknowledged += 1
            one.children += 1

    def take_back(self, number: int) -> None:
        """Removes the slot's newest attempt, which was proposed and isn't in the log."""
        state = self._state
        slot = state.slots[number]
        attempt = slot.attempts.pop()
        state.move(attempt, Phase.ENDED)
        if attempt.region in state.regions:
            state.regions[attempt.region].children -= 1
        if slot.state is not SlotState.OPEN or state.is_ending:
            return
        if slot.attempts:
            state.retries.insert(0, number)
        else:
            state.unbound.appendleft(number)


def bind_retries(
    waiting: Sequence[int], slots: Sequence[Slot], regions: Mapping[str, RegionState], room: dict[str, int]
) -> dict[int, str]:
    """Gives slot → region for slots that have failed before, and deducts them from `room`. A slot that could go where it
    wasn't tried waits for room there."""
    bound: dict[int, str] = {}
    choices: dict[frozenset[str], list[str]] = {}
    left = sum(room.values())
    for number in waiting:
        if not left:
            break
        tried = frozenset(attempt.region for attempt in slots[number].attempts)
        if tried not in choices:
            may = [one.name for one in regions.values() if one.is_usable and one.limit and not one.is_full]
            others = [name for name in may if name not in tried]
            choices[tried] = others or list(regions)
        region = max(choices[tried], key=lambda name: (room[name], -regions[name].order))
        if room[region] > 0:
            room[region] -= 1
            left -= 1
            bound[number] = region
    return bound


def bind_one_each(
    waiting: Collection[int], names: Sequence[str], regions: Mapping[str, RegionState], canary: int
) -> dict[int, str]:
    """Gives slot i → region i, full or not, unless the region can't be used or proves other canaries."""
    may = {
        one.name for one in regions.values() if one.is_usable and one.is_known and (not canary or one.done or one.open < canary)
    }  # fmt: skip
    homes = {number: names[number % len(names)] for number in waiting}
    return {number: name for number, name in homes.items() if name in may}


def interleaved(shares: Mapping[str, int], regions: Mapping[str, RegionState]) -> list[str]:
    """Lists each region as often as it has shares, in turn, so that low slot numbers are not all in one region."""
    turns = [
        ((turn + 0.5) / share, regions[name].order, name) for name, share in shares.items() for turn in range(share)
    ]
    return [name for _, _, name in sorted(turns)]
