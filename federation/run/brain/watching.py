"""Follows a child from its dispatch to its end: news of allocations, inspections, deadlines.

Results decide: whatever Nomad says of a child, the stores are asked before its attempt is given up.
"""

from __future__ import annotations

import heapq

from federation.run.brain.causes import Cause, cause_of
from federation.run.brain.changes import Alloc
from federation.run.brain.commands import Inspect
from federation.run.brain.endings import Ends
from federation.run.brain.events import AllocationChanged, ChildInspected, Listed
from federation.run.brain.results import STOPPED, Results
from federation.run.brain.state import Attempt, RunState, newest
from federation.run.brain.transitions import Phase, SlotState
from regions.model import Allocation


class Watching:
    """The children that run, or wait for a node."""

    def __init__(self, state: RunState, ends: Ends, results: Results) -> None:
        self._state = state
        self._ends = ends
        self._results = results
        self._inspections: list[tuple[float, int, int]] = []
        self._deadlines: list[tuple[float, int, int, Phase]] = []

    # ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self, number: int, attempt: Attempt) -> None:
        """Begins to watch an attempt that has a child now."""
        self.inspect_after(self._state.limits.quiet_s, number, attempt)
        region = self._state.regions.get(attempt.region)
        timeout_s = region.pending_timeout_s if region else None
        timeout_s = self._state.manifest.pending_timeout_s if timeout_s is None else timeout_s
        if timeout_s is not None:
            self._expect(timeout_s, number, attempt, Phase.SENT)

    def tick(self) -> None:
        """Inspects children that are due, and stops those whose time is over."""
        state = self._state
        while self._inspections and self._inspections[0][0] <= state.now_s:
            due_s, number, attempt_number = heapq.heappop(self._inspections)
            attempt = state.attempt(number, attempt_number)
            if attempt.inspect_at_s == due_s:
                attempt.inspect_at_s = None
                if attempt.is_open:
                    state.out.append(Inspect(number, attempt.number, attempt.region, attempt.job_id))
        while self._deadlines and self._deadlines[0][0] <= state.now_s:
            _, number, attempt_number, phase = heapq.heappop(self._deadlines)
            attempt = state.attempt(number, attempt_number)
            if attempt.phase is phase:
                self._overdue(number, attempt)

    def _overdue(self, number: int, attempt: Attempt) -> None:
        """Ends a phase that takes too long: a running child is stopped; a waiting one is bound elsewhere if there is room."""
        state = self._state
        if state.regions[attempt.region].is_lost:
            return
        if attempt.phase is Phase.RUNNING:
            timeout_s = state.manifest.slot_timeout_s or 0.0
            attempt.verdict = (Cause.TIMEOUT, f"it ran for longer than --slot-timeout allows ({timeout_s:g} s)")
            self._ends.stop(attempt)
            self.look_for_results(number, attempt)
        elif any(one.room(state.now_s) for one in state.regions.values() if one.name != attempt.region):
            waited_s = state.now_s - attempt.since_s
            self._ends.end(number, attempt, Cause.PENDING, f"it waited {waited_s:.0f} s for a node in {attempt.region}")
        else:
            self._expect(state.limits.quiet_s, number, attempt, Phase.SENT)

    def _expect(self, timeout_s: float, number: int, attempt: Attempt, phase: Phase) -> None:
        heapq.heappush(self._deadlines, (self._state.now_s + timeout_s, number, attempt.number, phase))

    def inspect_after(self, delay_s: float, number: int, attempt: Attempt) -> None:
        """Plans an inspection of the child after `delay_s`, unless an earlier one is planned."""
        due_s = self._state.now_s + delay_s
        is_sooner = attempt.inspect_at_s is None or due_s < attempt.inspect_at_s
        if attempt.is_open and attempt.job_id and is_sooner:
            attempt.inspect_at_s = due_s
            heapq.heappush(self._inspections, (due_s, number, attempt.number))

    # ── news ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def allocation_changed(self, event: AllocationChanged) -> None:
        """Takes news of an allocation. They may come twice, late, or before the child's acknowledgement."""
        state, allocation = self._state, event.allocation
        region = state.regions[event.region]
        pair = state.children.get(allocation.job_id)
        if pair is None:
            if state.in_flight or region.finding.unknown:
                known = state.strangers.setdefault(allocation.job_id, {})
                if (
                    allocation.id not in known
                    or known[allocation.id].allocation.modify_index <= allocation.modify_index
                ):
                    known[allocation.id] = event
            return
        number, attempt = pair[0], state.attempt(*pair)
        if state.manifest.results == "adopt" and allocation.id not in attempt.mapped:
            self._map(number, attempt, allocation)
        if allocation.client_status == "running" and attempt.phase is Phase.SENT:
            self._running(number, attempt, allocation)
        elif allocation.client_status == "complete" and not allocation.is_preempted:
            self._completed(number, attempt, allocation)
        elif allocation.client_status in ("failed", "lost") or allocation.is_preempted:
            self.inspect_after(state.limits.inspect_s, number, attempt)

    def _map(self, number: int, attempt: Attempt, allocation: Allocation) -> None:
        """Records in the run log whose allocation it is: what it writes is found by its ID, which Nomad forgets."""
        attempt.mapped = (*attempt.mapped, allocation.id)
        change = Alloc(number, attempt.number, allocation.id, allocation.group, allocation.index)
        self._state.changes.append(change)

    def _running(self, number: int, attempt: Attempt, allocation: Allocation) -> None:
        self._state.move(attempt, Phase.RUNNING)
        if not attempt.is_inherited:  # later news may have come before it was known here
            attempt.inspect_at_s = None
        self._state.tell("running", attempt=attempt, slot=number, detail=allocation.node_name)
        if self._state.manifest.slot_timeout_s is not None:
            self._expect(self._state.manifest.slot_timeout_s, number, attempt, Phase.RUNNING)

    def _completed(self, number: int, attempt: Attempt, allocation: Allocation) -> None:
        place = (allocation.group, allocation.index)
        if place not in attempt.complete:
            attempt.complete = (*attempt.complete, place)
        if allocation.group not in self._state.manifest.groups:
            return
        if self._state.manifest.results != "none":
            self._results.look(number, attempt, allocation)
        elif attempt.is_open:
            self._ends.keep_logs(number, attempt, allocation, is_failed=False)
            self._results.has(number, place, attempt.number)

    def listed(self, event: Listed) -> None:
        """Inspects running children that are missing in a region's list: they may have ended unnoticed."""
        for job_id, pair in self._state.children.items():
            attempt = self._state.attempt(*pair)
            if attempt.phase is Phase.RUNNING and attempt.region == event.region and job_id not in event.job_ids:
                self.inspect_after(self._state.limits.inspect_s, pair[0], attempt)

    def inspected(self, event: ChildInspected) -> None:
        """Takes the status of a child and its allocations."""
        state = self._state
        attempt = state.attempt(event.slot, event.attempt)
        if not attempt.is_open:
            return
        if event.status == "unknown":
            self.inspect_after(state.limits.quiet_s, event.slot, attempt)
            return
        if event.status == "gone":
            attempt.verdict = attempt.verdict or (Cause.VANISHED, "its job vanished from Nomad and left no result")
            self.look_for_results(event.slot, attempt)
            return
        latest = newest(event.allocations)
        for allocation in latest.values():
            if allocation.client_status == "complete" and not allocation.is_preempted:
                self._completed(event.slot, attempt, allocation)
            elif allocation.client_status == "running" and attempt.phase is Phase.SENT:
                self._running(event.slot, attempt, allocation)
        if state.slots[event.slot].state is SlotState.DONE:
            return
        bad = [one for one in latest.values() if one.client_status in ("failed", "lost") or one.is_preempted]
        if event.status != "dead":
            if bad:
                self.inspect_after(4 * state.limits.inspect_s, event.slot, attempt)
            elif attempt.phase is Phase.SENT:
                self.inspect_after(state.limits.quiet_s, event.slot, attempt)
            return
        for allocation in bad:
            self._ends.keep_logs(event.slot, attempt, allocation, is_failed=True)
        if attempt.verdict:
            return
        if bad:
            cause, reason = cause_of(bad[0])
            attempt.verdict = (cause, f"{reason}: {event.last_line}" if event.last_line else reason)
            self.look_for_results(event.slot, attempt)  # it may have published before it failed
        elif not latest or any(one.client_status != "complete" for one in latest.values()):
            self._ends.end(event.slot, attempt, Cause.STOPPED, STOPPED)

    def look_for_results(self, number: int, attempt: Attempt) -> None:
        """Searches for results of a child that is gone or failed, before its attempt ends. Runs without results skip that."""
        if self._state.manifest.results != "none":
            self._results.look(number, attempt, None)
        else:
            self._results.nothing(number, attempt)
