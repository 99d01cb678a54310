"""Reads values of `regions.model` from Nomad's JSON. Pure: no I/O.

Every function here raises one of `NOT_OF_NOMADS_SHAPE` where the JSON isn't of Nomad's shape; the region client turns that
into `UnexpectedAnswer`. Absent, null and empty mean the same, as they do for Nomad.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobs.errors import ForeignTextError
from jobs.foreign import ANSWER_LIMITS, parse_object
from regions.model import Allocation, DryRun, Event, GroupShortfall, Node, TaskState
from regions.versions import parse_version

NOT_OF_NOMADS_SHAPE = (
    *(KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, ForeignTextError),
)
"""What reading an answer may raise: a server that isn't Nomad, or one that lies, may answer anything."""

_CONSEQUENCES = ("Killing", "Killed", "Not Restarting", "Sibling Task Failed", "Leader Task Dead")
_ALLOC_INDEX: Final = re.compile(r"\[(\d+)\]$")


@dataclass(frozen=True, slots=True)
class RegisteredJob:
    """What a registration answered. `eval_id` is empty for a parameterized or periodic job: nothing is placed yet."""

    eval_id: str
    job_modify_index: int
    warnings: str = ""


def node_from_json(node: Mapping[str, Any]) -> Node:
    """A node, from a list's stub or the whole object. Sizes are what the scheduler may give out: total less reserved.

    A driver counts where Nomad has detected it and calls it healthy.
    """
    total, reserved = node["NodeResources"], node.get("ReservedResources") or {}
    drivers = {
        name for name, info in (node.get("Drivers") or {}).items() if info and info["Detected"] and info["Healthy"]
    }
    return Node(
        id=node["ID"],
        name=node["Name"],
        datacenter=node["Datacenter"],
        is_ready=node["Status"] == "ready"
        and node.get("SchedulingEligibility") != "ineligible"
        and not node.get("Drain")
        and not node.get("DrainStrategy"),
        cpu_mhz=_size(total, "Cpu", "CpuShares") - _size(reserved, "Cpu", "CpuShares"),
        memory_mb=_size(total, "Memory", "MemoryMB") - _size(reserved, "Memory", "MemoryMB"),
        drivers=frozenset(drivers),
        host_volumes=frozenset(node.get("HostVolumes") or {}),
        node_class=node.get("NodeClass") or "",
        node_pool=node.get("NodePool") or "",
        devices=frozenset(f"{one['Vendor']}/{one['Type']}/{one['Name']}" for one in total.get("Devices") or ()),
    )


def _size(resources: Mapping[str, Any], kind: str, unit: str) -> int:
    return int((resources.get(kind) or {}).get(unit) or 0)


def allocation_from_json(alloc: Mapping[str, Any]) -> Allocation:
    """An allocation, from a list's stub, the whole object or an event's payload.

    `next_allocation` is "" in lists of servers before 1.2, which leave it out: read the allocation itself.
    """
    found = _ALLOC_INDEX.search(alloc["Name"])
    if found is None:
        raise ValueError(f"allocation name {alloc['Name']!r} has no index")
    return Allocation(
        id=alloc["ID"],
        job_id=alloc["JobID"],
        group=alloc["TaskGroup"],
        index=int(found.group(1)),
        node_id=alloc.get("NodeID") or "",
        node_name=alloc.get("NodeName") or "",
        client_status=alloc["ClientStatus"],
        desired_status=alloc["DesiredStatus"],
        next_allocation=alloc.get("NextAllocation") or "",
        follow_up_eval=alloc.get("FollowupEvalID") or "",
        modify_index=int(alloc.get("ModifyIndex") or 0),
        tasks={name: _task_state(state) for name, state in (alloc.get("TaskStates") or {}).items()},
        is_preempted=bool(alloc.get("PreemptedByAllocation")),
    )


def _task_state(state: Mapping[str, Any]) -> TaskState:
    events = state.get("Events") or []
    ended = next((event for event in reversed(events) if event.get("Type") == "Terminated"), None)
    return TaskState(
        state=state["State"],
        failed=bool(state["Failed"]),
        restarts=int(state.get("Restarts") or 0),
        last_event=_sentence(_telling(events)) if events else "",
        exit_code=None if ended is None else int(ended.get("ExitCode") or 0),
        is_oom_killed=any((event.get("Details") or {}).get("oom_killed") == "true" for event in events),
    )


def _telling(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The newest event that says what happened to the task; what Nomad did in consequence says little."""
    return next((event for event in reversed(events) if event.get("Type") not in _CONSEQUENCES), events[-1])


def _sentence(event: Mapping[str, Any]) -> str:
    """The event for a person. The event stream leaves DisplayMessage empty, so its parts are used."""
    parts = (event.get("DisplayMessage"), event.get("DriverError"), event.get("Message"), event.get("Type"))
    return next((str(part) for part in parts if part), "")


def dry_run_from_json(answer: Mapping[str, Any]) -> DryRun:
    """The answer to a plan."""
    diff = answer.get("Diff") or {}
    annotations = answer.get("Annotations") or {}
    return DryRun(
        job_modify_index=int(answer["JobModifyIndex"]),
        diff_type=diff.get("Type") or "",
        shortfalls={group: _shortfall(metric) for group, metric in (answer.get("FailedTGAllocs") or {}).items()},
        warnings=answer.get("Warnings") or "",
        diff=diff,
        preempted=len(annotations.get("PreemptedAllocs") or ()),
    )


def _shortfall(metric: Mapping[str, Any]) -> GroupShortfall:
    return GroupShortfall(
        coalesced=int(metric.get("CoalescedFailures") or 0),
        nodes_evaluated=int(metric.get("NodesEvaluated") or 0),
        nodes_filtered=int(metric.get("NodesFiltered") or 0),
        nodes_exhausted=int(metric.get("NodesExhausted") or 0),
        nodes_available=metric.get("NodesAvailable") or {},
        constraint_filtered=metric.get("ConstraintFiltered") or {},
        dimension_exhausted=metric.get("DimensionExhausted") or {},
    )


def events_from_line(line: bytes) -> tuple[int, list[Event]]:
    """One line of the event stream: its index and events; (0, []) for a heartbeat. Raises ForeignTextError if not JSON."""
    message = parse_object(line, source="an event", limits=ANSWER_LIMITS)
    if not message.get("Events"):
        return int(message.get("Index") or 0), []
    return int(message["Index"]), [_event(event) for event in message["Events"]]


def _event(event: Mapping[str, Any]) -> Event:
    payload = event.get("Payload") or {}
    return Event(
        topic=event["Topic"],
        type=event["Type"],
        key=event["Key"],
        namespace=event.get("Namespace") or "",
        index=int(event["Index"]),
        payload=payload.get(event["Topic"]) or payload,
    )


def server_version(members: Sequence[Mapping[str, Any]], nomad_region: str) -> str:
    """The oldest `build` among the region's servers that are alive ("1.6.3"): what all of them can do. "" for none."""
    builds = [
        member["Tags"]["build"]
        for member in members
        if member["Status"] == "alive"
        and member["Tags"].get("role") == "nomad"
        and member["Tags"].get("region") == nomad_region
    ]
    return min(builds, key=parse_version, default="")
