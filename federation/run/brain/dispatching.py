"""Brings an attempt from its binding in the run log to its child: checks the registered job, dispatches, takes the answers.

An attempt whose dispatch has no known outcome is searched for before it is sent again, always with the same token.
"""

from __future__ import annotations

from federation.run.brain.causes import Cause
from federation.run.brain.changes import Ack
from federation.run.brain.commands import CheckParent, Dispatch
from federation.run.brain.endings import Ends
from federation.run.brain.events import Acknowledged, ChildSpec, DispatchFailed, Found, Pair, ParentChecked
from federation.run.brain.health import Health
from federation.run.brain.region_state import Proof, RegionState
from federation.run.brain.state import Attempt, RunState
from federation.run.brain.transitions import Phase
from federation.run.brain.watching import Watching

CHANGED = "the registered job isn't this run's any more: its spec was replaced, or it was removed"

SHARED = "another run used the rest of a limit of [shares] at the same moment; it waits for its turn"


class Dispatching:
    """The dispatches of attempts."""

    def __init__(self, state: RunState, ends: Ends, health: Health, watching: Watching) -> None:
        self._state = state
        self._ends = ends
        self._health = health
        self._watching = watching

    def bound(self, number: int, attempt_number: int) -> None:
        """Sends an attempt whose binding is in the log, as soon as its region's job was checked."""
        attempt = self._state.attempt(number, attempt_number)
        if attempt.phase is Phase.BINDING:
            self._state.move(attempt, Phase.BOUND)
            self._state.send(number, attempt)

    def check(self) -> None:
        """Begins the check of the registered job wherever a batch waits for it."""
        state = self._state
        for name in sorted(state.sendable):
            region = state.regions[name]
            if not (region.is_checking or region.is_out_of_sight) and region.hold_until_s <= state.now_s:
                state.sendable.discard(name)
                region.is_checking = True
                state.out.append(CheckParent(name))

    def parent_checked(self, event: ParentChecked) -> None:
        """Sends the batch that waited for the check, if the registered job is still the run's own."""
        state = self._state
        region = state.regions[event.region]
        region.is_checking = False
        if region.waiting:
            state.sendable.add(region.name)
        if event.is_denied:
            self._health.pause(region, "its token is refused")
            region.hold_until_s = state.now_s + state.limits.pause_s
            return
        if event.spec_hash is None:
            self._health.hold(region)
            return
        self._health.worked(region)
        if event.spec_hash != state.manifest.spec_hash:
            self._health.give_up_on(region, CHANGED)
        batch, region.waiting = region.waiting, []
        state.sendable.discard(region.name)
        state.budgets = event.budgets
        for number, attempt_number in batch:
            attempt = state.attempt(number, attempt_number)
            if not attempt.is_open or attempt.job_id:
                continue
            if region.is_excluded:
                self._ends.end(number, attempt, Cause.REFUSED, region.problem)
            elif (state.left_in(region.name) or 0) < 0 and not (attempt.was_sent or attempt.is_inherited):
                self._ends.end(number, attempt, Cause.SHARE, SHARED)
            else:
                attempt.was_sent = True
                state.in_flight.add((number, attempt_number))
                state.out.append(Dispatch(number, attempt_number, attempt.region))
        self._health.give_up_if_nowhere()

    # ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def acknowledged(self, event: Acknowledged) -> None:
        """Records that an attempt has a child."""
        state = self._state
        attempt = state.attempt(event.slot, event.attempt)
        region = state.regions[attempt.region]
        region.finding.unknown.discard((event.slot, event.attempt))
        state.in_flight.discard((event.slot, event.attempt))
        self._health.worked(region)
        region.proof = Proof.DISPATCHED
        region.hold_s = 0.0
        region.window = min(state.limits.window_max, region.window + 1)
        if attempt.job_id:
            return
        state.changes.append(Ack(event.slot, event.attempt, event.job_id))
        self.has_child(event.slot, event.attempt, event.job_id)
        if not attempt.is_open:
            self._ends.stop(attempt)
            return
        state.tell("dispatched", attempt=attempt, slot=event.slot, detail=event.job_id)
        region.unverified.append(event.job_id)
        state.is_roomy = state.is_roomy or region.unacknowledged + 1 >= region.window - 1
        self.catch_up(event.slot, attempt)

    def catch_up(self, number: int, attempt: Attempt) -> None:
        """Takes news of its child that came before its acknowledgement."""
        early = self._state.strangers.pop(attempt.job_id, {})
        for news in early.values():
            self._watching.allocation_changed(news)
        if early:  # further news may have been lost
            self._watching.inspect_after(self._state.limits.quiet_s, number, attempt)

    def has_child(self, number: int, attempt_number: int, job_id: str) -> None:
        """Records the child's ID. The child is watched as long as the attempt is open."""
        attempt = self._state.attempt(number, attempt_number)
        attempt.job_id = job_id
        if attempt.region in self._state.regions:
            self._state.regions[attempt.region].probing.acknowledged_since += 1
        self._state.children[job_id] = (number, attempt_number)
        if attempt.phase is Phase.BOUND:
            self._state.move(attempt, Phase.SENT)
            self._watching.begin(number, attempt)

    def dispatch_failed(self, event: DispatchFailed) -> None:
        """Decides what follows from a dispatch without an acknowledgement: a search, a pause, or the attempt's end."""
        state = self._state
        attempt = state.attempt(event.slot, event.attempt)
        pair, region = (event.slot, event.attempt), state.regions[attempt.region]
        state.in_flight.discard(pair)
        if event.outcome in ("unknown", "throttled"):
            self._is_unknown(region, pair)
            self._health.hold(region)
        elif event.outcome == "denied" and region.proof is Proof.DISPATCHED:
            self._health.pause(region, event.message)
            region.hold_until_s = state.now_s + state.limits.pause_s
            if attempt.is_open:
                state.send(event.slot, attempt)
        elif event.outcome == "input":
            self._ends.end(event.slot, attempt, Cause.INPUT, event.message)
        else:
            self._health.give_up_on(region, event.message)
            self._ends.end(event.slot, attempt, Cause.REFUSED, event.message)
            self._health.give_up_if_nowhere()

    def inherited(self, number: int, attempt_number: int, *, after_s: float) -> None:
        """Takes over an attempt that another coordinator bound, or one that died: it is searched for after `after_s`."""
        attempt = self._state.attempt(number, attempt_number)
        attempt.is_inherited = True
        region = self._state.regions.get(attempt.region)
        if region is not None:
            region.finding.unknown.add((number, attempt_number))
            due_s = self._state.now_s + after_s
            region.finding.due_s = due_s if region.finding.due_s is None else min(region.finding.due_s, due_s)

    def _is_unknown(self, region: RegionState, pair: Pair) -> None:
        region.finding.unknown.add(pair)
        region.finding.due_s = region.finding.due_s or self._state.now_s + self._state.limits.find_s

    def found(self, event: Found) -> None:
        """Acknowledges attempts that have a child, and sends again those that have none."""
        state = self._state
        region = state.regions[event.region]
        region.finding.is_under_way = False
        if event.children or event.missing:
            self._health.worked(region)
        for (slot, number), job_id in event.children.items():
            self.acknowledged(Acknowledged(slot, number, job_id))
        for pair in event.missing:
            if pair not in region.finding.unknown:
                continue
            region.finding.unknown.discard(pair)
            attempt = state.attempt(*pair)
            if not attempt.is_open or attempt.job_id or state.is_ending:
                continue
            if attempt.is_inherited:  # it may have run, and Nomad may have forgotten it: results first
                self._watching.look_for_results(pair[0], attempt)
            else:
                state.send(pair[0], attempt)
        if region.finding.unknown:
            region.finding.due_s = state.now_s + state.limits.find_s

    def child_spec(self, event: ChildSpec) -> None:
        """Stops a child that carries another spec hash, and excludes its region."""
        state = self._state
        if event.spec_hash == state.manifest.spec_hash or event.job_id not in state.children:
            return
        number, attempt_number = state.children[event.job_id]
        attempt = state.attempt(number, attempt_number)
        region = state.regions[attempt.region]
        self._health.give_up_on(region, "a child carries another spec hash: somebody changed the registered job")
        if attempt.is_open:
            self._ends.end(number, attempt, Cause.REFUSED, region.problem)
        else:
            self._ends.stop(attempt)
        self._health.give_up_if_nowhere()
