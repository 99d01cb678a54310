"""The run log when others write it too, when the home store is away, and after a restart."""

from __future__ import annotations

from dataclasses import replace

from federation.result import Key
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Ack, Bind, Cancel, Done, Fail, Halt, Rebind, Retry, Unknown, parse
from federation.run.brain.timing import Limits
from regions.model import Allocation
from tests.federation.run.brain.test_brain import sent
from tests.federation.run.brain.test_endings import changes, of, write
from tests.federation.run.brain.virtual_region import WELL
from tests.federation.run.brain.world import MANIFEST


def proposing(slots: int = 2) -> tuple[Brain, cmd.Append]:
    brain = Brain(replace(MANIFEST, slots=slots))
    brain.step(ev.Tick(1.0))
    out = [command for name in MANIFEST.regions for command in brain.step(ev.RegionProbed(name, 1))]
    (append,) = of(out, cmd.Append)
    return brain, append


def test_an_entry_says_after_which_it_is_meant() -> None:
    brain, append = proposing()
    assert append.after == 0
    brain.step(ev.Appended(append.changes))
    brain.step(ev.LogRead(((Unknown("note"),), (Unknown("note"),))))
    brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    (ack,) = of(brain.step(ev.Acknowledged(0, 1, "train/dispatch-1")), cmd.Append)
    assert ack.after == 3


def test_what_others_bound_first_is_theirs_and_the_rest_is_decided_again() -> None:
    brain, append = proposing()
    assert [(one["slot"], one["region"]) for one in changes([append])] == [(0, "us"), (1, "eu")]
    theirs = (Bind(0, 1, "eu"),)
    out = brain.step(ev.AppendRefused(append.changes, (theirs,)))
    assert brain.slots[0].attempts[0].region == "eu"
    assert [(one["slot"], one["attempt"], one["region"]) for one in changes(out)] == [(1, 1, "us")]
    assert of(out, cmd.Append)[0].after == 1


def test_a_failure_of_a_binding_that_is_taken_back_is_not_written() -> None:
    """The number of that attempt is given again, to an attempt that has not failed."""
    brain, append = proposing(1)
    brain.step(ev.LogRead(((Rebind("us"),),)))
    assert not brain.slots[0].attempts[0].is_open
    out = brain.step(ev.AppendRefused(append.changes, ()))
    assert [(one["type"], one["slot"], one["attempt"]) for one in changes(out)] == [("bind", 0, 1)]


def test_what_another_coordinator_bound_and_never_acknowledged_is_searched_for_after_a_while() -> None:
    brain, append = proposing(1)
    brain.step(ev.AppendRefused(append.changes, ((Bind(0, 1, "us"),),)))
    assert not of(brain.step(ev.Tick(20.0)), cmd.Find)
    for name in MANIFEST.regions:
        brain.step(ev.RegionHeard(name))
    assert of(brain.step(ev.Tick(40.0)), cmd.Find) == [cmd.Find("us", ((0, 1),))]
    out = brain.step(ev.Found("us", {}, ((0, 1),)))
    assert of(out, cmd.Look) == [cmd.Look(0, 1, "us", None)], "results first: it may have run, and be forgotten"


def test_news_of_a_child_that_came_before_its_acknowledgement_was_read_are_caught_up_with() -> None:
    brain, append = proposing(1)
    brain.step(ev.AppendRefused(append.changes, ((Bind(0, 1, "us"),),)))
    done = Allocation("a", "train/dispatch-1", "model", 0, "n", "n-1", "complete", "run", modify_index=9, tasks=WELL)
    brain.step(ev.AllocationChanged("us", done))
    brain.step(ev.AllocationChanged("us", replace(done, client_status="running", modify_index=8)))  # late
    theirs = (Ack(0, 1, "train/dispatch-1"),)
    assert of(brain.step(ev.LogRead((theirs,))), cmd.Look) == [cmd.Look(0, 1, "us", done)]


