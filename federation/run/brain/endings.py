"""Ends attempts and slots: records the end, stops the child, and makes another attempt or fails the slot."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from federation.run.brain.causes import CONSEQUENCES, Cause, backoff_s
from federation.run.brain.changes import Cancel, Exclude, Fail, Halt
from federation.run.brain.commands import KeepLogs, Stop
from federation.run.brain.events import LogsKept, Stopped
from federation.run.brain.state import Attempt, RunState
from federation.run.brain.transitions import Phase, SlotState
from federation.text import counted
from regions.model import Allocation


class Ends:
    """The ends of attempts and slots, and the stopping of children."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._keeping: dict[tuple[int, int], int] = {}

    @property
    def is_keeping(self) -> bool:
        """Whether output is being kept of children that are removed from Nomad afterwards."""
        return self._state.manifest.purge_finished and bool(self._keeping)

    # ── attempts ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def end(self, number: int, attempt: Attempt, cause: Cause, reason: str) -> None:
        """Ends an attempt badly: records it, stops its child, and binds the slot again or fails it."""
        state = self._state
        if not attempt.is_open or attempt.is_condemned:
            return
        self.close(attempt, cause, reason)
        state.changes.append(Fail(number, attempt.number, cause, reason))
        region = state.regions[attempt.region]
        self._stop_or_abandon(number, attempt)
        if region.done < state.manifest.canary and CONSEQUENCES[cause].is_own:
            self._canary_failed(attempt)
        self.go_on(number)

    def condemn(self, number: int, attempt: Attempt, reason: str) -> None:
        """Records that a rule stops the attempt. It ends when the log has that (`end_as_logged`), and by nothing else."""
        attempt.is_condemned = True
        self._state.changes.append(Fail(number, attempt.number, Cause.RULE, reason))

    def end_as_logged(self, change: Fail) -> None:
        """Ends an attempt whose end is in the log: somebody else wrote it there, or a rule stops it."""
        attempt = self._state.attempt(change.slot, change.attempt)
        if attempt.is_open:
            self.close(attempt, change.cause, change.reason)
            self._stop_or_abandon(change.slot, attempt)
            self.go_on(change.slot)
        elif change.cause is Cause.RULE:  # it ended here for another reason, before the log said so
            attempt.cause, attempt.reason = change.cause, change.reason
            self.go_on(change.slot)

    def _stop_or_abandon(self, number: int, attempt: Attempt) -> None:
        region = self._state.regions[attempt.region]
        if not region.is_lost:
            self.stop(attempt)
        elif attempt.job_id or (number, attempt.number) in region.finding.unknown:
            region.abandoned.append((number, attempt.number))
            region.finding.unknown.discard((number, attempt.number))

    def _canary_failed(self, attempt: Attempt) -> None:
        """Excludes this region, or halts the run. The job is reverted when the log has it."""
        state = self._state
        reason = f"a canary failed in {attempt.region}: {attempt.reason}"
        if state.manifest.canary_on_failure == "local":
            state.changes.append(Exclude(attempt.region, reason))
        else:
            self.halt(reason, revert=list(state.regions))

    def close(self, attempt: Attempt, cause: Cause | None, reason: str) -> None:
        """Marks the attempt as ended; nothing else follows."""
        self._state.move(attempt, Phase.ENDED)
        attempt.cause, attempt.reason = cause, reason
        attempt.searches = None if attempt.verdict is None else attempt.searches

    def go_on(self, number: int) -> None:
        """Decides what follows the slot's last attempt: after a pause another one, elsewhere first; or the slot's end."""
        state = self._state
        slot, last = state.slots[number], state.slots[number].last
        if slot.state is not SlotState.OPEN or state.is_ending or last is None:
            return
        if last.cause is Cause.RULE:
            state.settle(slot, SlotState.STOPPED, last.reason)
            state.tell("stopped", attempt=last, slot=number, detail=last.reason)
            return
        counting = slot.counting
        own = {attempt.region for attempt in counting if attempt.is_own_failure}
        is_final = last.cause is not None and CONSEQUENCES[last.cause].is_final
        if is_final or len(counting) >= state.manifest.max_attempts or len(own) >= 2:
            self.fail_slot(number, last.reason)
            return
        state.tell("retry", attempt=last, slot=number, detail=last.reason)
        times = sum(1 for attempt in slot.attempts if attempt.cause == last.cause)
        pause_s = backoff_s(last.cause, times) if last.cause else 0.0
        if pause_s:
            heapq.heappush(state.delayed, (state.now_s + pause_s, number))
        else:
            state.retries.append(number)
            state.is_roomy = True

    def tick(self) -> None:
        """Lets slots be bound whose pause is over."""
        state = self._state
        while state.delayed and state.delayed[0][0] <= state.now_s:
            state.retries.append(heapq.heappop(state.delayed)[1])
            state.is_roomy = True

    # ── slots ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def fail_slot(self, number: int, reason: str) -> None:
        """Fails a slot. When too many have failed, the run is halted."""
        state = self._state
        slot = state.slots[number]
        if slot.state is not SlotState.OPEN:
            return
        state.settle(slot, SlotState.FAILED, reason)
        state.tell("failed", attempt=slot.last, slot=number, detail=reason)
        allowed = state.manifest.max_failures
        if allowed is not None and state.failed_slots > allowed:
            self.halt(
                f"{counted(state.failed_slots, 'slot')} failed, more than --max-failures allows ({allowed}); the last: {reason}"
            )

    def finish_slot(self, number: int) -> None:
        """Marks a slot as done, and stops attempts that produced none of its keys."""
        state = self._state
        slot = state.slots[number]
        if slot.state is SlotState.DONE:
            return
        state.settle(slot, SlotState.DONE)
        for attempt in slot.attempts:
            if attempt.has_given and attempt.region in state.regions:
                state.regions[attempt.region].done += 1
            if attempt.is_open:
                if not (attempt.has_given or attempt.complete):
                    self.stop(attempt)
                self.close(attempt, None, "")
                self._purge(number, attempt)

    # ── the run ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def halt(self, reason: str, *, revert: Sequence[str] = ()) -> None:
        """Records that the run stops before its end; `obey` follows when the log has it."""
        if not self._state.is_ending and not any(isinstance(change, Halt) for change in self._state.changes):
            self._state.changes.append(Halt(reason, tuple(revert)))

    def obey(self, change: Cancel | Halt) -> None:
        """Stops everything that is open: the log says that the run was cancelled or halted."""
        state, reason, is_cancel = self._state, change.reason, isinstance(change, Cancel)
        if state.is_cancelled or (state.halted and not is_cancel):
            return
        if is_cancel:
            state.is_cancelled, state.cancel_reason = True, reason
        else:
            state.halted = reason
        state.tell("cancel" if is_cancel else "run", detail=reason)
        state.unbound.clear()
        state.retries, state.delayed = [], []
        for slot in state.slots:
            for attempt in slot.attempts:
                if attempt.is_open:
                    self.stop(attempt)
                    self.close(attempt, Cause.CANCELLED, "cancelled" if is_cancel else "the run was stopped")
            if slot.state is SlotState.OPEN:
                state.settle(slot, SlotState.CANCELLED, reason or "cancelled")

    # ── children ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def stop(self, attempt: Attempt) -> None:
        """Stops its child, if it has one."""
        region = self._state.regions.get(attempt.region)
        if region and attempt.job_id and attempt.job_id not in region.stops.under_way | region.stops.again:
            region.stops.under_way.add(attempt.job_id)
            self._state.out.append(Stop(attempt.region, attempt.job_id))

    def stopped(self, event: Stopped) -> None:
        """Takes the outcome of a stop: done, to be repeated, or refused."""
        state = self._state
        region = state.regions[event.region]
        region.stops.under_way.discard(event.job_id)
        if event.problem:
            region.stops.refused.add(event.job_id)
            state.tell("region", region=region.name, detail=f"may not stop {event.job_id}: {event.problem}")
        elif not event.is_done:
            region.stops.again.add(event.job_id)
            region.stops.again_at_s = state.now_s + state.limits.find_s

    def keep_logs(self, number: int, attempt: Attempt, allocation: Allocation, *, is_failed: bool) -> None:
        """Keeps what this allocation wrote, once."""
        if allocation.id not in attempt.kept:
            attempt.kept = (*attempt.kept, allocation.id)
            pair = (number, attempt.number)
            self._keeping[pair] = self._keeping.get(pair, 0) + 1
            self._state.out.append(KeepLogs(number, attempt.number, attempt.region, allocation, is_failed))

    def logs_kept(self, event: LogsKept) -> None:
        """Purges the child, if its slot is done and nothing else of it is being kept."""
        pair = (event.slot, event.attempt)
        self._keeping[pair] -= 1
        if not self._keeping[pair]:
            del self._keeping[pair]
        self._purge(event.slot, self._state.attempt(*pair))

    def _purge(self, number: int, attempt: Attempt) -> None:
        """Removes the child from Nomad once its results are committed and its logs kept."""
        state = self._state
        slot, region = state.slots[number], state.regions.get(attempt.region)
        is_over = slot.state is SlotState.DONE and not attempt.is_open and (number, attempt.number) not in self._keeping
        if state.manifest.purge_finished and region and is_over and attempt.job_id not in ("", *region.stops.under_way):
            region.stops.under_way.add(attempt.job_id)
            region.children -= 1
            state.out.append(Stop(attempt.region, attempt.job_id, is_purge=True))
