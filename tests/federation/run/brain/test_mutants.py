"""Deliberately broken brains and shells: the virtual world catches every one, so its silence means something.

Each mutant breaks one thing on which a promise of the design, part 3, rests. The list is `MUTANTS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from federation.plan import Room
from federation.run import execution
from federation.run.brain.binding import Binding
from federation.run.brain.brain import Brain
from federation.run.brain.causes import CONSEQUENCES, Cause
from federation.run.brain.changes import Cancel
from federation.run.brain.commands import Dispatch, Look, Stop
from federation.run.brain.dispatching import Dispatching
from federation.run.brain.endings import Ends
from federation.run.brain.health import Health
from federation.run.brain.reach import Reaching
from federation.run.brain.region_state import Probing, RegionState, Signs
from federation.run.brain.results import Results
from federation.run.brain.resume import Resume
from federation.run.brain.run_log import LogView
from federation.run.brain.state import RunState
from federation.run.brain.stopping import Stopping
from federation.run.brain.transitions import Admission, Reach
from federation.run.brain.watching import Watching
from tests.federation.run.brain.test_chaos import one_run

MonkeyPatch = pytest.MonkeyPatch
SEEDS = range(1, 1500)
FIRST_SEEDS = (174, 82, 67, 28, 25, 20)
"""Runs in which rare faults show. They are tried first, so that every mutant is caught soon."""


def token_is_drawn(patch: MonkeyPatch) -> None:
    """Every dispatch of an attempt has another idempotency token."""
    numbers = itertools.count()
    patch.setattr(execution, "idempotency_token", lambda *_: f"token-{next(numbers)}")


def dispatches_before_the_append(patch: MonkeyPatch) -> None:
    take = Binding._take

    def eager(self: Binding, bound: Any) -> dict[int, str]:
        done = take(self, bound)
        self._state.out.extend(
            Dispatch(number, len(self._state.slots[number].attempts), region) for number, region in done.items()
        )
        return done

    patch.setattr(Binding, "_take", eager)


def ignores_the_grace(patch: MonkeyPatch) -> None:
    judge = Reaching._judge_silence

    def hasty(self: Reaching) -> None:
        limits, self._state.limits = self._state.limits, replace(self._state.limits, grace_s=2)
        for region in self._state.regions.values():
            region.signs.is_deaf = region.signs.is_deaf or region.signs.is_pinged
        judge(self)
        self._state.limits = limits

    patch.setattr(Reaching, "_judge_silence", hasty)


def binds_twice(patch: MonkeyPatch) -> None:
    """One attempt in two regions."""
    take = Binding._take

    def doubled(self: Binding, bound: Any) -> dict[int, str]:
        done = take(self, bound)
        if done:
            other = list(self._state.regions)[-1]
            self._state.changes.append(replace(self._state.changes[-1], region=other))
        return done

    patch.setattr(Binding, "_take", doubled)


def repeats_without_a_search(patch: MonkeyPatch) -> None:
    patch.setattr(
        Dispatching, "_is_unknown", lambda self, region, pair: self._state.send(pair[0], self._state.attempt(*pair))
    )


def commits_without_a_look(patch: MonkeyPatch) -> None:
    """The record is made up from what Nomad says."""
    last: list[Any] = []
    looked = Results.looked

    def remember(self: Results, event: Any) -> None:
        last.extend(event.records)
        looked(self, event)

    def trust(self: Results, number: int, attempt: Any, allocation: Any) -> None:
        if allocation and last:
            key = replace(last[0].key, slot=number)
            self._state.to_commit.append(replace(last[0], key=key, attempt=attempt.number, alloc_id=allocation.id))
        else:
            self._state.out.append(Look(number, attempt.number, attempt.region, allocation))

    patch.setattr(Results, "looked", remember)
    patch.setattr(Results, "look", trust)


def lets_a_result_of_another_spec_win(patch: MonkeyPatch) -> None:
    looked = Results.looked

    def careless(self: Results, event: Any) -> None:
        spec = self._state.manifest.spec_hash
        looked(self, event)
        self._state.to_commit.extend(record for record in event.records if record.spec_hash != spec)

    patch.setattr(Results, "looked", careless)


def ignores_a_cancel(patch: MonkeyPatch) -> None:
    obey = Ends.obey
    patch.setattr(Ends, "obey", lambda self, change: None if isinstance(change, Cancel) else obey(self, change))


def ignores_caps(patch: MonkeyPatch) -> None:
    room = RegionState.room

    def roomy(self: RegionState, now_s: float, ahead: int = 0) -> int:
        fixed, self.fixed = self.fixed, replace(self.fixed, cap=None)
        found = room(self, now_s, ahead)
        self.fixed = fixed
        return found

    patch.setattr(RegionState, "room", roomy)
    patch.setattr("federation.run.brain.binding.left_of", lambda room, free, held: replace(room, free=max(0, free)))
    first = lambda slots, rooms: {rooms[0].region: min(slots, rooms[0].free)}  # noqa: E731
    patch.setattr(Brain, "__init__", _with_policy(Brain.__init__, first))


def _with_policy(init: Callable[..., None], policy: Any) -> Callable[..., None]:
    return lambda self, *args, **kwargs: init(self, *args, **{**kwargs, "policy": policy})


def forgets_to_stop_what_a_returning_region_has(patch: MonkeyPatch) -> None:
    back = Reaching._back

    def forgetful(self: Reaching, region: RegionState) -> None:
        region.abandoned = []
        back(self, region)

    patch.setattr(Reaching, "_back", forgetful)


def rebinds_an_open_attempt(patch: MonkeyPatch) -> None:
    """The end of the one before isn't recorded."""
    end = Ends.end

    def silent(self: Ends, number: int, attempt: Any, cause: Cause, reason: str) -> None:
        before = len(self._state.changes)
        end(self, number, attempt, cause, reason)
        del self._state.changes[before : before + 1]

    patch.setattr(Ends, "end", silent)