def test_facts_are_said_again_when_an_entry_was_refused_unless_others_said_them() -> None:
    brain, append = proposing()
    brain.step(ev.Appended(append.changes))
    for name in ("us", "eu"):
        brain.step(ev.ParentChecked(name, MANIFEST.spec_hash))
    (first,) = of(brain.step(ev.Acknowledged(0, 1, "train/dispatch-1")), cmd.Append)
    brain.step(ev.Acknowledged(1, 1, "train/dispatch-2"))
    theirs = (Ack(0, 1, "train/dispatch-1"),)
    out = brain.step(ev.AppendRefused(first.changes, (theirs,)))
    assert [(one["type"], one["slot"]) for one in changes(out)] == [("ack", 1)]


def test_while_the_home_store_is_away_nothing_is_dispatched_and_it_is_said_once() -> None:
    brain, append = proposing()
    out = brain.step(ev.AppendRefused(append.changes, (), "503"))
    assert [tell.detail for tell in of(out, cmd.Tell)] == ["nothing is dispatched until the home store answers: 503"]
    assert not of(out, cmd.Append)
    assert not of(out, cmd.Dispatch)
    assert not of(brain.step(ev.Tick(3.0)), cmd.Append)
    (again,) = of(brain.step(ev.Tick(7.0)), cmd.Append)
    out = brain.step(ev.AppendRefused(again.changes, (), "503"))
    assert not of(out, cmd.Tell)
    assert len(of(brain.step(ev.Tick(13.0)), cmd.Append)) == 1


def test_an_entry_whose_answer_was_lost_comes_back_as_somebody_elses_and_is_not_bound_twice() -> None:
    brain, append = proposing(1)
    brain.step(ev.AppendRefused(append.changes, (), "timeout"))
    out = brain.step(ev.LogRead((append.changes,)))
    assert [(one.number, one.region) for one in brain.slots[0].attempts] == [(1, "us")]
    assert not [one for one in changes(out) if one["type"] == "bind"]


def test_a_cancel_that_another_process_wrote_is_obeyed() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    child = sent(brain)
    brain.step(ev.LogRead(()))
    assert of(brain.step(ev.Tick(5.0)), cmd.ReadLog)
    out = brain.step(ev.LogRead(((Cancel("wrong data"),),)))
    assert of(out, cmd.Stop) == [cmd.Stop("us", child)]
    assert of(brain.step(ev.Stopped("us", child, is_done=True)), cmd.Close) == [cmd.Close("cancelled", "wrong data")]


def test_a_retry_gives_a_failed_slot_new_attempts() -> None:
    brain = Brain(replace(MANIFEST, slots=1, max_attempts=1))
    brain.step(ev.Appended((Bind(0, 1, "us"),), is_replay=True))
    fail = Fail(0, 1, Cause.EXIT, "Exit Code: 1")
    brain.step(ev.Appended((fail, Halt("enough", ())), is_replay=True))
    brain.step(ev.Appended((Retry((0,)),), is_replay=True))
    brain.step(ev.Resumed({}))
    assert (brain.slots[0].state, brain.state.halted) == ("open", "")
    brain.step(ev.Tick(1.0))
    out = [command for name in MANIFEST.regions for command in brain.step(ev.RegionProbed(name, 1))]
    assert [(one["type"], one["attempt"], one["region"]) for one in changes(out)] == [("bind", 2, "eu")]


def test_a_resumed_run_asks_only_for_what_is_not_committed() -> None:
    brain = Brain(replace(MANIFEST, slots=3), Limits(grace_s=600))
    for slot, region in enumerate(MANIFEST.regions):
        bind = Bind(slot, 1, region)
        brain.step(ev.Appended((bind,), is_replay=True))
        ack = Ack(slot, 1, f"train/dispatch-{slot}")
        brain.step(ev.Appended((ack,), is_replay=True))
    committed = {Key(MANIFEST.run, slot, "model", 0): 1 for slot in (0, 2)}
    out = brain.step(ev.Resumed(committed)) + brain.step(ev.Tick(100.0)) + brain.step(ev.Tick(120.0))
    asked = of(out, cmd.Inspect) + of(out, cmd.Look) + of(out, cmd.Find)
    assert [(one.slot, one.job_id) for one in asked] == [(1, "train/dispatch-1")]


def test_a_lost_regions_child_is_stopped_after_a_restart_too() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    brain.step(ev.Appended((Bind(0, 1, "us"),), is_replay=True))
    ack = Ack(0, 1, "train/dispatch-1")
    fail = Fail(0, 1, Cause.REGION_LOST, "lost")
    brain.step(ev.Appended((ack, fail), is_replay=True))
    brain.step(ev.Resumed({}))
    assert cmd.Stop("us", "train/dispatch-1") in brain.step(ev.Tick(1.0))


