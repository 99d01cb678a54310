"""Brings a run to where its log and the index left it.

A recorded binding is continued, never made again: whether it has a child is found out. Only keys that aren't committed are
asked for.
"""

from __future__ import annotations

from federation.run.brain.binding import Binding
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Ack, Bind, Done, Fail, OfAttempt, Rebind, Trouble
from federation.run.brain.dispatching import Dispatching
from federation.run.brain.endings import Ends
from federation.run.brain.events import Pair, Resumed
from federation.run.brain.health import Health
from federation.run.brain.region_state import Proof
from federation.run.brain.state import GroupIndex, Logged, RunState
from federation.run.brain.transitions import Phase, SlotState
from federation.run.brain.watching import Watching

STOPPED = (
    Cause.REGION_LOST, Cause.PENDING, Cause.TIMEOUT, Cause.REFUSED, Cause.VANISHED, Cause.CANCELLED, Cause.RULE
)  # fmt: skip
"""Causes after which the child may still run: it is stopped."""


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

    def replay(self, change: OfAttempt | Rebind | Done | Trouble) -> None:
        """Takes one change of an earlier entry: it only adds to what is known."""
        match change:
            case Rebind():
                self._to_rebind = self._health.reaching.open_in(change.region)
            case Bind():
                self._binding.recorded(change)
            case Ack():
                self._acknowledged(change)
            case Done():
                self._committed(change.slot, (change.group, change.index), change.attempt)
            case Trouble():
                self._state.attempt(change.slot, change.attempt).note(change.trouble, change.detail)
            case Fail():
                attempt = self._state.attempt(change.slot, change.attempt)
                attempt.logged |= Logged.END
                if attempt.is_open:
                    self._ends.close(attempt, change.cause, change.reason)

    def _acknowledged(self, change: Ack) -> None:
        state = self._state
        attempt = state.attempt(change.slot, change.attempt)
        attempt.logged |= Logged.CHILD
        attempt.job_id = change.job_id
        state.children[attempt.job_id] = (change.slot, change.attempt)
        if attempt.region in state.regions:
            state.regions[attempt.region].proof = Proof.DISPATCHED
        if attempt.phase is Phase.BOUND:
            state.move(attempt, Phase.SENT)

    def _committed(self, number: int, place: GroupIndex, attempt_number: int) -> None:
        slot = self._state.slots[number]
        if place not in slot.committed:
            slot.committed = (*slot.committed, place)
        if 0 < attempt_number <= len(slot.attempts):
            slot.attempts[attempt_number - 1].has_given = True

    def resumed(self, event: Resumed) -> None:
        """Finishes slots that are committed, and continues or fails those whose attempts ended."""
        state = self._state
        for key, attempt_number in event.committed.items():
            self._committed(key.slot, (key.group, key.index), attempt_number)
        state.unbound.clear()
        state.retries, state.delayed = [], []
        state.is_catching_up = True
        for number, slot in enumerate(state.slots):
            if len(slot.committed) >= state.keys_a_slot:
                self._ends.finish_slot(number)
            elif slot.state is SlotState.OPEN and slot.last is None:
                state.unbound.append(number)
            elif slot.state is SlotState.OPEN and slot.last is not None and not slot.last.is_open:
                self._ends.go_on(number)
        state.is_catching_up = False
        if state.now_s:
            self.begin()

    def begin(self) -> None:
        """Watches attempts that are open from before, and searches for those without a known child. Needs the clock."""
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
                if (
                    attempt.cause in STOPPED
                    and attempt.job_id
                    and region
                    and attempt.job_id not in region.stops.under_way
                ):
                    region.stops.again.add(attempt.job_id)
        for number, attempt_number in self._to_rebind:
            attempt = state.attempt(number, attempt_number)
            self._ends.end(number, attempt, Cause.REGION_LOST, "bound anew by hand")
        self._to_rebind = []
