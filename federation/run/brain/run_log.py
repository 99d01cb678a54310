"""Keeps the run log as the brain sees it: own entries, those of others and those of before, and what is to be written next.

Whatever is decided stands in the log before it is done. Another coordinator may write too: an entry is refused when others
came first, then what was proposed is taken back, theirs is obeyed, and it is decided again. So a (slot, attempt) is bound
once in the log, whoever writes it.
"""

from __future__ import annotations

from collections.abc import Iterator

from federation.run.brain.binding import Binding
from federation.run.brain.changes import problem_of
from federation.run.brain.commands import Append, ReadLog
from federation.run.brain.dispatching import Dispatching
from federation.run.brain.endings import Ends
from federation.run.brain.events import Appended, AppendRefused, CancelRequested, Change, LogRead, Resumed
from federation.run.brain.health import Health
from federation.run.brain.resume import Resume, cause_in, mark
from federation.run.brain.state import Attempt, Phase, RunState


class Ledger:
    """What the run log says, and what it is to say next."""

    def __init__(
        self,
        state: RunState,
        ends: Ends,
        health: Health,
        binding: Binding,
        dispatching: Dispatching,
        resume: Resume,
    ) -> None:
        self._state = state
        self._ends = ends
        self._health = health
        self._binding = binding
        self._dispatching = dispatching
        self._resume = resume
        self._head = 0
        self._is_under_way = False
        self._append_at_s = 0.0
        self._is_away = False
        self._read_at_s = 0.0
        self._is_reading = False
        self._is_replaying = False

    @property
    def is_quiet(self) -> bool:
        """Nothing is on its way to the log, and what it says is known."""
        return not (self._is_under_way or self._state.changes or self._is_replaying)

    @property
    def may_propose(self) -> bool:
        """Whether an entry could be written now."""
        return not self._is_under_way and self._append_at_s <= self._state.now_s

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def flush(self) -> None:
        """Send the collected changes on."""
        state = self._state
        if state.changes and self.may_propose:
            state.out.append(Append(tuple(state.changes), self._head))
            state.changes = []
            self._is_under_way = True

    def tick(self) -> None:
        """Read on, from time to time: somebody may have cancelled the run."""
        state = self._state
        if self._read_at_s <= state.now_s and not self._is_reading:
            self._is_reading = True
            self._read_at_s = state.now_s + state.limits.read_log_s
            state.out.append(ReadLog())

    def appended(self, event: Appended) -> None:
        """An entry of ours stands, or (a replay) one of before."""
        self._head += 1
        self._is_replaying = event.is_replay
        if event.is_replay:
            for change in self._usable(event.changes):
                if change["type"] in ("bind", "ack", "fail", "rebind"):
                    self._resume.replay(change)
                else:
                    self._obey(change)
            return
        self._is_under_way = self._is_away = False
        for change in event.changes:
            if change["type"] in ("bind", "ack", "fail"):
                number, attempt_number = int(change["slot"]), int(change["attempt"])
                mark(self._state.attempt(number, attempt_number), str(change["type"]))
                if change["type"] == "bind":
                    self._dispatching.bound(number, attempt_number)
            else:
                self._obey(change)

    def refused(self, event: AppendRefused) -> None:
        """Ours isn't in the log: bindings are taken back, facts are said again unless somebody else has said them."""
        state = self._state
        self._is_under_way = False
        for change in reversed(event.changes):
            if change["type"] == "bind":
                self._take_back(int(change["slot"]), int(change["attempt"]))
        for entry in event.entries:
            self._theirs(entry)
        facts = [change for change in event.changes if change["type"] != "bind"]
        state.changes = [change for change in (*facts, *state.changes) if not self._is_said(change)]
        state.is_roomy = True
        if event.error:
            if not self._is_away:
                state.tell("run", detail=f"nothing is dispatched until the home store answers: {event.error}")
            self._is_away = True
            self._append_at_s = state.now_s + state.limits.store_retry_s

    def _take_back(self, number: int, attempt_number: int) -> None:
        last = self._state.slots[number].last
        if last is not None and last.number == attempt_number and not last.is_logged:
            self._binding.take_back(number)

    def _is_said(self, change: Change) -> bool:
        if change["type"] in ("cancel", "halt"):
            return self._state.is_ending
        if change["type"] not in ("ack", "fail"):
            return False
        attempt = self._state.attempt(int(change["slot"]), int(change["attempt"]))
        return attempt.is_acknowledged if change["type"] == "ack" else attempt.is_failure_logged

    def resumed(self, event: Resumed) -> None:
        """The whole log was replayed."""
        self._is_replaying = False
        self._resume.resumed(event)

    # ── others ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, event: LogRead) -> None:
        """Others wrote."""
        self._is_reading = False
        for entry in event.entries:
            self._theirs(entry)
        state = self._state
        state.changes = [change for change in state.changes if not self._is_said(change)]

    def _theirs(self, changes: tuple[Change, ...]) -> None:
        self._head += 1
        for change in self._usable(changes):
            if change["type"] not in ("bind", "ack", "fail"):
                self._obey(change)
                continue
            number, attempt_number = int(change["slot"]), int(change["attempt"])
            if change["type"] == "bind":
                self._their_binding(number, attempt_number, str(change["region"]))
                continue
            attempt = self._state.attempt(number, attempt_number)
            mark(attempt, str(change["type"]))
            if change["type"] == "ack" and not attempt.job_id:
                self._their_child(number, attempt, str(change["job_id"]))
            elif change["type"] == "fail" and attempt.is_open:
                self._ends.close(attempt, cause_in(change), str(change.get("reason", "")))
                region = self._state.regions[attempt.region]
                if region.is_lost:
                    region.abandoned.append((number, attempt_number))
                else:
                    self._ends.stop(attempt)
                self._ends.go_on(number)

    def _usable(self, changes: tuple[Change, ...]) -> Iterator[Change]:
        """Those of an entry's changes that can be used, one by one as they are obeyed; of the others a note is told."""
        for change in changes:
            problem = problem_of(change) or self._contradiction(change)
            if problem:
                self._state.tell("run", detail=f"entry {self._head} of the run log: {problem}; it is passed over")
            else:
                yield change

    def _contradiction(self, change: Change) -> str:
        """What a change names and the run doesn't have."""
        state, kind = self._state, change["type"]
        if kind in ("bind", "ack", "fail"):
            if change["slot"] >= len(state.slots):
                return f"it names slot {change['slot']} of {len(state.slots)}"
            if kind != "bind" and change["attempt"] > len(state.slots[change["slot"]].attempts):
                return f"it names attempt {change['attempt']} of slot {change['slot']}, which was never bound"
        if kind == "bind" and change["region"] not in state.manifest.regions:
            return f"it binds a slot to region {change['region'][:80]!a}, which the manifest doesn't have"
        if kind in ("exclude", "rebind") and change["region"] not in state.regions:
            return f"it names region {change['region'][:80]!a}, which the run doesn't have"
        if kind == "retry" and not all(slot < len(state.slots) for slot in change["slots"]):
            return f"it retries a slot beyond the last, {len(state.slots) - 1}"
        return ""

    def _their_binding(self, number: int, attempt_number: int, region: str) -> None:
        slot = self._state.slots[number]
        if slot.last is not None and not slot.last.is_logged:
            self._binding.take_back(number)
        if attempt_number == len(slot.attempts) + 1:  # else it is void: the log had one of this number before
            slot.attempts.append(Attempt(attempt_number, region, Phase.BOUND, is_logged=True))
            self._binding.count(region)
            if slot.state == "open":
                self._dispatching.inherited(number, attempt_number, after_s=self._state.limits.takeover_s)
            else:
                self._ends.close(slot.attempts[-1], None, "")

    def _their_child(self, number: int, attempt: Attempt, job_id: str) -> None:
        region = self._state.regions[attempt.region]
        region.unknown.discard((number, attempt.number))
        self._dispatching.has_child(number, attempt.number, job_id)
        if not (attempt.is_open or attempt.has_given):
            self._ends.stop(attempt)
        self._dispatching.catch_up(number, attempt)

    # ── what concerns the run ─────────────────────────────────────────────────────────────────────────────────────────

    def cancel(self, event: CancelRequested) -> None:
        """Recorded first; obeyed when the log has it."""
        self._state.changes.append({"type": "cancel", "reason": event.reason})

    def _obey(self, change: Change) -> None:
        state, reason = self._state, str(change.get("reason", ""))
        match change["type"]:
            case "cancel" | "halt":
                self._ends.obey(str(change["type"]), reason)
                for region in change.get("revert", ()):
                    state.revert(str(region), reason)
            case "exclude":
                region = str(change["region"])
                self._health.give_up_on(state.regions[region], reason)
                state.revert(region, reason)
                self._health.reaching.rebind(region, reason)
                self._health.give_up_if_nowhere()
            case "rebind":
                self._health.reaching.rebind(str(change["region"]), "bound anew by hand")
            case "retry":
                for number in change["slots"]:
                    self._retry(int(number))

    def _retry(self, number: int) -> None:
        """New attempts for a slot that failed, or was left when the run was halted."""
        state = self._state
        slot = state.slots[number]
        if state.is_cancelled or slot.state == "done":
            return
        state.halted = ""
        slot.forgiven = len(slot.attempts)
        if slot.state == "open":
            return
        state.failed_slots -= slot.state == "failed"
        state.open_slots += 1
        slot.state, slot.reason = "open", ""
        (state.retries if slot.attempts else state.unbound).append(number)
        state.is_roomy = True
