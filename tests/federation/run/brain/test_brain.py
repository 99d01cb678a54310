"""The run's brain in a virtual world: what it promises holds through faults, restarts and lost regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.changes import Bind, Cancel, Fail, Halt
from federation.run.brain.timing import Limits
from regions.model import Allocation, TaskState
from tests.federation.run.brain.faults import KINDS
from tests.federation.run.brain.virtual_region import EXITED_0_WHEN_KILLED, KILLED, WELL
from tests.federation.run.brain.world import MANIFEST, World


def kinds(world: World, kind: str) -> list[cmd.Tell]:
    return [tell for tell in world.told if tell.kind == kind]


def test_every_slot_ends_with_its_key_in_the_index_once() -> None:
    world = World()
    assert world.run(MANIFEST) == cmd.Close("done", "")
    assert sorted(key.slot for key in world.index) == list(range(6))
    assert {tell.region for tell in kinds(world, "dispatched")} == {"us", "eu", "onprem"}


def test_a_binding_is_logged_before_its_dispatch_is_commanded() -> None:
    brain = Brain(MANIFEST)
    brain.step(ev.Tick(1.0))
    out: list[cmd.Command] = []
    for name in MANIFEST.regions:
        out += brain.step(ev.RegionProbed(name, 2))
    appends = [command for command in out if isinstance(command, cmd.Append)]
    assert len(appends) == 1
    assert not [command for command in out if isinstance(command, cmd.Dispatch | cmd.CheckParent)]
    out = brain.step(ev.Appended(appends[0].changes))
    assert {command.region for command in out if isinstance(command, cmd.CheckParent)} == set(MANIFEST.regions)
    out = brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    assert {(c.slot, c.attempt, c.region) for c in out if isinstance(c, cmd.Dispatch)} == {
        (c.slot, 1, "us") for c in appends[0].changes if isinstance(c, Bind) and c.region == "us"
    }


def test_a_run_that_adopts_logs_whose_each_allocation_is_and_any_other_does_not() -> None:
    world = World()
    assert world.run(replace(MANIFEST, results="adopt")).state == "done"
    mapped = [change for entry in world.log for change in entry if change["type"] == "alloc"]
    assert sorted({change["slot"] for change in mapped}) == list(range(6))
    assert len({change["alloc_id"] for change in mapped}) == len(mapped)
    assert all(change["group"] in MANIFEST.groups and change["attempt"] == 1 for change in mapped)
    other = World()
    other.run(MANIFEST)
    assert not [change for entry in other.log for change in entry if change["type"] == "alloc"]


def test_without_n_each_region_gets_one_slot_even_a_full_one() -> None:
    world = World(sizes={"us": 3, "eu": 1, "onprem": 1})
    world.script(0.0, lambda: setattr(world.regions["eu"], "strangers", 1))
    world.script(40.0, lambda: setattr(world.regions["eu"], "strangers", 0))
    manifest = replace(MANIFEST, slots=3, one_each=True)
    assert world.run(manifest).state == "done"
    assert {(slot, region) for slot, _, region in world.dispatched} == {(0, "us"), (1, "eu"), (2, "onprem")}


def test_more_slots_than_room_are_bound_late() -> None:
    world = World(sizes={"us": 2, "eu": 1, "onprem": 1})
    assert world.run(replace(MANIFEST, slots=40)).state == "done"
    assert len(world.index) == 40
    first = [change for change in world.log[0] if change["type"] == "bind"]
    assert len(first) == 4


def test_a_slot_that_fails_in_two_regions_for_its_own_reason_is_not_sent_round_the_world() -> None:
    world = World(scale=100.0, without=[kind for kind in KINDS if kind != "exit"])
    closed = world.run(replace(MANIFEST, slots=1))
    assert closed == cmd.Close("failed", "1 of 1 slot failed")
    assert len({region for _, _, region in world.dispatched}) == 2
    assert kinds(world, "failed")[0].detail == "task t: Exit Code: 1: the last line"


def test_a_lost_region_has_its_slots_bound_elsewhere_and_is_stopped_when_it_is_back() -> None:
    world = World()

    def cut() -> None:
        us = world.regions["us"]
        us.cut, us.cut_until = "all", 100.0
        for child in us.children.values():
            child.ends_at = 500.0

    world.script(5.0, cut)
    assert world.run(replace(MANIFEST, slots=3)).state == "done"
    assert kinds(world, "lost")[0].region == "us"
    assert len(world.index) == 3


def losses(out: list[cmd.Command]) -> list[str]:
    return [c.region for c in out if isinstance(c, cmd.Tell) and c.kind == "lost"]


def deaf(brain: Brain, *names: str) -> None:
    for name in names:
        brain.step(ev.Pinged(name, is_alive=False))


def test_most_regions_silent_together_is_us_who_are_cut_off() -> None:
    brain = Brain(MANIFEST, Limits(grace_s=30))
    brain.step(ev.Tick(1.0))
    deaf(brain, *MANIFEST.regions)
    out = brain.step(ev.Tick(1000.0))
    assert not losses(out)
    assert next(c.detail for c in out if isinstance(c, cmd.Tell)).startswith("most regions fell silent together")
    brain.step(ev.RegionHeard("eu"))
    assert losses(brain.step(ev.Tick(1001.0))) == [], "two of three are still most"
    brain.step(ev.RegionHeard("onprem"))
    assert losses(brain.step(ev.Tick(1002.0))) == [], "it has a whole grace, now that it could be heard"
    for name in ("eu", "onprem"):
        brain.step(ev.RegionHeard(name))
    assert losses(brain.step(ev.Tick(1031.0))) == []
    for name in ("eu", "onprem"):
        brain.step(ev.RegionHeard(name))
    deaf(brain, "us")
    assert losses(brain.step(ev.Tick(1033.0))) == ["us"]


def test_a_region_that_fell_silent_a_moment_before_the_others_is_not_lost() -> None:
    brain = Brain(MANIFEST, Limits(grace_s=30))
    brain.step(ev.Tick(1.0))
    brain.step(ev.Tick(5.0))
    for name in ("eu", "onprem"):
        brain.step(ev.RegionHeard(name))
    brain.step(ev.Tick(20.0))
    deaf(brain, *MANIFEST.regions)
    assert losses(brain.step(ev.Tick(32.0))) == []


def test_while_most_regions_are_silent_nothing_is_bound() -> None:
    brain = Brain(MANIFEST, Limits(grace_s=30))
    brain.step(ev.Tick(1.0))
    brain.step(ev.Tick(40.0))
    out = [c for name in MANIFEST.regions for c in brain.step(ev.RegionProbed(name, 0, "unreachable"))]
    deaf(brain, *MANIFEST.regions)
    brain.step(ev.Tick(41.0))
    out = brain.step(ev.RegionProbed("us", 4))
    assert not [c for c in out if isinstance(c, cmd.Append)]


def test_a_changed_parent_gets_nothing_more() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    brain.step(ev.Tick(1.0))
    out = [c for name in MANIFEST.regions for c in brain.step(ev.RegionProbed(name, 2 if name == "us" else 0))]
    (append,) = [c for c in out if isinstance(c, cmd.Append)]
    brain.step(ev.Appended(append.changes))
    out = brain.step(ev.ParentChecked("us", "another"))
    assert not [c for c in out if isinstance(c, cmd.Dispatch)]
    assert [c.TYPE for a in out if isinstance(a, cmd.Append) for c in a.changes] == ["fail"]


def test_a_result_of_another_spec_never_wins() -> None:
    world = World()
    brain = Brain(replace(MANIFEST, slots=1))
    brain.step(ev.Tick(1.0))
    for name in MANIFEST.regions:
        brain.step(ev.RegionProbed(name, 1))
    bind = Bind(0, 1, "us")
    brain.step(ev.Appended((bind,)))
    brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    brain.step(ev.Acknowledged(0, 1, "train/dispatch-1"))
    world.run(replace(MANIFEST, slots=1))
    record = replace(next(iter(world.records.values())), spec_hash="other")
    out = brain.step(ev.Looked(0, 1, "a", (record,)))
    assert not [c for c in out if isinstance(c, cmd.Commit)]


def test_complete_without_a_record_is_no_result_after_one_more_look() -> None:
    world = World(scale=100.0, without=[kind for kind in KINDS if kind != "no_result"])
    closed = world.run(replace(MANIFEST, slots=1))
    assert closed.state == "failed"
    assert "NoResult" in kinds(world, "failed")[0].detail


def test_cancel_is_recorded_first_then_everything_open_is_stopped() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    brain.step(ev.Tick(1.0))
    for name in MANIFEST.regions:
        brain.step(ev.RegionProbed(name, 1))
    brain.step(ev.Appended((Bind(0, 1, "us"),)))
    brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    out = brain.step(ev.Acknowledged(0, 1, "train/dispatch-1"))
    (acked,) = [c for c in out if isinstance(c, cmd.Append)]
    brain.step(ev.Appended(acked.changes))
    out = brain.step(ev.CancelRequested("enough"))
    (append,) = [c for c in out if isinstance(c, cmd.Append)]
    assert append.changes == (Cancel("enough"),)
    out = brain.step(ev.Appended(append.changes))
    assert [c for c in out if isinstance(c, cmd.Stop)] == [cmd.Stop("us", "train/dispatch-1")]
    assert not [c for c in out if isinstance(c, cmd.Close)]
    assert brain.step(ev.Stopped("us", "train/dispatch-1", is_done=False)) == []
    assert cmd.Stop("us", "train/dispatch-1") in brain.step(ev.Tick(60.0))
    assert brain.step(ev.Stopped("us", "train/dispatch-1", is_done=True)) == [cmd.Close("cancelled", "enough")]


def test_a_task_that_published_and_then_failed_has_a_result() -> None:
    world = World()
    world.run(replace(MANIFEST, slots=1))
    record = next(iter(world.records.values()))
    failed = Allocation("a", "train/dispatch-1-a", "model", 0, "n", "n-1", "failed", "run")
    brain = Brain(replace(MANIFEST, slots=1))
    sent(brain)
    out = brain.step(ev.ChildInspected(0, 1, "dead", (failed,)))
    assert out == [cmd.KeepLogs(0, 1, "us", failed, is_failed=True), cmd.Look(0, 1, "us", None)]
    assert brain.step(ev.LogsKept(0, 1)) == []
    assert brain.step(ev.Looked(0, 1, "", (record,))) == [cmd.Commit((record,))]
    assert brain.step(ev.Committed(((record, "added"),)))[-1] == cmd.Close("done", "")
    brain = Brain(replace(MANIFEST, slots=1))
    sent(brain)
    brain.step(ev.ChildInspected(0, 1, "dead", (failed,)))
    out = brain.step(ev.Looked(0, 1, "", ()))
    assert appended(out) == ["fail"]
    brain.step(ev.Appended(tuple(c for a in out if isinstance(a, cmd.Append) for c in a.changes)))
    assert appended(brain.step(ev.Tick(1.5))) == [], "a pause comes first"
    assert appended(brain.step(ev.Tick(2.5))) == ["bind"]


def appended(out: list[cmd.Command]) -> list[str]:
    return [change.TYPE for append in out if isinstance(append, cmd.Append) for change in append.changes]


def sent(brain: Brain) -> str:
    """Bring slot 0 of the brain to a child that was acknowledged; the child's ID."""
    brain.step(ev.Tick(1.0))
    out = [command for name in MANIFEST.regions for command in brain.step(ev.RegionProbed(name, 2))]
    (append,) = [command for command in out if isinstance(command, cmd.Append)]
    brain.step(ev.Appended(append.changes))
    region = next(change.region for change in append.changes if isinstance(change, Bind) and change.slot == 0)
    brain.step(ev.ParentChecked(str(region), MANIFEST.spec_hash))
    out = brain.step(ev.Acknowledged(0, 1, "train/dispatch-1-a"))
    brain.step(ev.Appended(tuple(c for append in out if isinstance(append, cmd.Append) for c in append.changes)))
    return "train/dispatch-1-a"


