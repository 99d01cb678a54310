"""Stops attempts whose curves meet a rule of the run: `--stop-when` and `--keep-best`.

Decided from what is in the run log: the value with which an attempt reached a step of `--keep-best` is written there, and so
is each stop before it is carried out. So whoever resumes the run decides alike, and a slot is stopped once.
"""

from __future__ import annotations

from collections.abc import Callable

from federation.run.brain.changes import Measure
from federation.run.brain.endings import Ends
from federation.run.brain.events import Measured, Pair
from federation.run.brain.state import Attempt, RunState
from federation.run.brain.transitions import SlotState
from federation.text import counted

StopWhen = Callable[[int, Measured], str]
"""(slot, its newest values) → why it is stopped; "" where it isn't."""


class Stopping:
    """The rules that stop attempts."""

    def __init__(self, state: RunState, ends: Ends, stop_when: StopWhen | None) -> None:
        self._state = state
        self._ends = ends
        self._stop_when = stop_when
        self._values: dict[int, dict[int, tuple[int, float]]] = {}
        """Slot → rung of `--keep-best` → its newest attempt that reached it, and the value. As the log has it."""
        self._proposed: set[tuple[Pair, int]] = set()
        self._is_due = False

    def has(self, change: Measure) -> bool:
        """Whether the log has the value of this attempt, or of a later one."""
        return self._values.get(change.slot, {}).get(change.rung, (0, 0.0))[0] >= change.attempt

    def measured(self, event: Measured) -> None:
        """Takes the newest values of a child. Those of one that isn't known (yet) are passed over: they come again."""
        state, pair = self._state, self._state.children.get(event.job_id)
        if pair is None or state.is_ending:
            return
        attempt = state.attempt(*pair)
        for rung, value in enumerate(event.reached if state.manifest.keep_best else ()):
            change = Measure.of(*pair, value, rung)
            if (pair, rung) not in self._proposed and not self.has(change):
                state.changes.append(change)
            self._proposed.add((pair, rung))
        if self._stop_when is not None and self._may_be_stopped(attempt):
            reason = self._stop_when(pair[0], event)
            if reason:
                self._ends.condemn(pair[0], attempt, reason)

    def recorded(self, change: Measure) -> None:
        """Takes a value that is in the log. The first one of an attempt counts."""
        if not self.has(change):
            self._values.setdefault(change.slot, {})[change.rung] = (change.attempt, float(change.value))
            self._is_due = True

    def flush(self) -> None:
        """Stops slots by `--keep-best`, of those that may still give a result, or gave one."""
        state, keep = self._state, self._state.manifest.keep_best
        if keep is None or not self._is_due or not state.now_s or state.is_ending:
            return
        self._is_due = False
        reached = {
            slot: {rung: value for rung, (_, value) in values.items()}
            for slot, values in self._values.items()
            if state.slots[slot].state in (SlotState.OPEN, SlotState.DONE)
            and not any(state.attempt(slot, attempt).is_condemned for attempt, _ in values.values())
        }
        rungs = keep.rungs(len(state.slots))
        for slot, rung in keep.stopped(reached, len(state.slots)).items():
            number, value = self._values[slot][rung]
            attempt, (step, left) = state.attempt(slot, number), rungs[rung]
            if self._may_be_stopped(attempt):
                what = f"{keep.metric} is {value:g} at step {step:g}"
                reason = f"--keep-best {keep.count}: {what}, and better in {counted(left, 'other slot')}"
                self._ends.condemn(slot, attempt, reason)

    def _may_be_stopped(self, attempt: Attempt) -> bool:
        """Whether a stop saves anything. An attempt that ended well keeps its result, whether or not the index has it yet."""
        return attempt.is_open and not attempt.is_condemned and len(attempt.complete) < self._state.keys_a_slot
