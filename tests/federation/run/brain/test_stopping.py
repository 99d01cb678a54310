"""--stop-when and --keep-best in the brain: in the log first, then carried out, once, and the same after a restart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from federation.curves import KeepBest
from federation.manifest import Manifest
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Bind, Cancel, Change, Fail, Measure, Retry
from federation.text import counted
from regions.model import Allocation, TaskState
from tests.federation.run.brain.world import MANIFEST, World

ONE = replace(MANIFEST, slots=4, regions=("us",), keep_best=KeepBest(2, 5))


class Table:
    """A brain whose slots run in one region; `log` is what was appended, the last entry not yet confirmed."""

    def __init__(self, manifest: object = ONE, **options: object) -> None:
        self.brain = Brain(manifest, **options)  # type: ignore[arg-type]
        self.log: list[tuple[Change, ...]] = []
        self.out: list[cmd.Command] = []
        self.step(ev.Tick(1.0), ev.RegionProbed("us", 9), ev.ParentChecked("us", MANIFEST.spec_hash))
        self.confirm()
        self.step(ev.ParentChecked("us", MANIFEST.spec_hash))
        for slot in range(4):
            self.step(ev.Acknowledged(slot, 1, f"train/dispatch-{slot}"))
            self.step(ev.AllocationChanged("us", running(slot)))
        self.confirm()

    def step(self, *events: ev.Event) -> list[cmd.Command]:
        self.out = [command for event in events for command in self.brain.step(event)]
        self.log += [command.changes for command in self.out if isinstance(command, cmd.Append)]
        return self.out

    def confirm(self) -> list[cmd.Command]:
        """The log takes what was appended, until nothing more is."""
        done: list[cmd.Command] = []
        confirmed = getattr(self, "confirmed", 0)
        while confirmed < len(self.log):
            confirmed += 1
            done += self.step(ev.Appended(self.log[confirmed - 1]))
        self.confirmed = confirmed
        return done

    def reach(self, losses: Mapping[int, float]) -> list[cmd.Command]:
        for slot, loss in losses.items():
            self.step(measured(slot, loss))
        return self.confirm()

    @property
    def states(self) -> str:
        return " ".join(slot.state for slot in self.brain.slots)


def running(slot: int) -> Allocation:
    return Allocation(f"a-{slot}", f"train/dispatch-{slot}", "model", 0, "n", "n-1", "running", "run")


def measured(slot: int, *losses: float) -> ev.Measured:
    return ev.Measured(f"train/dispatch-{slot}", 5, {"loss": losses[-1]}, losses)


def stops(commands: Sequence[cmd.Command]) -> list[str]:
    return [command.job_id for command in commands if isinstance(command, cmd.Stop)]


def over(slot: int, newest: ev.Measured) -> str:
    return f"loss {newest.values['loss']}" if newest.values["loss"] > 10 else ""


def test_a_stop_is_in_the_log_before_the_child_is_stopped() -> None:
    table = Table(replace(ONE, keep_best=None), stop_when=over)
    out = table.step(measured(1, 12.0))
    assert table.log[-1] == (Fail(1, 1, Cause.RULE, "loss 12.0"),)
    assert stops(out) == []
    assert table.states == "open open open open"
    out = table.confirm()
    assert stops(out) == ["train/dispatch-1"]
    assert table.states == "open stopped open open"
    assert [tell.detail for tell in out if isinstance(tell, cmd.Tell) and tell.kind == "stopped"] == ["loss 12.0"]


def test_it_is_said_once_and_not_tried_again() -> None:
    table = Table(replace(ONE, keep_best=None), stop_when=over)
    for loss in (12.0, 13.0, 14.0):
        table.step(measured(1, loss))
    table.confirm()
    table.step(measured(1, 15.0), ev.Tick(500.0), ev.RegionProbed("us", 9))
    table.confirm()
    changes = [change for entry in table.log for change in entry]
    assert [change.reason for change in changes if isinstance(change, Fail)] == ["loss 12.0"]
    assert [change for change in changes if isinstance(change, Bind) and change.attempt > 1] == []


def test_the_best_stay_whatever_the_order_in_which_they_reach_the_step() -> None:
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)):
        table = Table()
        losses = {0: 0.3, 1: 0.1, 2: math.nan, 3: 0.2}
        table.reach({slot: losses[slot] for slot in order})
        assert table.states == "stopped open stopped open", order


def test_of_equals_the_lower_slot_stays_and_a_nan_is_worst() -> None:
    table = Table()
    table.reach({3: 0.5, 2: 0.5, 1: 0.5, 0: math.nan})
    assert table.states == "stopped open open stopped"
    table = Table(replace(ONE, keep_best=KeepBest(1, 0, "auc", "max")))
    table.reach({0: -math.inf, 1: math.nan, 2: math.inf})
    assert table.states == "stopped stopped open open", "one that hasn't reached the step is left alone"


def test_a_slot_that_is_done_keeps_its_place() -> None:
    table = Table(replace(ONE, results="none", keep_best=KeepBest(1, 0)))
    table.reach({0: 0.1})
    well = replace(running(0), client_status="complete", tasks={"t": TaskState("dead", False, exit_code=0)})
    table.step(ev.AllocationChanged("us", well))
    table.confirm()
    table.reach({1: 0.2})
    assert table.states == "done stopped open open"


@pytest.mark.parametrize("manifest", [replace(ONE, keep_best=None), replace(ONE, keep_best=KeepBest(1, 0))])
def test_an_attempt_that_ended_well_keeps_its_result(manifest: Manifest) -> None:
    """Its record isn't in the index yet: the rule would throw away a result that costs nothing more."""
    table = Table(manifest, stop_when=over if manifest.keep_best is None else None)
    well = replace(running(1), client_status="complete", tasks={"t": TaskState("dead", False, exit_code=0)})
    table.step(ev.AllocationChanged("us", well))
    table.reach({0: 0.1, 1: 12.0, 2: 13.0})
    assert table.states == "open open stopped open"