def test_a_child_that_was_stopped_while_it_waited_for_room_is_noticed() -> None:
    """It never had an allocation, so no event tells of it."""
    brain = Brain(MANIFEST)
    child = sent(brain)
    quiet_s = brain.state.limits.quiet_s
    assert not [command for command in brain.step(ev.Tick(quiet_s / 2)) if isinstance(command, cmd.Inspect)]
    looks = [command for command in brain.step(ev.Tick(quiet_s + 2.0)) if isinstance(command, cmd.Inspect)]
    assert [look.job_id for look in looks] == [child]
    brain.step(ev.ChildInspected(0, 1, "pending"))
    looks = [command for command in brain.step(ev.Tick(2 * quiet_s + 3.0)) if isinstance(command, cmd.Inspect)]
    assert [look.job_id for look in looks] == [child], "it is looked at again as long as it waits"
    brain.step(ev.ChildInspected(0, 1, "dead", is_stopped=True))
    attempt = brain.slots[0].attempts[0]
    assert (attempt.is_open, attempt.reason) == (False, "its job was stopped by somebody else")
    assert not attempt.is_own_failure


@pytest.mark.parametrize(
    ("tasks", "changes", "is_stopped", "reason"),
    [
        (WELL, {}, False, "NoResult: it completed"),
        (KILLED, {"desired_status": "stop"}, True, "its job was stopped by"),
        (EXITED_0_WHEN_KILLED, {"desired_status": "stop"}, True, "its job was stopped by"),
        (KILLED, {"desired_status": "stop", "is_moved": True}, False, "stopped on node n-1 (a drain"),
        (
            KILLED,
            {"client_description": "allocation exceeded max_run_duration"},
            False,
            "Nomad ended it: allocation ex",
        ),
    ],
)
def test_a_complete_allocation_that_published_nothing(
    tasks: Mapping[str, TaskState], changes: dict[str, Any], is_stopped: bool, reason: str
) -> None:
    brain = Brain(MANIFEST)
    child = sent(brain)
    region = brain.slots[0].attempts[0].region
    allocation = replace(Allocation("a", child, "model", 0, "n", "n-1", "complete", "run", tasks=tasks), **changes)
    assert cmd.Look(0, 1, region, allocation) in brain.step(ev.AllocationChanged(region, allocation))
    brain.step(ev.Looked(0, 1, "a", ()))
    brain.step(ev.Looked(0, 1, "a", ()))
    attempt = brain.slots[0].attempts[0]
    assert attempt.is_open == (tasks is not WELL)
    brain.step(ev.ChildInspected(0, 1, "dead", (allocation,), is_stopped=is_stopped))
    brain.step(ev.Looked(0, 1, "", ()))
    assert attempt.reason.startswith(reason)