def test_a_run_that_has_all_its_results_when_it_is_resumed_stops_what_it_left_before_it_ends() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    bind = Bind(0, 1, "us")
    ack = Ack(0, 1, "train/dispatch-1")
    fail = Fail(0, 1, Cause.REGION_LOST, "lost")
    brain.step(ev.Appended((bind, ack, fail), is_replay=True))
    assert not of(brain.step(ev.Resumed({Key(MANIFEST.run, 0, "model", 0): 2})), cmd.Close)
    out = brain.step(ev.Tick(1.0))
    assert of(out, cmd.Stop) == [cmd.Stop("us", "train/dispatch-1")]
    assert not of(out, cmd.Close)
    assert of(brain.step(ev.Stopped("us", "train/dispatch-1", is_done=True)), cmd.Close) == [cmd.Close("done", "")]


def test_a_log_of_an_earlier_version_is_read() -> None:
    brain = Brain(replace(MANIFEST, slots=2))
    for slot, extra in ((0, {"own": True}), (1, {"own": False, "lost": True})):
        brain.step(ev.Appended((Bind(slot, 1, "us"),), is_replay=True))
        fail = parse({"type": "fail", "slot": slot, "attempt": 1, "reason": "as before", **extra})
        brain.step(ev.Appended((fail,), is_replay=True))
    assert [str(slot.attempts[0].cause) for slot in brain.slots] == ["exit", "region lost"]


def test_a_result_that_the_index_did_not_take_is_committed_again() -> None:
    from tests.federation.run.brain.world import World

    world = World()
    world.run(replace(MANIFEST, slots=1))
    record = next(iter(world.records.values()))
    brain = Brain(replace(MANIFEST, slots=1))
    sent(brain)
    allocation = replace(
        world.regions[record.region].children[record.job_id].allocations[0], job_id="train/dispatch-1-a"
    )
    brain.step(ev.AllocationChanged("us", replace(allocation, client_status="complete")))
    (commit,) = of(brain.step(ev.Looked(0, 1, allocation.id, (record,))), cmd.Commit)
    assert not of(brain.step(ev.CommitFailed(commit.records, "503")), cmd.Commit)
    assert of(brain.step(ev.Tick(7.0)), cmd.Commit) == [commit]
    write(brain, brain.step(ev.Committed(((record, "known"),))))
    assert brain.slots[0].state == "done"


def test_what_ended_well_in_a_run_without_results_is_in_its_log() -> None:
    brain = Brain(replace(MANIFEST, slots=2, results="none"))
    child = sent(brain)
    well = Allocation("a", child, "model", 0, "n", "n-1", "complete", "run", tasks=WELL)
    out = brain.step(ev.AllocationChanged("us", well))
    assert [one for one in changes(out) if one["type"] == "done"] == [Done(0, 1, "model", 0).to_json()]
    assert [tell.detail for tell in of(out, cmd.Tell) if tell.kind == "ended"] == ["model[0] with exit code 0"]
    other = Brain(replace(MANIFEST, slots=2, results="none"))
    other.step(ev.Appended((Bind(0, 1, "us"), Ack(0, 1, child), Done(0, 1, "model", 0)), is_replay=True))
    other.step(ev.Resumed({}))
    out = other.step(ev.Tick(1.0))
    assert [slot.state for slot in other.slots] == ["done", "open"]
    assert not of(out, cmd.Inspect)
    third = Brain(replace(MANIFEST, slots=2, results="none"))
    sent(third)
    third.step(ev.LogRead(((Done(0, 1, "model", 0),),)))
    assert third.slots[0].state == "done"


def test_a_log_may_not_say_that_a_result_is_there() -> None:
    brain = Brain(replace(MANIFEST, slots=2))
    sent(brain)
    (note,) = of(brain.step(ev.LogRead(((Done(0, 1, "model", 0),),))), cmd.Tell)
    assert note.detail.endswith("it says that 'model'[0] is done, which only the index may say; it is passed over")
    assert brain.slots[0].state == "open"
