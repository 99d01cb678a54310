"""Searches the stores for results of slots whose region gives no news: a published result counts whatever its region says.

Only a few slots a region at a time, so that a store that doesn't answer delays no other region's results.
"""

from __future__ import annotations

from collections import deque

from federation.run.brain.causes import Cause
from federation.run.brain.commands import Look
from federation.run.brain.events import Looked, Pair
from federation.run.brain.state import RunState
from federation.run.brain.transitions import SlotState


class Peeking:
    """The searches for results of regions out of sight."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._waiting: dict[str, deque[Pair]] = {}
        self._begun_s: dict[str, float] = {}
        self._hold_s: dict[str, float] = {}
        self._under_way: dict[str, set[Pair]] = {}

    def tick(self) -> None:
        """Begins searches wherever a region gives no news."""
        state = self._state
        if state.is_ending or state.manifest.results != "publish":  # what a job writes itself may not be complete yet
            return
        for name, region in state.regions.items():
            if not region.is_out_of_sight:
                self._waiting.pop(name, None)
                continue
            if (
                not self._waiting.get(name)
                and state.now_s - self._begun_s.get(name, float("-inf")) >= state.limits.peek_s
            ):
                self._begun_s[name] = state.now_s
                self._waiting[name] = deque(self._wanted(name))
            self._look(name)

    def _wanted(self, region: str) -> list[Pair]:
        """Attempts that may have published in the region, of slots that have no result yet."""
        return [
            (number, attempt.number)
            for number, slot in enumerate(self._state.slots)
            if slot.state is SlotState.OPEN
            for attempt in slot.attempts
            if attempt.region == region
            and attempt.job_id
            and attempt.verdict is None
            and (attempt.is_open or attempt.cause is Cause.REGION_LOST)
        ]

    def _look(self, region: str) -> None:
        state = self._state
        under_way = self._under_way.setdefault(region, set())
        waiting = self._waiting.get(region) or deque()
        if state.now_s < self._hold_s.get(region, 0.0):
            return
        while waiting and len(under_way) < state.limits.peeks:
            pair = waiting.popleft()
            if state.slots[pair[0]].state is SlotState.OPEN and pair not in under_way:
                under_way.add(pair)
                state.out.append(Look(*pair, region, None))

    def is_own(self, event: Looked) -> bool:
        """Whether this answers a search that was begun here. Begins the next ones."""
        pair = (event.slot, event.attempt)
        region = self._state.attempt(*pair).region
        under_way = self._under_way.get(region, set())
        if event.alloc_id or pair not in under_way:
            return False
        under_way.discard(pair)
        if event.error:
            self._hold_s[region] = self._state.now_s + self._state.limits.look_retry_s
        self._look(region)
        return True
