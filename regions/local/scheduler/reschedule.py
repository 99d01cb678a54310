"""Decides by a reschedule policy whether and when a failed allocation is replaced."""

from __future__ import annotations

from typing import Any

from regions.local.state.snapshot import Record
from regions.local.state.times import parse_time

_WINDOW_NS = 1_000_000_000
_KEPT_EVENTS = 5


def group_of(job: Record, name: str) -> Record | None:
    """Returns the job's group of that name."""
    for group in job["TaskGroups"]:
        if group["Name"] == name:
            found: Record = group
            return found
    return None


def policy_of(alloc: Record) -> Record:
    """Returns the reschedule policy under which the allocation was placed."""
    group = group_of(alloc["Job"], alloc["TaskGroup"])
    policy: Record = group["ReschedulePolicy"] if group else {"Attempts": 0, "Unlimited": False}
    return policy


def next_time(alloc: Record) -> int | None:
    """Returns when (ns) the policy allows to replace the failed allocation. None: never."""
    policy = policy_of(alloc)
    if alloc["ClientStatus"] != "failed" or alloc["DesiredStatus"] != "run":
        return None
    if not policy["Attempts"] and not policy["Unlimited"]:
        return None
    failed_at, wait = _failed_at(alloc), delay(alloc)
    events = _events(alloc)
    if events and policy["Attempts"] > 0:
        recent = sum(1 for event in events if failed_at - event["RescheduleTime"] < policy["Interval"])
        if recent >= policy["Attempts"] or wait >= policy["Interval"]:
            return None
    return failed_at + wait


def is_due(at_ns: int, now_ns: int, alloc: Record, eval_id: str) -> bool:
    """Returns whether the replacement is placed now: it is due, or this evaluation was made for it."""
    return alloc.get("FollowupEvalID") == eval_id or at_ns - now_ns <= _WINDOW_NS


def delay(alloc: Record) -> int:
    """Returns the pause (ns) before the next attempt. Starts over after an attempt that outlasted the ceiling."""
    policy, events = policy_of(alloc), _events(alloc)
    first: int = policy["Delay"]
    if policy["DelayFunction"] not in ("exponential", "fibonacci") or not events:
        return first
    last: int = events[-1]["Delay"]
    wait = first
    if policy["DelayFunction"] == "exponential":
        wait = last * 2
    elif len(events) > 1:
        before: int = events[-2]["Delay"]
        wait = first if before == policy["MaxDelay"] and last == first else last + before
    if 0 < policy["MaxDelay"] < wait:
        held_ns = _failed_at(alloc) - events[-1]["RescheduleTime"]
        return first if held_ns > policy["MaxDelay"] else int(policy["MaxDelay"])
    return wait


def tracker(previous: Record, now_ns: int) -> dict[str, Any]:
    """Builds the replacement's RescheduleTracker."""
    policy, events = policy_of(previous), _events(previous)
    if policy["Attempts"] > 0:
        events = [event for event in events if now_ns - event["RescheduleTime"] <= policy["Interval"]]
    else:
        events = events[-_KEPT_EVENTS:]
    event = {
        "Delay": delay(previous),
        "PrevAllocID": previous["ID"],
        "PrevNodeID": previous["NodeID"],
        "RescheduleTime": now_ns,
    }
    return {"Events": [*events, event]}


def _events(alloc: Record) -> list[Record]:
    return (alloc.get("RescheduleTracker") or {}).get("Events") or []


def _failed_at(alloc: Record) -> int:
    """Returns when (ns) the last task ended."""
    ended = [state["FinishedAt"] for state in (alloc.get("TaskStates") or {}).values() if state.get("FinishedAt")]
    return max((parse_time(text) for text in ended), default=alloc["ModifyTime"])
