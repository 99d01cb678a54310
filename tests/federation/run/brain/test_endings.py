"""How attempts and slots end: by class, with pauses, in which region next, and when a run is stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federation.manifest import RunCode
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.causes import Cause, backoff_s, cause_of, explained
from federation.run.brain.changes import Ack, Bind, Change, Fail, Retry
from federation.run.brain.dispatching import CHANGED
from federation.run.brain.timing import Limits
from regions.model import Allocation, TaskState
from tests.federation.run.brain.test_brain import sent
from tests.federation.run.brain.virtual_region import KILLED, WELL
from tests.federation.run.brain.world import MANIFEST

CHILD = "train/dispatch-1-a"


def allocation(**changes: Any) -> Allocation:
    return replace(Allocation("a", CHILD, "model", 0, "n", "n-1", "failed", "run"), **changes)


def of(out: list[cmd.Command], kind: type) -> list[Any]:
    return [command for command in out if isinstance(command, kind)]


def changes(out: list[cmd.Command]) -> list[dict[str, Any]]:
    """The changes that are to be written, as the log has them."""
    return [change.to_json() for change in proposed(out)]


def proposed(out: list[cmd.Command]) -> tuple[Change, ...]:
    return tuple(change for append in of(out, cmd.Append) for change in append.changes)


def write(brain: Brain, out: list[cmd.Command]) -> list[cmd.Command]:
    """Have what was to be appended stand in the log."""
    return [command for append in of(out, cmd.Append) for command in brain.step(ev.Appended(append.changes))]


@pytest.mark.parametrize(
    ("one", "cause", "told"),
    [
        (allocation(tasks={"t": TaskState("dead", True, 0, "Exit Code: 3", 3)}), Cause.EXIT, "task t: Exit Code: 3"),
        (
            allocation(tasks={"t": TaskState("dead", True, 0, "Terminated", 137, is_oom_killed=True)}),
            Cause.OOM,
            "task t: killed for its memory (OOM) (exit code 137)",
        ),
        (
            allocation(tasks={"t": TaskState("dead", True, 0, "Exit Code: 137, Signal: 9", 137)}),
            Cause.EXIT,
            "task t: Exit Code: 137, Signal: 9, killed: often for more memory than its resources allow",
        ),
        (
            allocation(tasks={"t": TaskState("dead", True, 0, "Failed Artifact Download")}),
            Cause.SETUP,
            "task t: Failed Artifact Download",
        ),
        (allocation(client_status="lost"), Cause.NODE_LOST, "node n-1 was lost"),
        (
            allocation(client_status="complete", is_preempted=True),
            Cause.PREEMPTED,
            "preempted by a job of higher priority",
        ),
        (allocation(), Cause.EXIT, "allocation failed"),
        (
            allocation(client_status="complete", desired_status="stop", is_moved=True, tasks=KILLED),
            Cause.MOVED,
            "stopped on node n-1 (a drain, or `nomad alloc stop`), and not placed again by Nomad",
        ),
        (
            allocation(client_status="complete", desired_status="stop", tasks=KILLED),
            Cause.STOPPED,
            "its job was stopped by somebody else",
        ),
        (
            allocation(
                client_status="complete", client_description="allocation exceeded max_run_duration", tasks=KILLED
            ),
            Cause.TIMEOUT,
            "Nomad ended it: allocation exceeded max_run_duration",
        ),
        (allocation(client_status="complete", tasks=KILLED), Cause.EXIT, "task t: killed by Nomad"),
    ],
)
def test_what_a_failed_allocation_is_called(one: Allocation, cause: Cause, told: str) -> None:
    assert cause_of(one) == (cause, told)


def test_pauses_double_up_to_a_minute() -> None:
    assert [backoff_s(Cause.EXIT, times) for times in (1, 2, 3, 10)] == [1, 2, 4, 60]
    assert backoff_s(Cause.REGION_LOST, 3) == 0


def failed(brain: Brain, one: Allocation) -> list[cmd.Command]:
    """The child of slot 0 is dead with this allocation, and left no result."""
    attempt = brain.slots[0].attempts[-1]
    brain.step(ev.ChildInspected(0, attempt.number, "dead", (replace(one, job_id=attempt.job_id),)))
    return brain.step(ev.Looked(0, attempt.number, "", ()))


def test_preemption_is_not_counted_against_a_slot() -> None:
    brain = Brain(replace(MANIFEST, slots=1, max_attempts=1))
    sent(brain)
    assert [one["cause"] for one in changes(failed(brain, allocation(is_preempted=True)))] == ["preempted"]
    assert brain.slots[0].state == "open"


def test_what_a_region_refuses_for_the_slots_own_input_costs_one_attempt() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    brain.step(ev.Tick(1.0))
    out = [command for name in MANIFEST.regions for command in brain.step(ev.RegionProbed(name, 2))]
    write(brain, out)
    brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    brain.step(ev.DispatchFailed(0, 1, "input", "meta too long"))
    assert (brain.slots[0].state, brain.slots[0].reason) == ("failed", "meta too long")
    assert len(brain.slots[0].attempts) == 1
    assert not brain.regions["us"].is_excluded


def test_too_many_failures_stop_the_run_with_the_last_reason() -> None:
    brain = Brain(replace(MANIFEST, slots=3, max_attempts=1, max_failures=0))
    sent(brain)
    brain.step(ev.Appended(tuple(Ack(0, 1, CHILD) for _ in range(1))))
    out = failed(brain, allocation(tasks={"t": TaskState("dead", True, 0, "Exit Code: 3", 3)}))
    assert [one["type"] for one in changes(out)] == ["fail", "halt"]
    write(brain, out)
    assert "more than --max-failures allows (0); the last: task t: Exit Code: 3" in brain.state.halted
    assert [slot.state for slot in brain.slots] == ["failed", "cancelled", "cancelled"]


def test_an_attempt_that_runs_too_long_is_stopped_and_its_results_come_first() -> None:
    brain = Brain(replace(MANIFEST, slots=1, slot_timeout_s=30.0))
    child = sent(brain)
    brain.step(ev.AllocationChanged("us", allocation(client_status="running")))
    assert not of(brain.step(ev.Tick(30.0)), cmd.Stop)
    for name in MANIFEST.regions:
        brain.step(ev.RegionHeard(name))
    out = brain.step(ev.Tick(31.5))
    assert of(out, cmd.Stop) == [cmd.Stop("us", child)]
    assert of(out, cmd.Look) == [cmd.Look(0, 1, "us", None)]
    out = brain.step(ev.Looked(0, 1, "", ()))
    assert [(one["cause"], one["reason"]) for one in changes(out)] == [
        ("timeout", "it ran for longer than --slot-timeout allows (30 s)")
    ]


@pytest.mark.parametrize("has_room_elsewhere", [True, False])
def test_an_attempt_that_waits_too_long_is_bound_elsewhere_where_there_is_room(has_room_elsewhere: bool) -> None:
    brain = Brain(replace(MANIFEST, slots=1, pending_timeout_s=20.0), Limits(grace_s=600))
    child = sent(brain)
    brain.step(ev.RegionProbed("eu", 2 if has_room_elsewhere else 0))
    brain.step(ev.RegionProbed("onprem", 0))
    out = brain.step(ev.Tick(21.5))
    assert of(out, cmd.Stop) == ([cmd.Stop("us", child)] if has_room_elsewhere else [])
    assert [(c["type"], c.get("cause"), c.get("region")) for c in changes(out)] == (
        [("fail", "pending", None), ("bind", None, "eu")] if has_room_elsewhere else []
    )


@pytest.mark.parametrize(
    ("status", "is_queued", "cause"),
    [("pending", True, ""), ("pending", False, "unplaced"), ("dead", False, "unplaced"), ("running", False, "")],
)
@pytest.mark.parametrize("has_room_elsewhere", [True, False])
def test_an_attempt_without_an_allocation_keeps_its_place_only_in_nomads_queue(
    status: str, is_queued: bool, cause: str, has_room_elsewhere: bool
) -> None:
    brain = Brain(replace(MANIFEST, slots=1, pending_timeout_s=20.0), Limits(grace_s=600))
    sent(brain)
    for name in ("eu", "onprem"):
        brain.step(ev.RegionProbed(name, 2 if has_room_elsewhere else 0))
    brain.step(ev.Tick(12.0))
    out = brain.step(ev.ChildInspected(0, 1, status, is_queued=is_queued))
    out += brain.step(ev.Tick(21.5))
    expected = cause or ("pending" if has_room_elsewhere else "")
    assert [one["cause"] for one in changes(out) if one["type"] == "fail"] == ([expected] if expected else [])


def test_three_drains_under_one_attempt_cost_nothing() -> None:
    """Nomad places the allocation again each time, once after a wait for a node."""
    brain = Brain(replace(MANIFEST, slots=1, max_attempts=1, pending_timeout_s=50.0), Limits(grace_s=600))
    child = sent(brain)
    gone: tuple[Allocation, ...] = ()
    for number in range(3):
        running = allocation(
            id=f"a{number}", client_status="running", create_index=10 * number, modify_index=100 + number
        )
        brain.step(ev.AllocationChanged("us", running))
        drained = replace(
            running, client_status="complete", desired_status="stop", is_moved=True, tasks=KILLED, modify_index=200
        )
        gone = (*gone, drained)
        brain.step(ev.AllocationChanged("us", drained))
        brain.step(ev.Looked(0, 1, drained.id, ()))
        brain.step(ev.Looked(0, 1, drained.id, ()))
        brain.step(ev.ChildInspected(0, 1, "pending", gone, is_queued=True))
        assert brain.slots[0].attempts[0].phase == "sent"
    well = replace(running, id="a3", client_status="complete", tasks=WELL, create_index=40, modify_index=3)
    out = brain.step(ev.ChildInspected(0, 1, "dead", (*gone, replace(well, job_id=child))))
    assert [look.allocation.id for look in of(out, cmd.Look)] == ["a3"], (
        "the newest was made last, whatever changed since"
    )
    assert [attempt.cause for attempt in brain.slots[0].attempts] == [None]


def test_a_drained_child_that_nomad_gives_up_is_not_counted_against_its_slot() -> None:
    """A batch job whose tasks were killed counts as done for Nomad."""
    brain = Brain(replace(MANIFEST, slots=1, max_attempts=1))
    sent(brain)
    one = allocation(client_status="complete", desired_status="stop", is_moved=True, tasks=KILLED)
    assert [one["cause"] for one in changes(failed(brain, one))] == ["moved"]
    assert brain.slots[0].state == "open"


def test_a_regions_own_pending_timeout_wins() -> None:
    brain = Brain(
        replace(MANIFEST, slots=1, pending_timeout_s=20.0), Limits(grace_s=600), pending_timeouts_s={"us": 500.0}
    )
    sent(brain)
    assert not of(brain.step(ev.Tick(100.0)), cmd.Stop)
    assert of(brain.step(ev.Tick(502.0)), cmd.Stop)


def test_a_finished_child_is_purged_when_its_result_is_committed_and_its_logs_are_kept() -> None:
    brain = Brain(replace(MANIFEST, slots=2, results="none", purge_finished=True))
    child = sent(brain)
    out = brain.step(ev.AllocationChanged("us", allocation(client_status="complete", tasks=WELL)))
    assert [(one.slot, one.is_failed) for one in of(out, cmd.KeepLogs)] == [(0, False)]
    assert not of(out, cmd.Stop)
    assert of(brain.step(ev.LogsKept(0, 1)), cmd.Stop) == [cmd.Stop("us", child, is_purge=True)]


def test_canaries_come_first_and_the_rest_when_their_results_are_in_the_index() -> None:
    brain = Brain(replace(MANIFEST, slots=6, canary=1, regions=("us", "eu"), results="none"))
    brain.step(ev.Tick(1.0))
    brain.step(ev.RegionProbed("us", 3))
    out = brain.step(ev.RegionProbed("eu", 3))
    assert [one["region"] for one in changes(out)] == ["us", "eu"]
    write(brain, out)
    for slot, region in ((0, "us"), (1, "eu")):
        brain.step(ev.ParentChecked(region, MANIFEST.spec_hash))
        out = brain.step(ev.Acknowledged(slot, 1, f"train/dispatch-{slot}"))
        write(brain, out)
    assert "bind" not in [one["type"] for one in changes(brain.step(ev.Tick(2.0)))]
    for slot, region in ((0, "us"), (1, "eu")):
        done = allocation(id=f"a{slot}", job_id=f"train/dispatch-{slot}", client_status="complete", tasks=WELL)
        out = brain.step(ev.AllocationChanged(region, done))
        out += write(brain, out)
    assert [one["type"] for one in changes(out)] == ["done", *["bind"] * 4]


@pytest.mark.parametrize(("mode", "reverted", "ends"), [("all", ["us", "eu"], True), ("local", ["us"], False)])
def test_a_failed_canary_reverts_the_job(mode: str, reverted: list[str], ends: bool) -> None:
    manifest = replace(MANIFEST, slots=6, canary=1, canary_on_failure=mode, regions=("us", "eu"))
    brain = Brain(manifest)
    brain.step(ev.Tick(1.0))
    brain.step(ev.RegionProbed("us", 3))
    write(brain, brain.step(ev.RegionProbed("eu", 3)))
    brain.step(ev.ParentChecked("us", MANIFEST.spec_hash))
    write(brain, brain.step(ev.Acknowledged(0, 1, CHILD)))
    out = write(brain, failed(brain, allocation()))
    assert [one.region for one in of(out, cmd.Revert)] == reverted
    assert bool(brain.state.halted) is ends
    assert brain.regions["us"].is_excluded is not ends


def told(out: list[cmd.Command]) -> list[str]:
    return [tell.detail for tell in of(out, cmd.Tell) if tell.kind == "failing"]


def waiting(trouble: str, **changes: Any) -> Allocation:
    """An allocation whose task doesn't start."""
    return allocation(client_status="pending", tasks={"t": TaskState("pending", False, trouble=trouble)}, **changes)


