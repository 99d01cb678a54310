"""Where the time of a run went: each moment that is known ends one phase and begins the next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federation.run.attempt_times import AttemptTimes, attempt_times, seconds, together
from federation.run.kept_logs import KeptAttempt
from federation.run.time_spent import PHASES, Recorded, TimeSpent, where_time_went
from federation.run.timeline import Span
from regions.nomad.task_history import AllocationStory, TaskEvent, TaskStory

BEGUN_S = seconds("2026-11-25T00:00:10Z")
OPENED = "2026-11-25T00:00:04Z"
DONE = Span(0, 1, "us", 0.0, 1.0, 1.0, 30.0, "done")
TOLD = AttemptTimes("a", 0, 1, False, BEGUN_S + 3, BEGUN_S + 4, BEGUN_S + 25, BEGUN_S + 31)
RECORDED = {(0, 1): Recorded("2026-11-25T00:00:40Z", "2026-11-25T00:00:43Z")}


def spent(*spans: Span, told: AttemptTimes | None = TOLD, **more: float | int) -> TimeSpent:
    times = {(told.slot, told.attempt): told} if told else {}
    return where_time_went(spans, times, RECORDED, begun_s=BEGUN_S, opened=OPENED, **more)  # type: ignore[arg-type]


def test_an_attempt_is_divided_at_each_known_moment() -> None:
    found = spent(DONE)
    assert dict(found.phases) == {
        "start": 6, "room": 0, "dispatch": 1, "place": 2, "fetch": 1, "compute": 21, "publish": 6, "commit": 2, "retry": 0,
    }  # fmt: skip
    assert found.regions == {"us": found.phases}
    assert found.total_s == 39
    assert (found.attempts, found.exact, found.failed_s) == (1, 1, 0)
    assert tuple(found.phases) == tuple(PHASES)


def test_what_nomad_did_not_tell_counts_as_computing() -> None:
    found = spent(DONE, told=None)
    assert (found.phases["dispatch"], found.phases["compute"], found.phases["commit"]) == (1, 29, 3)
    assert (found.phases["place"], found.phases["fetch"], found.exact) == (0, 0, 0)


def test_a_second_attempt_waits_from_the_end_of_the_first() -> None:
    failed = Span(0, 1, "us", 0.0, 1.0, 1.0, 12.0, "failed")
    found = spent(failed, Span(0, 2, "eu", 14.0, 15.0, 15.0, 33.0, "done"), told=None)
    assert (found.regions["eu"]["room"], found.regions["eu"]["retry"]) == (0, 2)
    assert found.failed_s == 12
    assert found.longest == ("us", "start")


def test_an_open_attempt_counts_until_now_in_the_phase_that_it_is_in() -> None:
    pending = Span(0, 1, "us", 0.0, 1.0, 1.0)
    told = replace(TOLD, started_s=None, main_end_s=None, ended_s=None)
    found = spent(pending, told=told, until_s=BEGUN_S + 20, unbound=2)
    assert (found.phases["place"], found.phases["fetch"], found.phases["compute"]) == (2, 17, 0)
    assert (found.phases["start"], found.phases["room"]) == (3 * 6, 2 * 20)
    assert (found.regions["us"]["start"], found.regions["us"]["room"]) == (6, 0)


@pytest.mark.parametrize("time", ["", "yesterday", "0001-01-01T00:00:00"])
def test_times_that_contradict_one_another_never_count_below_zero(time: str) -> None:
    early = replace(TOLD, received_s=BEGUN_S - 500, started_s=BEGUN_S - 400, main_end_s=BEGUN_S - 300)
    found = where_time_went(
        [DONE], {(0, 1): early}, {(0, 1): Recorded(time, time)}, begun_s=BEGUN_S, opened=time or OPENED
    )
    assert min(found.phases.values()) >= 0


def test_nothing_that_was_spent_gives_no_longest() -> None:
    assert where_time_went([], {}, {}, begun_s=0.0, opened=OPENED).longest is None


def _task(start: str, end: str, hook: str = "", received: str = "") -> TaskStory:
    events = (TaskEvent(received, "Received", ""),) if received else ()
    return TaskStory("dead", False, 0, 0, False, start, end, 100, 64, events, hook=hook)


def test_tasks_of_a_lifecycle_are_told_apart_and_several_allocations_joined() -> None:
    at = "2026-11-25T00:00:{:02}Z".format
    tasks = {
        "train": _task(at(2), at(5), "prestart", at(1)),
        "store": _task(at(6), at(20)),
        "fedml": _task(at(20), at(23), "poststop"),
    }
    story = AllocationStory("a", "job/dispatch-1", "main", 0, "us-1", "complete", tasks)
    one = attempt_times(KeptAttempt(0, 1, "us", False, story, {}))
    moments = (one.received_s, one.started_s, one.main_end_s, one.ended_s)
    assert [moment - seconds(at(0)) for moment in moments if moment is not None] == [1, 2, 20, 23]
    later = replace(one, alloc_id="b", started_s=seconds(at(1)), ended_s=seconds(at(30)), main_end_s=None)
    both = together([one, later, one])[0, 1]
    assert (both.started_s, both.ended_s, both.main_end_s) == (seconds(at(1)), seconds(at(30)), one.main_end_s)
