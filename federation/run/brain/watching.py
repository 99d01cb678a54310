"""Follows a child from its dispatch to its end: news of allocations, inspections, deadlines.

Results decide: whatever Nomad says of a child, the stores are asked before its attempt is given up.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from federation.run.brain.causes import STOPPED, Cause, cause_of, explained, has_ended_well
from federation.run.brain.changes import Alloc, Done, Trouble
from federation.run.brain.commands import Inspect
from federation.run.brain.endings import Ends
from federation.run.brain.events import AllocationChanged, ChildInspected, Listed
from federation.run.brain.inspections import Inspections
from federation.run.brain.results import Results
from federation.run.brain.state import Attempt, GroupIndex, RunState, newest
from federation.run.brain.transitions import Phase, SlotState
from regions.model import Allocation

TROUBLES_TOLD = 3
"""Of one attempt."""


class Watching:
    """The children that run, or wait for a node."""

    def __init__(self, state: RunState, ends: Ends, results: Results) -> None:
        self._state = state
        self._ends = ends
        self._results = results
        self._inspections = Inspections(state)
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
        self._inspections.tick()
        while self._deadlines and self._deadlines[0][0] <= state.now_s:
            due_s, number, attempt_number, phase = heapq.heappop(self._deadlines)
            attempt = state.attempt(number, attempt_number)
            if attempt.phase is phase and attempt.deadline_s == due_s:
                self._overdue(number, attempt)

    def _overdue(self, number: int, attempt: Attempt) -> None:
        """Ends a phase that takes too long: a running child is stopped; a waiting one is bound elsewhere if there is room.
        One that Nomad holds until a node has room keeps its place while nothing is free; any other one has failed."""
        state = self._state
        if state.regions[attempt.region].is_lost:
            return
        if attempt.phase is Phase.RUNNING:
            timeout_s = state.manifest.slot_timeout_s or 0.0
            attempt.verdict = (Cause.TIMEOUT, f"it ran for longer than --slot-timeout allows ({timeout_s:g} s)")
            self._ends.stop(attempt)
            self.look_for_results(number, attempt)
            return
        waited_s = state.now_s - attempt.since_s
        why = f": {attempt.troubles[-1]}" if attempt.troubles else ""
        if attempt.is_queued is False:
            reason = f"it got no allocation in {waited_s:.0f} s in {attempt.region}, and doesn't wait for a node there"
            self._ends.end(number, attempt, Cause.UNPLACED, reason)
        elif any(one.room(state.now_s) for one in state.regions.values() if one.name != attempt.region):
            what = "to start" if attempt.troubles else "for a node"
            reason = f"it waited {waited_s:.0f} s {what} in {attempt.region}{why}"
            self._ends.end(number, attempt, Cause.PENDING, reason)
        else:
            self.inspect_after(0.0, number, attempt)
            self._expect(state.limits.quiet_s, number, attempt, Phase.SENT)

    def _expect(self, timeout_s: float, number: int, attempt: Attempt, phase: Phase) -> None:
        attempt.deadline_s = self._state.now_s + timeout_s
        heapq.heappush(self._deadlines, (attempt.deadline_s, number, attempt.number, phase))

    def inspect_after(self, delay_s: float, number: int, attempt: Attempt) -> None:
        """Plans an inspection of the child after `delay_s`, unless an earlier one is planned."""
        self._inspections.after(delay_s, number, attempt)

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
        if attempt.complete and not (attempt.is_open or allocation.is_over or allocation.id in attempt.complete):
            self._ends.stop(attempt)  # Nomad replaced an allocation that had done its work
            return
        if state.manifest.results == "adopt" and allocation.id not in attempt.mapped:
            self._map(number, attempt, allocation)
        if allocation.client_status == "running" and attempt.phase is Phase.SENT:
            self._running(number, attempt, allocation)
        self._troubled(number, attempt, allocation)
        if has_ended_well(allocation):
            self._ended_well(number, attempt, allocation)
        elif allocation.is_over:
            if state.manifest.results == "publish" and allocation.client_status == "complete":
                self._look(number, attempt, allocation)  # what it published before it was stopped counts
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
        if attempt.failing:
            attempt.note("", "")
            self._state.changes.append(Trouble(number, attempt.number, "", ""))
        self._state.tell("running", attempt=attempt, slot=number, detail=allocation.node_name)
        if self._state.manifest.slot_timeout_s is not None:
            self._expect(self._state.manifest.slot_timeout_s, number, attempt, Phase.RUNNING)

    def _troubled(self, number: int, attempt: Attempt, allocation: Allocation, last_line: str | None = None) -> None:
        """Says at once what keeps a task from starting, or why Nomad restarts it: the end of the attempt may be far. Of a
        task that has run, its `last_line` is asked for first (None: not yet)."""
        if allocation.is_over or not attempt.is_open:
            return
        for name, task in allocation.tasks.items():
            trouble, has_run = f"task {name}: {task.trouble}", task.exit_code is not None
            if not task.trouble or trouble in attempt.troubles:
                continue
            if has_run and last_line is None:
                self.inspect_after(0.0, number, attempt)
                continue
            said = f"{trouble}: {last_line}" if last_line else trouble
            detail = f"{said}; Nomad restarts it" if has_run else said
            attempt.note(trouble, detail)
            if len(attempt.troubles) <= TROUBLES_TOLD:
                self._state.changes.append(Trouble(number, attempt.number, trouble, detail))
                self._state.tell("failing", attempt=attempt, slot=number, detail=detail)

    def _ended_well(self, number: int, attempt: Attempt, allocation: Allocation) -> None:
        state = self._state
        if allocation.id not in attempt.complete:
            attempt.complete = (*attempt.complete, allocation.id)
        if state.manifest.results != "none":
            self._look(number, attempt, allocation)
        elif allocation.group in state.manifest.groups and attempt.is_open:
            place = (allocation.group, allocation.index)
            if place not in state.slots[number].committed:
                state.changes.append(Done(number, attempt.number, *place))
                state.tell("ended", attempt=attempt, slot=number, detail=f"{place[0]}[{place[1]}] with exit code 0")
            self._ends.keep_logs(number, attempt, allocation, is_failed=False)
            self._results.has(number, place, attempt.number)

    def _look(self, number: int, attempt: Attempt, allocation: Allocation) -> None:
        if allocation.group in self._state.manifest.groups:
            self._results.look(number, attempt, allocation)

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
        if event.status == "unlisted":
            state.out.append(Inspect(event.slot, event.attempt, attempt.region, attempt.job_id))
            return
        if event.status == "unknown":
            self.inspect_after(state.limits.quiet_s, event.slot, attempt)
            return
        if event.status == "gone":
            attempt.verdict = attempt.verdict or (Cause.VANISHED, "its job vanished from Nomad and left no result")
            self.look_for_results(event.slot, attempt)
            return
        latest = newest(event.allocations)
        bad = []
        for allocation in latest.values():
            if has_ended_well(allocation, event.deciding.get(allocation.group, ())):
                self._ended_well(event.slot, attempt, allocation)
            elif allocation.is_over:
                bad.append(allocation)
            elif allocation.client_status == "running" and attempt.phase is Phase.SENT:
                self._running(event.slot, attempt, allocation)
            self._troubled(event.slot, attempt, allocation, event.last_line)
        if state.slots[event.slot].state is SlotState.DONE:
            return
        if event.status == "dead":
            self._dead(event, attempt, latest, bad)
        else:
            self._not_dead(event, attempt, bad)

    def _not_dead(self, event: ChildInspected, attempt: Attempt, bad: list[Allocation]) -> None:
        """Waits for a child that Nomad goes on with: it is placed for the first time, or again."""
        limits = self._state.limits
        if event.status == "pending" and attempt.phase is Phase.RUNNING and bad:
            self._state.move(attempt, Phase.SENT)
            self.begin(event.slot, attempt)
        if attempt.phase is Phase.SENT:
            attempt.is_queued = event.is_queued if event.status == "pending" else None
            self.inspect_after(limits.quiet_s, event.slot, attempt)
        if bad:
            is_moved = all(one.is_moved or one.is_preempted for one in bad)
            self.inspect_after(limits.quiet_s if is_moved else 4 * limits.inspect_s, event.slot, attempt)

    def _dead(
        self,
        event: ChildInspected,
        attempt: Attempt,
        latest: Mapping[GroupIndex, Allocation],
        bad: list[Allocation],
    ) -> None:
        """Decides why a child that Nomad is through with hasn't ended well."""
        for allocation in bad:
            self._ends.keep_logs(event.slot, attempt, allocation, is_failed=True)
        if attempt.verdict:
            return
        if bad:
            cause, reason = cause_of(bad[0], is_job_stopped=event.is_stopped)
            is_code = self._state.manifest.code is not None
            attempt.verdict = explained(cause, reason, event.last_line, is_code=is_code)
            self.look_for_results(event.slot, attempt)  # it may have published before it failed
        elif not latest and not event.is_stopped:
            reason = f"Nomad ended its job in {attempt.region} without an allocation"
            self._ends.end(event.slot, attempt, Cause.UNPLACED, reason)
        elif not latest or any(not one.is_over for one in latest.values()):
            self._ends.end(event.slot, attempt, Cause.STOPPED, STOPPED)

    def look_for_results(self, number: int, attempt: Attempt) -> None:
        """Searches for results of a child that is gone or failed, before its attempt ends. Runs without results skip that;
        what a job writes itself counts only if its tasks ended well, or Nomad forgot how they ended."""
        cause = attempt.verdict[0] if attempt.verdict else None
        if self._state.manifest.results == "publish" or (
            self._state.manifest.results == "adopt" and cause in (None, Cause.VANISHED)
        ):
            self._results.look(number, attempt, None)
        else:
            self._results.nothing(number, attempt)