def crashing(trouble: str = "Exit Code: 1") -> Allocation:
    """An allocation whose task Nomad restarts."""
    return allocation(client_status="running", tasks={"t": TaskState("running", False, 1, "", 1, trouble=trouble)})


def test_what_keeps_a_task_from_starting_is_said_at_once_and_once() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    sent(brain)
    news = ev.AllocationChanged("us", waiting("Missing: nomad.var.block(a)"))
    assert told(brain.step(news)) == ["task t: Missing: nomad.var.block(a)"]
    assert told(brain.step(news)) == []
    others = [brain.step(ev.AllocationChanged("us", waiting(f"Missing: {name}"))) for name in "bcdefg"]
    assert sum(map(len, map(told, others))) == 2


def test_a_crash_loop_is_said_with_what_the_task_wrote_last() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    sent(brain)
    assert told(brain.step(ev.AllocationChanged("us", crashing()))) == []
    (inspect,) = of(brain.step(ev.Tick(brain.state.now_s)), cmd.Inspect)
    seen = ev.ChildInspected(0, 1, "running", (crashing(),), "ValueError: bad lr")
    assert (inspect.slot, inspect.attempt) == (0, 1)
    assert told(brain.step(seen)) == ["task t: Exit Code: 1: ValueError: bad lr; Nomad restarts it"]
    assert told(brain.step(seen)) == []
    assert brain.slots[0].attempts[0].is_open


