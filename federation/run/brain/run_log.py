"""Decides what is written to the run log, and obeys what others write there.

Every decision is in the log before it is carried out. Another coordinator may write too: an entry is refused when others came
first. Then what was proposed is taken back, their changes are obeyed, and it is decided again. So a (slot, attempt) is bound
once in the log, whoever writes it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from federation.run.brain.binding import Binding
from federation.run.brain.causes import Cause
from federation.run.brain.changes import (
    Ack,
    Bind,
    Cancel,
    Change,
    Done,
    Entry,
    Exclude,
    Fail,
    Halt,
    Measure,
    OfAttempt,
    Read,
    Rebind,
    Retry,
    Trouble,
    Unknown,
    Unusable,
)
from federation.run.brain.commands import Append, ReadLog
from federation.run.brain.contradictions import contradiction
from federation.run.brain.dispatching import Dispatching
from federation.run.brain.endings import Ends
from federation.run.brain.events import Appended, AppendRefused, CancelRequested, LogRead, Pair, Resumed
from federation.run.brain.health import Health
from federation.run.brain.results import Results
from federation.run.brain.resume import Resume
from federation.run.brain.state import Attempt, Logged, RunState
from federation.run.brain.stopping import Stopping
from federation.run.brain.transitions import SlotState


class LogView:
    """The run log as the brain knows it, and what it writes next."""

    def __init__(
        self,
        state: RunState,
        ends: Ends,
        health: Health,
        binding: Binding,
        dispatching: Dispatching,
        results: Results,
        resume: Resume,
        stopping: Stopping,
    ) -> None:
        self._state = state
        self._ends = ends
        self._health = health
        self._binding = binding
        self._dispatching = dispatching
        self._results = results
        self._resume = resume
        self._stopping = stopping
        self._head = 0
        self._is_under_way = False
        self._append_at_s = 0.0
        self._is_away = False
        self._read_at_s = 0.0
        self._is_reading = False
        self._is_replaying = False

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way to the log, and all of it was read."""
        return not (self._is_under_way or self._state.changes or self._is_replaying)

    @property
    def may_propose(self) -> bool:
        """Whether an entry could be written now."""
        return not self._is_under_way and self._append_at_s <= self._state.now_s

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def flush(self) -> None:
        """Writes the collected changes, if an entry may be written now."""
        state = self._state
        if state.changes and self.may_propose:
            state.out.append(Append(tuple(state.changes), self._head))
            state.changes = []
            self._is_under_way = True

    def tick(self) -> None:
        """Reads on from time to time: somebody may have cancelled the run."""
        state = self._state
        if self._read_at_s <= state.now_s and not self._is_reading:
            self._is_reading = True
            self._read_at_s = state.now_s + state.limits.read_log_s
            state.out.append(ReadLog())

    def appended(self, event: Appended) -> None:
        """Takes an entry that is in the log: ours, or (a replay) an earlier one."""
        self._head += 1
        self._is_replaying = event.is_replay
        if event.is_replay:
            self._replay(event.changes)
            return
        self._is_under_way = self._is_away = False
        for change in event.changes:
            match change:
                case Bind():
                    self._attempt(change).logged |= Logged.BINDING
                    self._dispatching.bound(change.slot, change.attempt)
                case Ack():
                    self._attempt(change).logged |= Logged.CHILD
                case Fail():
                    self._attempt(change).logged |= Logged.END
                    if change.cause is Cause.RULE:
                        self._ends.end_as_logged(change)
                case _:
                    self._obey(change)

    def _replay(self, entry: Entry) -> None:
        for change in self._usable(entry):
            match change:
                case Bind() | Ack() | Fail() | Rebind() | Done() | Trouble():
                    self._resume.replay(change)
                case _:
                    self._obey(change)

    def refused(self, event: AppendRefused) -> None:
        """Takes bindings of a refused entry back, and writes its facts again unless somebody else wrote them."""
        state = self._state
        self._is_under_way = False
        bindings = [(change.slot, change.attempt) for change in event.changes if isinstance(change, Bind)]
        gone = {pair for pair in reversed(bindings) if self._take_back(*pair)}
        facts = [change for change in event.changes if not (isinstance(change, Bind) or _is_of(change, gone))]
        for entry in event.entries:
            self._theirs(entry)
        state.changes = [change for change in (*facts, *state.changes) if not self._is_said(change)]
        state.is_roomy = True
        if event.error:
            if not self._is_away:
                state.tell("run", detail=f"nothing is dispatched until the home store answers: {event.error}")
            self._is_away = True
            self._append_at_s = state.now_s + state.limits.store_retry_s

    def _take_back(self, number: int, attempt_number: int) -> bool:
        """Removes that attempt if it is the slot's newest and isn't in the log; whether it did."""
        last = self._state.slots[number].last
        if last is None or last.number != attempt_number or Logged.BINDING in last.logged:
            return False
        self._forget_newest(number)
        return True

    def _forget_newest(self, number: int) -> None:
        """Removes a slot's newest attempt, which isn't in the log, and what was to be written about it: another attempt may
        get its number."""
        newest = {(number, len(self._state.slots[number].attempts))}
        self._binding.take_back(number)
        self._state.changes = [change for change in self._state.changes if not _is_of(change, newest)]

    def _is_said(self, change: Change) -> bool:
        """Whether the log says it already."""
        match change:
            case Cancel() | Halt():
                return self._state.is_ending
            case Ack():
                return Logged.CHILD in self._attempt(change).logged
            case Fail():
                return Logged.END in self._attempt(change).logged
            case Measure():
                return self._stopping.has(change)
        return False

    def resumed(self, event: Resumed) -> None:
        """Continues the run: the whole log was replayed."""
        self._is_replaying = False
        self._resume.resumed(event)

    # ── others ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, event: LogRead) -> None:
        """Takes entries that others wrote."""
        self._is_reading = False
        for entry in event.entries:
            self._theirs(entry)
        state = self._state
        state.changes = [change for change in state.changes if not self._is_said(change)]

    def _theirs(self, entry: Entry) -> None:
        self._head += 1
        for change in self._usable(entry):
            match change:
                case Bind():
                    self._their_binding(change)
                case Ack():
                    attempt = self._attempt(change)
                    attempt.logged |= Logged.CHILD
                    if not attempt.job_id:
                        self._their_child(change.slot, attempt, change.job_id)
                case Fail():
                    self._their_failure(change)
                case Trouble():
                    self._attempt(change).note(change.trouble, change.detail)
                case Done():
                    self._results.has(change.slot, (change.group, change.index), change.attempt)
                case _:
                    self._obey(change)

    def _usable(self, entry: Entry) -> Iterator[Change]:
        """The changes of an entry that can be used, one by one as they are obeyed; a note is given for each other one."""
        for change in entry:
            problem = change.problem if isinstance(change, Unusable) else contradiction(self._state, change)
            if problem:
                self._state.tell("run", detail=f"entry {self._head} of the run log: {problem}; it is passed over")
            elif not isinstance(change, Unusable | Unknown):
                yield change

    def _their_failure(self, change: Fail) -> None:
        self._attempt(change).logged |= Logged.END
        last = self._state.slots[change.slot].last
        if change.cause is Cause.RULE and last is not None and Logged.BINDING not in last.logged:
            self._forget_newest(change.slot)  # nothing follows what a rule stopped
        self._ends.end_as_logged(change)

    def _attempt(self, change: OfAttempt | Trouble) -> Attempt:
        return self._state.attempt(change.slot, change.attempt)

    def _their_binding(self, change: Bind) -> None:
        slot = self._state.slots[change.slot]
        if slot.last is not None and Logged.BINDING not in slot.last.logged:
            self._forget_newest(change.slot)
        attempt = self._binding.recorded(change)
        if attempt is None:
            return
        if slot.state is SlotState.OPEN:
            self._dispatching.inherited(change.slot, change.attempt, after_s=self._state.limits.takeover_s)
        else:
            self._ends.close(attempt, None, "")

    def _their_child(self, number: int, attempt: Attempt, job_id: str) -> None:
        region = self._state.regions[attempt.region]
        region.finding.unknown.discard((number, attempt.number))
        self._dispatching.has_child(number, attempt.number, job_id)
        if not (attempt.is_open or attempt.has_given):
            self._ends.stop(attempt)
        self._dispatching.catch_up(number, attempt)

    # ── what concerns the run ─────────────────────────────────────────────────────────────────────────────────────────

    def cancel(self, event: CancelRequested) -> None:
        """Records a cancel; it is obeyed when the log has it."""
        self._state.changes.append(Cancel(event.reason))

    def _obey(self, change: Read) -> None:
        state = self._state
        match change:
            case Measure():
                self._stopping.recorded(change)
            case Cancel():
                self._ends.obey(change)
            case Halt():
                self._ends.obey(change)
                for region in change.revert:
                    state.revert(region, change.reason)
            case Exclude():
                self._health.give_up_on(state.regions[change.region], change.reason)
                state.revert(change.region, change.reason)
                self._health.reaching.rebind(change.region, change.reason)
                self._health.give_up_if_nowhere()
            case Rebind():
                self._health.reaching.rebind(change.region, "bound anew by hand")
            case Retry():
                for number in change.slots:
                    self._retry(number)

    def _retry(self, number: int) -> None:
        """Opens a slot again that failed, or was left when the run was halted."""
        state = self._state
        slot = state.slots[number]
        if state.is_cancelled or slot.state is SlotState.DONE:
            return
        state.halted = ""
        slot.forgiven = len(slot.attempts)
        if slot.state is SlotState.OPEN:
            return
        state.settle(slot, SlotState.OPEN)
        (state.retries if slot.attempts else state.unbound).append(number)
        state.is_roomy = True


def _is_of(change: Change, pairs: Container[Pair]) -> bool:
    """Whether the change is about one of these attempts, besides its binding."""
    return isinstance(change, Ack | Fail | Done | Measure | Trouble) and (change.slot, change.attempt) in pairs