@pytest.mark.parametrize("results", ["none", "adopt"])
@pytest.mark.parametrize("tasks", [KILLED, EXITED_0_WHEN_KILLED, {}])
def test_what_was_killed_gives_no_result(results: str, tasks: Mapping[str, TaskState]) -> None:
    brain = Brain(replace(MANIFEST, results=results))
    child = sent(brain)
    region = brain.slots[0].attempts[0].region
    one = Allocation("a", child, "model", 0, "n", "n-1", "complete", "stop", is_moved=True, tasks=tasks)
    out = brain.step(ev.AllocationChanged(region, one))
    out += brain.step(ev.ChildInspected(0, 1, "pending", (one,)))
    assert not [command for command in out if isinstance(command, cmd.Look)]
    assert (brain.slots[0].state, brain.slots[0].attempts[0].phase) == ("open", "sent")
    well = replace(one, id="b", desired_status="run", is_moved=False, tasks=WELL, create_index=2)
    out = brain.step(ev.AllocationChanged(region, well))
    looks = [command.allocation for command in out if isinstance(command, cmd.Look)]
    assert (looks, brain.slots[0].state) == (([well], "open") if results == "adopt" else ([], "done"))


def test_a_killed_task_that_does_not_decide_is_no_failure() -> None:
    """A task after the main one was still running when the time was over."""
    brain = Brain(replace(MANIFEST, results="none"))
    child = sent(brain)
    region = brain.slots[0].attempts[0].region
    tasks = {"main": WELL["t"], "last": KILLED["t"]}
    over = "allocation exceeded max_run_duration"
    one = Allocation("a", child, "model", 0, "n", "n-1", "complete", "run", tasks=tasks, client_description=over)
    brain.step(ev.AllocationChanged(region, one))
    assert brain.slots[0].state == "open"
    brain.step(ev.ChildInspected(0, 1, "dead", (one,), deciding={"model": frozenset({"main"})}))
    assert brain.slots[0].state == "done"