def test_a_task_that_never_started_is_not_said_to_have_waited_for_a_node() -> None:
    brain = Brain(replace(MANIFEST, slots=1, pending_timeout_s=30.0))
    sent(brain)
    write(brain, brain.step(ev.AllocationChanged("us", waiting("Missing: nomad.var.block(a)"))))
    for name in MANIFEST.regions:
        brain.step(ev.RegionHeard(name))
        brain.step(ev.RegionProbed(name, 5))
    out = brain.step(ev.Tick(brain.state.now_s + 31))
    (fail,) = [one for one in changes(out) if one["type"] == "fail"]
    assert fail["reason"] == "it waited 31 s to start in us: task t: Missing: nomad.var.block(a)"


def test_an_attempt_that_is_over_is_not_said_to_be_failing() -> None:
    brain = Brain(replace(MANIFEST, slots=1))
    sent(brain)
    over = allocation(tasks={"t": TaskState("dead", True, 2, "Exit Code: 1", 1, trouble="Exit Code: 1")})
    assert told(brain.step(ev.AllocationChanged("us", over))) == []


def noted(out: list[cmd.Command]) -> list[tuple[str, str]]:
    return [(one["trouble"], one["detail"]) for one in changes(out) if one["type"] == "trouble"]


def test_what_fails_now_stands_in_the_run_log_until_the_task_starts() -> None:
    """Whoever shows the run, or goes on with it, knows what its coordinator saw."""
    brain = Brain(replace(MANIFEST, slots=1))
    sent(brain)
    out = brain.step(ev.AllocationChanged("us", waiting("Missing: nomad.var.block(a)")))
    text = "task t: Missing: nomad.var.block(a)"
    assert noted(out) == [(text, text)]
    append = of(out, cmd.Append)[0]
    write(brain, out)
    seen = Brain(replace(MANIFEST, slots=1))
    for entry in ((Bind(0, 1, "us"), Ack(0, 1, CHILD)), append.changes):
        seen.step(ev.Appended(entry, is_replay=True))
    seen.step(ev.Resumed({}))
    assert seen.slots[0].attempts[0].failing == text
    started = brain.step(ev.AllocationChanged("us", allocation(client_status="running")))
    assert noted(started) == [("", "")]
    for change in proposed(started):
        seen.step(ev.LogRead(((change,),)))
    assert seen.slots[0].attempts[0].failing == ""
    assert brain.slots[0].attempts[0].troubles == seen.slots[0].attempts[0].troubles == (text,)