def counts_the_loss_of_a_region(patch: MonkeyPatch) -> None:
    patch.setitem(CONSEQUENCES, Cause.REGION_LOST, replace(CONSEQUENCES[Cause.EXIT]))  # type: ignore[arg-type]


def binds_outside_the_regions(patch: MonkeyPatch) -> None:
    init = Brain.__init__

    def wider(self: Brain, manifest: Any, *args: Any, **kwargs: Any) -> None:
        init(self, manifest, *args, **kwargs)
        mars = RegionState(
            "mars",
            9,
            Room("mars", 0),
            limit=5,
            window=5,
            probing=Probing(sent_s=0.0, last_s=0.0),
            signs=Signs(is_pinged=True),
        )
        self.state.regions["mars"] = mars

    patch.setattr(Brain, "__init__", wider)


def rebinds_while_cut_off(patch: MonkeyPatch) -> None:
    """All regions are silent, and it believes that they are lost."""

    def naive(self: Reaching) -> None:
        for region in self._state.regions.values():
            if not region.is_lost and self.is_overdue(region):
                self._lose(region)

    patch.setattr(Reaching, "_judge_silence", naive)
    bind = Binding.bind

    def anyway(self: Binding) -> None:
        for region in self._state.regions.values():
            region.admission = Admission.OPEN
            region.reach = Reach.REACHABLE
            region.limit = max(region.limit, 1)
        bind(self)

    patch.setattr(Binding, "bind", anyway)


def closes_before_all_is_stopped(patch: MonkeyPatch) -> None:
    patch.setattr(Brain, "_is_quiet", lambda self: True)


def gives_up_a_stop_that_failed(patch: MonkeyPatch) -> None:
    stopped = Ends.stopped
    patch.setattr(Ends, "stopped", lambda self, event: stopped(self, replace(event, is_done=True, problem="")))


def ignores_what_others_write(patch: MonkeyPatch) -> None:
    def deaf(self: LogView, changes: Any) -> None:
        self._head += 1

    patch.setattr(LogView, "_theirs", deaf)


