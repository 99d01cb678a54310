from __future__ import annotations

import pytest

from regions.local.scheduler import reschedule
from regions.local.state.snapshot import Record
from regions.local.state.times import format_time
from tests.regions.local.state.builders import job

SECOND = 10**9
_UNLIMITED = {"Attempts": 0, "Unlimited": True, "Delay": 5 * SECOND, "Interval": 0, "MaxDelay": 40 * SECOND}


def _failed(policy: Record, at_s: int, tracker: Record | None = None) -> Record:
    wanted = job()
    wanted["TaskGroups"][0]["ReschedulePolicy"] |= policy
    return {
        "ID": f"alloc-{at_s}",
        "NodeID": "node",
        "Job": wanted,
        "TaskGroup": "g",
        "ClientStatus": "failed",
        "DesiredStatus": "run",
        "ModifyTime": at_s * SECOND,
        "RescheduleTracker": tracker,
        "TaskStates": {"t": {"FinishedAt": format_time(at_s * SECOND)}},
    }


def _delays(policy: Record, held_s: list[int]) -> list[int]:
    """How long was waited each time, when each attempt failed so many seconds after it was placed."""
    found, tracker, now_s = [], None, 1000
    for held in held_s:
        now_s += held
        alloc = _failed(policy, now_s, tracker)
        at_ns = reschedule.next_time(alloc)
        assert at_ns is not None
        found.append(at_ns // SECOND - now_s)
        tracker = reschedule.tracker(alloc, at_ns)
        now_s += found[-1]
    return found


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("constant", [5, 5, 5, 5, 5, 5, 5]),
        ("exponential", [5, 10, 20, 40, 40, 40, 40]),
        ("fibonacci", [5, 5, 10, 15, 25, 40, 40]),
    ],
)
def test_delays_grow_by_their_function_up_to_the_ceiling(function: str, expected: list[int]) -> None:
    assert _delays(_UNLIMITED | {"DelayFunction": function}, [1] * 7) == expected


@pytest.mark.parametrize(
    ("function", "expected"), [("exponential", [5, 10, 20, 40, 5, 10]), ("fibonacci", [5, 5, 10, 15, 25, 40, 5, 5])]
)
def test_an_attempt_that_held_long_at_the_ceiling_begins_the_delays_anew(function: str, expected: list[int]) -> None:
    held = [1] * len(expected)
    held[-2] = 3600
    assert _delays(_UNLIMITED | {"DelayFunction": function}, held) == expected


def test_attempts_are_counted_within_the_interval() -> None:
    policy = {
        "Attempts": 2,
        "Unlimited": False,
        "Delay": 5 * SECOND,
        "Interval": 60 * SECOND,
        "DelayFunction": "constant",
    }
    tracker = {"Events": [{"RescheduleTime": at * SECOND, "Delay": 5 * SECOND} for at in (900, 1000)]}
    assert reschedule.next_time(_failed(policy, 1030, tracker)) == 1035 * SECOND
    tracker["Events"][0]["RescheduleTime"] = 980 * SECOND
    assert reschedule.next_time(_failed(policy, 1030, tracker)) is None
    assert reschedule.next_time(_failed(policy | {"Attempts": 0}, 1030, tracker)) is None


def test_the_tracker_keeps_what_its_policy_looks_at() -> None:
    events = [{"RescheduleTime": at * SECOND, "Delay": 5 * SECOND} for at in range(1000, 1010)]
    counted = {"Attempts": 20, "Unlimited": False, "Interval": 60 * SECOND}
    assert len(reschedule.tracker(_failed(counted, 1020, {"Events": events}), 1020 * SECOND)["Events"]) == 11
    assert len(reschedule.tracker(_failed(counted, 1020, {"Events": events}), 1064 * SECOND)["Events"]) == 7
    assert len(reschedule.tracker(_failed(_UNLIMITED, 1020, {"Events": events}), 1020 * SECOND)["Events"]) == 6