def test_a_resumed_run_marks_the_failures_that_were_reported_before() -> None:
    brain = Brain(replace(MANIFEST, slots=2, max_attempts=1))
    exit_code = Fail(0, 1, Cause.EXIT, "Exit Code: 1")
    for entry in ((Bind(0, 1, "us"), Bind(1, 1, "us")), (Ack(0, 1, CHILD), Ack(1, 1, f"{CHILD}b")), (exit_code,)):
        brain.step(ev.Appended(entry, is_replay=True))
    out = [*brain.step(ev.Resumed({})), *brain.step(ev.Tick(1.0))]
    assert [(tell.kind, tell.slot, tell.is_earlier) for tell in of(out, cmd.Tell)] == [("failed", 0, True)]
    brain.step(ev.ChildInspected(1, 1, "dead", (allocation(job_id=f"{CHILD}b"),)))
    out = brain.step(ev.Looked(1, 1, "", ()))
    assert [(tell.kind, tell.slot, tell.is_earlier) for tell in of(out, cmd.Tell)] == [("failed", 1, False)]


def test_a_slot_keeps_its_own_error_when_no_region_has_the_runs_job_any_more() -> None:
    brain = Brain(replace(MANIFEST, slots=1, max_attempts=1))
    exit_code = Fail(0, 1, Cause.EXIT, "task t: Exit Code: 1")
    for entry in ((Bind(0, 1, "us"),), (Ack(0, 1, CHILD),), (exit_code,), (Retry((0,)),)):
        brain.step(ev.Appended(entry, is_replay=True))
    brain.step(ev.Resumed({}))
    brain.step(ev.Tick(1.0))
    out = [command for name in MANIFEST.regions for command in brain.step(ev.RegionProbed(name, 2))]
    for _ in MANIFEST.regions:
        out = [
            command
            for bound in write(brain, out)
            if isinstance(bound, cmd.CheckParent)
            for command in brain.step(ev.ParentChecked(bound.region, "other"))
        ]
    names = ", ".join(MANIFEST.regions)
    assert brain.slots[0].reason == f"task t: Exit Code: 1; not tried again: no region can take it: {names}: {CHANGED}"