def test_a_slot_whose_end_is_on_its_way_to_the_log_ends_by_the_rule() -> None:
    table = Table(replace(ONE, keep_best=None, results="none"), stop_when=over)
    table.step(measured(1, 12.0))
    failed = replace(running(1), client_status="failed", tasks={"t": TaskState("dead", True, exit_code=1)})
    table.step(ev.ChildInspected(1, 1, "dead", (failed,)))
    table.confirm()
    assert table.states == "open stopped open open"
    assert [c.cause for entry in table.log for c in entry if isinstance(c, Fail)] == [Cause.RULE]


@pytest.mark.parametrize("entries", range(8))
def test_after_a_crash_at_any_entry_the_same_slots_are_stopped(entries: int) -> None:
    table = Table()
    losses = {0: 0.3, 1: 0.1, 2: 0.4, 3: 0.2}
    table.reach(losses)
    again = Brain(ONE)
    for entry in table.log[:entries]:
        again.step(ev.Appended(entry, is_replay=True))
    again.step(ev.Resumed({}))
    log = list(table.log[:entries])
    pending = [again.step(ev.Tick(1.0))]
    pending += [again.step(measured(slot, loss)) for slot, loss in losses.items()]
    while pending:
        for command in pending.pop(0):
            if isinstance(command, cmd.Append):
                log.append(command.changes)
                pending.append(again.step(ev.Appended(command.changes)))
    ends = [(change.slot, change.cause) for entry in log for change in entry if isinstance(change, Fail)]
    known = {change.slot for entry in log for change in entry if isinstance(change, Measure)}
    assert sorted(ends) == ([(0, Cause.RULE), (2, Cause.RULE)] if len(known) == 4 else [])


def test_stopped_slots_are_no_failures() -> None:
    world = World(3, stop_when=lambda slot, newest: "--stop-when" if newest.values["loss"] > 0.6 else "")
    for region in MANIFEST.regions:
        world.script(0.0, lambda region=region: setattr(world.regions[region], "durations", lambda _: 100.0))  # type: ignore[misc]
    closed = world.run(replace(MANIFEST, max_failures=0))
    bad = {slot for slot in range(6) if world.loss(slot) > 0.6}
    assert 0 < len(bad) < 6
    assert {tell.slot for tell in world.told if tell.kind == "stopped"} == bad
    assert {key.slot for key in world.index} == set(range(6)) - bad
    assert closed == cmd.Close("done", f"a rule stopped {counted(len(bad), 'slot')}")


def test_a_run_without_any_result_has_failed() -> None:
    table = Table(replace(ONE, keep_best=None), stop_when=over)
    out = table.reach(dict.fromkeys(range(4), 11.0))
    out += table.step(*(ev.Stopped("us", f"train/dispatch-{slot}", is_done=True) for slot in range(4)))
    assert [command for command in out if isinstance(command, cmd.Close)] == [
        cmd.Close("failed", "a rule stopped all of its 4 slots")
    ]


def test_a_cancel_and_a_retry_are_obeyed() -> None:
    table = Table()
    table.reach({0: 0.3, 1: 0.1, 2: 0.2})
    assert table.states == "stopped open open open"
    table.step(ev.LogRead(((Retry((0,)),),)))
    assert table.states == "open open open open"
    table.step(measured(3, 0.4), ev.LogRead(((Cancel("enough"),),)))
    assert table.states == "cancelled cancelled cancelled cancelled"


def test_what_others_wrote_is_obeyed_and_not_written_again() -> None:
    table = Table()
    table.step(ev.LogRead(((Measure(0, 1, "0.9"),), (Fail(0, 1, Cause.RULE, "theirs"),))))
    assert stops(table.out) == ["train/dispatch-0"]
    table.reach({0: 0.3})
    assert [c for entry in table.log for c in entry if isinstance(c, Measure | Fail) and c.slot == 0] == []


def test_slots_are_halved_at_each_step_and_a_restart_goes_on_with_what_is_known() -> None:
    manifest = replace(ONE, keep_best=KeepBest(1, 5))
    table = Table(manifest)
    table.reach({0: 0.3, 1: 0.1, 2: 0.4, 3: 0.2})
    assert table.states == "stopped open stopped open"
    again = Brain(manifest)
    for entry in table.log:
        again.step(ev.Appended(entry, is_replay=True))
    again.step(ev.Resumed({}))
    again.step(ev.Tick(1.0))
    out = again.step(measured(1, 0.1, 0.09))
    assert [c for one in out if isinstance(one, cmd.Append) for c in one.changes] == [Measure(1, 1, "0.09", 1)]
    again.step(ev.Appended((Measure(1, 1, "0.09", 1),)))
    (written,) = [one for one in again.step(measured(3, 0.2, 0.05)) if isinstance(one, cmd.Append)]
    (stopped,) = [one for one in again.step(ev.Appended(written.changes)) if isinstance(one, cmd.Append)]
    reason = "--keep-best 1: loss is 0.09 at step 10, and better in 1 other slot"
    assert stopped.changes == (Fail(1, 1, Cause.RULE, reason),)
