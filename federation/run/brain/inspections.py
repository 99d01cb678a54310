"""Plans when children are inspected, and whether one by one or by lists."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping

from federation.run.brain.commands import Inspect, InspectAll
from federation.run.brain.events import Pair
from federation.run.brain.state import Attempt, RunState
from federation.run.brain.transitions import Phase

BY_LIST = 4
"""Inspections of quiet children at the same moment in one region for which lists are asked instead."""
TOGETHER_S = 2.0
"""Inspections of quiet children that are planned for the same span of this length happen together."""


class Inspections:
    """The planned inspections of all children."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._planned: list[tuple[float, int, int]] = []
        self._routine: set[Pair] = set()
        """Attempts whose planned inspection has no reason but that they were quiet."""

    def after(self, delay_s: float, number: int, attempt: Attempt) -> None:
        """Plans an inspection of the child after `delay_s`, unless an earlier one is planned."""
        due_s = self._state.now_s + delay_s
        is_sooner = attempt.inspect_at_s is None or due_s < attempt.inspect_at_s
        if not (attempt.is_open and attempt.job_id and is_sooner):
            return
        if delay_s >= self._state.limits.quiet_s and not attempt.troubles:
            self._routine.add((number, attempt.number))
            due_s = math.ceil(due_s / TOGETHER_S) * TOGETHER_S
        else:
            self._routine.discard((number, attempt.number))
        attempt.inspect_at_s = due_s
        heapq.heappush(self._planned, (due_s, number, attempt.number))

    def tick(self) -> None:
        """Inspects the children that are due."""
        state = self._state
        quiet: dict[str, dict[Pair, str]] = {}
        while self._planned and self._planned[0][0] <= state.now_s:
            due_s, *numbers = heapq.heappop(self._planned)
            pair = (numbers[0], numbers[1])
            attempt = state.attempt(*pair)
            if attempt.inspect_at_s != due_s:
                continue
            attempt.inspect_at_s = None
            is_routine = pair in self._routine
            self._routine.discard(pair)
            if attempt.is_open and is_routine and self._is_told_by_lists(attempt):
                quiet.setdefault(attempt.region, {})[pair] = attempt.job_id
            elif attempt.is_open:
                state.out.append(Inspect(*pair, attempt.region, attempt.job_id))
        for region, children in quiet.items():
            self._inspect(region, children)

    def _inspect(self, region: str, children: Mapping[Pair, str]) -> None:
        """Inspects quiet children of one region. Where there are several, lists are asked, which tell of all others too whose
        inspection is planned for later."""
        state = self._state
        if len(children) < BY_LIST:
            state.out.extend(Inspect(*pair, region, job_id) for pair, job_id in children.items())
            return
        children = {**children, **self._planned_for_later(region)}
        running = (pair for pair in children if state.attempt(*pair).phase is Phase.RUNNING)
        state.out.append(InspectAll(region, children, frozenset(running)))

    def _planned_for_later(self, region: str) -> dict[Pair, str]:
        """Takes the region's quiet children out of the plan."""
        later: dict[Pair, str] = {}
        for pair in sorted(self._routine):
            attempt = self._state.attempt(*pair)
            if attempt.region != region:
                continue
            if not attempt.is_open or attempt.inspect_at_s is None:  # no inspection is planned any more
                self._routine.discard(pair)
            elif self._is_told_by_lists(attempt):
                self._routine.discard(pair)
                attempt.inspect_at_s = None
                later[pair] = attempt.job_id
        return later

    def _is_told_by_lists(self, attempt: Attempt) -> bool:
        """Of several allocations that run, one may have ended unnoticed while the others go on: lists don't tell that."""
        return self._state.keys_a_slot == 1 or attempt.phase is not Phase.RUNNING
