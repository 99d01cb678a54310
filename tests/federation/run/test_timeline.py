"""When each attempt of a run waited and computed, from its log, its results and what was kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federation.run.attempt_times import attempt_times
from federation.run.brain.changes import parse_entry
from federation.run.kept_logs import KeptAttempt
from federation.run.timeline import Logged, Timeline, running_at, timeline
from regions.nomad.task_history import AllocationStory, TaskEvent, TaskStory, TaskUsage


def entry(second: float, changes: tuple[dict[str, object], ...]) -> Logged:
    """One entry of a run log, at a second of one minute."""
    return _at(second), parse_entry(changes)


def _at(second: float) -> str:
    return f"2026-11-25T00:00:{second:09.6f}Z"


def _change(kind: str, slot: int, attempt: int = 1, **more: object) -> dict[str, object]:
    return {"type": kind, "slot": slot, "attempt": attempt, **more}


def _kept(slot: int, *tasks: tuple[float, float], is_failed: bool = False) -> KeptAttempt:
    told = {
        f"task-{number}": TaskStory("dead", is_failed, 0, 0, False, _at(start), _at(end), 100, 64, ())
        for number, (start, end) in enumerate(tasks)
    }
    story = AllocationStory("a", "job/dispatch-1", "main", 0, "us-1", "complete", told)
    return KeptAttempt(slot, 1, "us", is_failed, story, {})


ENTRIES = (
    entry(10, (_change("bind", 0, region="us"), _change("bind", 1, region="us"), _change("bind", 2, region="eu"))),
    entry(11, (_change("ack", 0, job_id="c0"), _change("ack", 1, job_id="c1"), _change("ack", 2, job_id="c2"))),
    entry(20, (_change("fail", 2, reason="exit code 7"), _change("bind", 2, 2, region="us"))),
    entry(21, (_change("ack", 2, 2, job_id="c3"),)),
)


@pytest.fixture
def run() -> Timeline:
    committed = {(0, 1): _at(15), (1, 1): _at(19), (2, 2): _at(30)}
    return timeline(ENTRIES, committed, [attempt_times(_kept(0, (12, 13), (13, 14.5)))], {"us": 36.0, "eu": None})


def test_each_attempt_waits_and_computes_and_what_nomad_told_is_preferred(run: Timeline) -> None:
    told = [(s.slot, s.attempt, s.region, s.bound_s, s.started_s, s.ended_s, s.outcome) for s in run.spans]
    assert told == [
        (0, 1, "us", 0, 2, 4.5, "done"),
        (1, 1, "us", 0, 1, 9, "done"),
        (2, 1, "eu", 0, 1, 10, "failed"),
        (2, 2, "us", 10, 11, 20, "done"),
    ]
    assert [(span.waited_s, span.computed_s) for span in run.spans] == [(2, 2.5), (1, 8), (1, 9), (1, 9)]
    assert run.spans[2].reason == "exit code 7"
    assert [span.node for span in run.spans] == ["us-1", "", "", ""], "what Nomad told is kept of slot 0 only"


def test_regions_are_summed_and_priced(run: Timeline) -> None:
    us, eu = run.regions
    assert (us.attempts, us.done, us.failed, us.computed_s, us.peak, us.cost) == (
        3,
        3,
        0,
        19.5,
        2,
        pytest.approx(0.195),
    )
    assert (eu.attempts, eu.done, eu.failed, eu.peak, eu.cost) == (1, 0, 1, 1, None)


def test_the_run_is_held_against_its_lower_bound(run: Timeline) -> None:
    assert run.took_s == 20
    assert run.bound_s == pytest.approx(28.5 / 3)
    assert run.efficiency == pytest.approx(0.475)


def test_a_run_that_goes_on_has_open_attempts_and_no_end(run: Timeline) -> None:
    going = timeline(ENTRIES[:2], {}, [], {"us": None, "eu": None})
    assert [(span.outcome, span.started_s, span.ended_s) for span in going.spans] == [("open", 1, None)] * 3
    assert (going.took_s, going.efficiency) == (0, None)
    assert running_at(going.spans, [0.5, 1.0, 5.0], 6.0) == [0, 3, 3]


def test_what_was_open_ends_when_the_run_is_cancelled() -> None:
    told = timeline((*ENTRIES, entry(30, ({"type": "cancel", "reason": "wrong data"},))), {(0, 1): _at(25)}, (), {})
    ends = {(span.slot, span.attempt): (span.outcome, span.ended_s, span.reason) for span in told.spans}
    assert ends[0, 1] == ("done", 15.0, "")
    assert ends[1, 1] == ends[2, 2] == ("stopped", 20.0, "cancelled: wrong data")
    assert ends[2, 1] == ("failed", 10.0, "exit code 7")
    assert told.took_s == 20.0


def test_an_attempt_that_never_began_only_waited() -> None:
    failed = timeline(ENTRIES[:1], {}, [attempt_times(_kept(2, is_failed=True))], {"us": None, "eu": None})
    assert failed.spans[2].started_s is None
    assert failed.spans[2].computed_s == 0


def test_a_log_without_bindings_gives_an_empty_timeline() -> None:
    empty = timeline([entry(1, ({"type": "cancel"},))], {}, [], {"us": 1.0})
    assert (empty.spans, empty.took_s, empty.bound_s, empty.efficiency) == ((), 0, 0, None)


def test_what_was_seen_of_tasks_is_held_against_what_they_asked_for() -> None:
    kept = [
        replace(_kept(0, (12, 13)), used={"task-0": used}) for used in (TaskUsage(410.0, 70.2), TaskUsage(90.0, 99.0))
    ]
    (fit,) = timeline(ENTRIES, {}, map(attempt_times, [*kept, _kept(1, (12, 13))]), {"us": None, "eu": None}).tasks
    assert (fit.task, fit.sampled, fit.cpu_mhz, fit.memory_mb) == ("task-0", 2, 100, 64)
    assert (fit.used_cpu_mhz, fit.used_memory_mb) == (410, 99)
    assert fit.fitting == (550, 128)


def test_a_task_that_nomad_restarted_computes_from_its_first_run_on() -> None:
    crashed = _kept(0, (14, 14.5))
    task = crashed.story.tasks["task-0"]
    events = tuple(TaskEvent(_at(second), kind, "") for second, kind in ((12, "Started"), (13, "Terminated")))
    crashed = replace(crashed, story=replace(crashed.story, tasks={"task-0": replace(task, events=events)}))
    span = timeline(ENTRIES, {(0, 1): _at(15)}, [attempt_times(crashed)], {"us": None}).spans[0]
    assert (span.waited_s, span.computed_s) == (2, 2.5)