@pytest.mark.parametrize(
    ("line", "is_code", "cause", "reason"),
    [
        ("Error: no disk", False, Cause.EXIT, "task train: Exit Code: 1: Error: no disk"),
        ("", True, Cause.EXIT, "task train: Exit Code: 1"),
        ("Killed", True, Cause.EXIT, "task train: Exit Code: 1: Killed"),
        (
            "Error: the command ended with exit code 1: ValueError",
            True,
            Cause.EXIT,
            "the command ended with exit code 1: ValueError",
        ),
        ("Error in the code: metrics.json is a list", True, Cause.CODE, "metrics.json is a list"),
        (
            "Error in the code: metrics.json is a list",
            False,
            Cause.EXIT,
            "task train: Exit Code: 1: Error in the code: metrics.json is a list",
        ),
    ],
)
def test_a_task_of_fedml_run_says_how_it_ended_and_nothing_is_said_twice(
    line: str, is_code: bool, cause: Cause, reason: str
) -> None:
    assert explained(Cause.EXIT, "task train: Exit Code: 1", line, is_code=is_code) == (cause, reason)


def test_an_error_in_the_code_is_not_tried_again() -> None:
    code = RunCode("a" * 64, ("python", "train.py"), "none", "", 1, 1)
    brain = Brain(replace(MANIFEST, code=code))
    sent(brain)
    dead = allocation(tasks={"train": TaskState("dead", True, 0, "Exit Code: 1", 1)})
    line = "Error in the code: metrics.json is a list"
    out = brain.step(ev.ChildInspected(0, 1, "dead", (dead,), last_line=line))
    assert len(of(out, cmd.Look)) == 1
    out = brain.step(ev.Looked(0, 1, "", ()))
    assert changes(out) == [
        {"type": "fail", "slot": 0, "attempt": 1, "cause": "code", "reason": "metrics.json is a list"}
    ]
    assert brain.slots[0].state == "failed"
    assert "retry" not in [tell.kind for tell in of(write(brain, out), cmd.Tell)]