def test_what_nomad_places_again_after_it_had_ended_well_is_stopped() -> None:
    brain = Brain(replace(MANIFEST, slots=1, results="none"))
    child = sent(brain)
    region = brain.slots[0].attempts[0].region
    one = Allocation("a", child, "model", 0, "n", "n-1", "complete", "stop", is_moved=True, tasks=WELL)
    brain.step(ev.AllocationChanged(region, one))
    assert brain.slots[0].state == "done"
    again = replace(one, id="b", client_status="running", desired_status="run", is_moved=False, create_index=1)
    assert cmd.Stop(region, child) in brain.step(ev.AllocationChanged(region, again))


def test_a_quiet_region_is_asked_before_it_is_called_lost() -> None:
    """Heartbeats may be further apart than the grace: a region that has nothing to tell is not lost."""
    brain = Brain(MANIFEST, Limits(grace_s=3.0))
    brain.step(ev.Tick(1.0))
    for now_s in (2.5, 4.0, 5.5, 7.0):
        out = brain.step(ev.Tick(now_s))
        assert [command.region for command in out if isinstance(command, cmd.Ping)] == list(MANIFEST.regions)
        for name in MANIFEST.regions:
            answers = (ev.Pinged(name, is_alive=True), ev.Listed(name, frozenset(), ""))
            assert not [tell for one in answers for tell in brain.step(one) if isinstance(tell, cmd.Tell)]
    brain.step(ev.Tick(8.5))
    for name in MANIFEST.regions:
        brain.step(ev.Pinged(name, is_alive=name != "us"))
        brain.step(ev.NotListed(name) if name == "us" else ev.Listed(name, frozenset(), ""))
    lost = [tell.region for tell in brain.step(ev.Tick(10.5)) if isinstance(tell, cmd.Tell) and tell.kind == "lost"]
    assert lost == ["us"]


