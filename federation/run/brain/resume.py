"""A run's log of before and what is committed enter; slots and attempts as they stood leave, to be gone on with.

A recorded binding is continued, never made anew: whether it has a child is found out. Only what isn't committed is asked for.
"""

from __future__ import annotations

from federation.run.brain.binding import Binding
from federation.run.brain.causes import Cause
from federation.run.brain.dispatching import Dispatching
from federation.run.brain.endings import Ends
from federation.run.brain.events import Change, Pair, Resumed
from federation.run.brain.health import Health
from federation.run.brain.state import Attempt, Phase, RunState
from federation.run.brain.watching import Watching

STOPPED = (Cause.REGION_LOST, Cause.PENDING, Cause.TIMEOUT, Cause.REFUSED, Cause.VANISHED, Cause.CANCELLED)
"""Ends that Nomad knows nothing of: the child is stopped."""


class Resume:
    """Brings a run to where its log left it."""

    def __init__(
        self,
        state: RunState,
        ends: Ends,
        health: Health,
        binding: Binding,
        dispatching: Dispatching,
        watching: Watching,
    ) -> None:
        self._state = state
        self._ends = ends
        self._health = health
        self._binding = binding
        self._dispatching = dispatching
        self._watching = watching
        self._to_rebind: list[Pair] = []

    def replay(self, change: Change) -> None:
        """One change of an entry of before: nothing follows from it but what is known."""
        state = self._state
        if change["type"] == "rebind":
            self._to_rebind = self._health.reaching.open_in(str(change["region"]))
            return
        number, attempt_number = int(change["slot"]), int(change["attempt"])
        slot = state.slots[number]
        if change["type"] == "bind":
            if attempt_number == len(slot.attempts) + 1:
                slot.attempts.append(Attempt(attempt_number, str(change["region"]), Phase.BOUND, is_logged=True))
                self._binding.count(str(change["region"]))
            return
        attempt = slot.attempts[attempt_number - 1]
        mark(attempt, str(change["type"]))
        if change["type"] == "ack":
            attempt.job_id = str(change["job_id"])
            state.children[attempt.job_id] = (number, attempt_number)
            if attempt.region in state.regions:
                state.regions[attempt.region].has_worked = state.regions[attempt.region].has_dispatched = True
            if attempt.is_open:
                state.move(attempt, Phase.SENT)
        elif attempt.is_open:
            self._ends.close(attempt, cause_in(change), str(change.get("reason", "")))

    def resumed(self, event: Resumed) -> None:
        """The whole log was replayed: what is committed is done, what ended goes on or has failed."""
        state = self._state
        for key, attempt_number in event.committed.items():
            slot = state.slots[key.slot]
            slot.committed = (*slot.committed, (key.group, key.index))
            if 0 < attempt_number <= len(slot.attempts):
                slot.attempts[attempt_number - 1].has_given = True
        state.unbound.clear()
        state.retries, state.delayed = [], []
        for number, slot in enumerate(state.slots):
            if len(slot.committed) >= state.keys_a_slot:
                self._ends.finish_slot(number)
            elif slot.state == "open" and slot.last is None:
                state.unbound.append(number)
            elif slot.state == "open" and slot.last is not None and not slot.last.is_open:
                self._ends.go_on(number)
        if state.now_s:
            self.begin()

    def begin(self) -> None:
        """The clock is known: what is open from before is watched, and what has no known child searched for."""
        state = self._state
        for number, slot in enumerate(state.slots):
            last = slot.last
            if last is not None and last.is_open:
                last.since_s = state.now_s
                if last.job_id:
                    self._watching.begin(number, last)
                else:
                    self._dispatching.inherited(number, last.number, after_s=0.0)
            for attempt in slot.attempts:  # whether it was stopped isn't in the log
                region = state.regions.get(attempt.region)
                if attempt.cause in STOPPED and attempt.job_id and region and attempt.job_id not in region.stopping:
                    region.to_stop.add(attempt.job_id)
        for number, attempt_number in self._to_rebind:
            attempt = state.attempt(number, attempt_number)
            self._ends.end(number, attempt, Cause.REGION_LOST, "bound anew by hand")
        self._to_rebind = []


def mark(attempt: Attempt, kind: str) -> None:
    """The log has this of the attempt."""
    if kind == "bind":
        attempt.is_logged = True
    elif kind == "ack":
        attempt.is_acknowledged = True
    else:
        attempt.is_failure_logged = True


def cause_in(change: Change) -> Cause:
    """The cause in a `fail` change; entries of earlier versions have none."""
    if "cause" in change:
        return Cause(change["cause"])
    if change.get("lost"):
        return Cause.REGION_LOST
    return Cause.EXIT if change.get("own") else Cause.STOPPED