def keeps_bindings_that_were_refused(patch: MonkeyPatch) -> None:
    patch.setattr(LogView, "_take_back", lambda self, number, attempt: self._dispatching.bound(number, attempt))


def forgets_a_slot_that_waits(patch: MonkeyPatch) -> None:
    patch.setattr(Ends, "tick", lambda self: None)


def does_not_hold_canaries(patch: MonkeyPatch) -> None:
    patch.setattr(Binding, "_proven", lambda self, room: room)


def goes_on_after_too_many_failures(patch: MonkeyPatch) -> None:
    patch.setattr(Ends, "halt", lambda self, reason, revert=(): None)


def purges_what_is_not_committed(patch: MonkeyPatch) -> None:
    stop = Ends.stop

    def purging(self: Ends, attempt: Any) -> None:
        before = len(self._state.out)
        stop(self, attempt)
        self._state.out[before:] = [
            replace(command, is_purge=True) if isinstance(command, Stop) else command
            for command in self._state.out[before:]
        ]

    patch.setattr(Ends, "stop", purging)


def takes_a_refused_token_for_a_loss(patch: MonkeyPatch) -> None:
    patch.setattr(
        Health, "pause", lambda self, region, problem: None if region.is_lost else self.reaching._lose(region)
    )


def gives_up_without_looking_for_results(patch: MonkeyPatch) -> None:
    def blind(self: Watching, number: int, attempt: Any) -> None:
        cause, reason = attempt.verdict or (Cause.VANISHED, "gone")
        if cause is Cause.EXIT:
            self.inspect_after(90.0, number, attempt)
        self._ends.end(number, attempt, cause, reason)

    patch.setattr(Watching, "look_for_results", blind)


def forgets_what_is_bound_after_a_restart(patch: MonkeyPatch) -> None:
    """Recorded bindings aren't continued: their slots are bound anew."""
    resumed = Resume.resumed

    def anew(self: Resume, event: Any) -> None:
        for slot in self._state.slots:
            if slot.attempts and not slot.attempts[-1].job_id:
                slot.attempts.pop()
        resumed(self, event)

    patch.setattr(Resume, "resumed", anew)


def takes_an_answer_to_a_ping_for_news(patch: MonkeyPatch) -> None:
    """A region that answers pings is never lost."""
    pinged = Reaching.pinged

    def easy(self: Reaching, event: Any) -> None:
        pinged(self, event)
        if event.is_alive:
            self._state.regions[event.region].signs.followed_s = self._state.now_s

    patch.setattr(Reaching, "pinged", easy)


def takes_what_was_killed_for_done(patch: MonkeyPatch) -> None:
    """Nomad calls it complete."""
    patch.setattr(
        "federation.run.brain.watching.has_ended_well",
        lambda allocation, deciding=(): allocation.client_status == "complete" and not allocation.is_preempted,
    )


def takes_an_exit_code_of_0_for_done(patch: MonkeyPatch) -> None:
    """A task may exit with 0 when it is killed."""

    def careless(allocation: Any, deciding: Any = ()) -> bool:
        return bool(allocation.tasks) and all(task.exit_code == 0 for task in allocation.tasks.values())

    patch.setattr("federation.run.brain.watching.has_ended_well", careless)


def counts_a_drain(patch: MonkeyPatch) -> None:
    patch.setitem(CONSEQUENCES, Cause.MOVED, replace(CONSEQUENCES[Cause.EXIT]))  # type: ignore[arg-type]


def does_not_wait_for_the_next_allocation(patch: MonkeyPatch) -> None:
    """What was drained counts as stopped by somebody, though Nomad places it again."""
    inspected = Watching.inspected
    patch.setattr(
        Watching,
        "inspected",
        lambda self, event: inspected(
            self, replace(event, status="dead") if any(one.is_moved for one in event.allocations) else event
        ),
    )