def test_the_loss_of_a_region_is_not_counted_against_a_slot() -> None:
    brain = Brain(replace(MANIFEST, slots=1, max_attempts=1), Limits(grace_s=3.0))
    sent(brain)
    brain.step(ev.Tick(2.0))
    deaf(brain, "us")
    for name in ("eu", "onprem"):
        brain.step(ev.RegionHeard(name))
    out = brain.step(ev.Tick(5.0))
    fails = [c for append in out if isinstance(append, cmd.Append) for c in append.changes if isinstance(c, Fail)]
    assert [fail.cause for fail in fails] == ["region lost"]
    assert brain.slots[0].state == "open"


def test_a_run_whose_canary_failed_is_not_over_before_the_jobs_are_put_back() -> None:
    halt = Halt(
        "a canary failed",
        (
            "us",
            "eu",
        ),
    )
    brain = Brain(replace(MANIFEST, canary=1))
    brain.step(ev.Tick(1.0))
    brain.step(ev.Resumed({}))
    out = brain.step(ev.Appended((halt,)))
    assert [c.region for c in out if isinstance(c, cmd.Revert)] == ["us", "eu"]
    assert not [c for c in (*out, *brain.step(ev.Reverted("us"))) if isinstance(c, cmd.Close)]
    assert brain.step(ev.Reverted("eu"))[-1] == cmd.Close("failed", "a canary failed")