def keeps_one_too_few(patch: MonkeyPatch) -> None:
    """--keep-best stops the last of the best."""
    flush = Stopping.flush

    def greedy(self: Stopping) -> None:
        manifest = self._state.manifest
        if manifest.keep_best is not None:
            fewer = replace(manifest.keep_best, count=manifest.keep_best.count - 1)
            self._state.manifest = replace(manifest, keep_best=fewer)
        flush(self)
        self._state.manifest = manifest

    patch.setattr(Stopping, "flush", greedy)


def tries_again_what_a_rule_stopped(patch: MonkeyPatch) -> None:
    go_on = Ends.go_on

    def stubborn(self: Ends, number: int) -> None:
        last = self._state.slots[number].last
        if last is not None and last.cause is Cause.RULE:
            last.cause = Cause.PENDING
        go_on(self, number)

    patch.setattr(Ends, "go_on", stubborn)


def forgets_to_stop_by_the_rule(patch: MonkeyPatch) -> None:
    """The end is in the log, and the child runs on."""
    end_as_logged = Ends.end_as_logged

    def lazy(self: Ends, change: Any) -> None:
        attempt = self._state.attempt(change.slot, change.attempt)
        if change.cause is Cause.RULE and attempt.is_open:
            self.close(attempt, change.cause, change.reason)
            self.go_on(change.slot)
        else:
            end_as_logged(self, change)

    patch.setattr(Ends, "end_as_logged", lazy)


MUTANTS = [
    keeps_one_too_few,
    tries_again_what_a_rule_stopped,
    forgets_to_stop_by_the_rule,
    takes_what_was_killed_for_done,
    takes_an_exit_code_of_0_for_done,
    counts_a_drain,
    does_not_wait_for_the_next_allocation,
    takes_an_answer_to_a_ping_for_news,
    token_is_drawn,
    dispatches_before_the_append,
    ignores_the_grace,
    binds_twice,
    repeats_without_a_search,
    commits_without_a_look,
    lets_a_result_of_another_spec_win,
    ignores_a_cancel,
    ignores_caps,
    forgets_to_stop_what_a_returning_region_has,
    rebinds_an_open_attempt,
    counts_the_loss_of_a_region,
    binds_outside_the_regions,
    rebinds_while_cut_off,
    closes_before_all_is_stopped,
    gives_up_a_stop_that_failed,
    ignores_what_others_write,
    keeps_bindings_that_were_refused,
    forgets_a_slot_that_waits,
    does_not_hold_canaries,
    goes_on_after_too_many_failures,
    purges_what_is_not_committed,
    takes_a_refused_token_for_a_loss,
    gives_up_without_looking_for_results,
    forgets_what_is_bound_after_a_restart,
]


def caught(patch: MonkeyPatch, mutant: Callable[[MonkeyPatch], None]) -> tuple[int, str]:
    """(seed, what was seen) of the first run in which the mutant was caught; (0, "") if never."""
    mutant(patch)
    for seed in (*FIRST_SEEDS, *SEEDS):
        try:
            one_run(seed, without=(), slots=0)
        except AssertionError as error:
            return seed, str(error)
    return 0, ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_every_mutant_is_caught(mutant: Callable[[MonkeyPatch], None], monkeypatch: MonkeyPatch) -> None:
    seed, seen = caught(monkeypatch, mutant)
    assert seed, f"{mutant.__name__} went unnoticed in {len(SEEDS)} runs"
    assert seen


def test_the_brain_as_it_is_passes_the_same_runs() -> None:
    for seed in SEEDS[:12]:
        assert one_run(seed, without=(), slots=0).closed is not None


def test_the_run_state_is_one_object_that_all_parts_share() -> None:
    """Mutants patch parts; this is why that reaches the run."""
    from tests.federation.run.brain.world import MANIFEST

    brain = Brain(MANIFEST)
    parts = (brain._ends, brain._health, brain._binding, brain._dispatching, brain._watching, brain._results)
    assert all(part._state is brain.state for part in parts)
    assert isinstance(brain.state, RunState)
