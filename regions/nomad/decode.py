"""Reads values of `regions.model` from Nomad's JSON. Pure: no I/O.

Every function here raises one of `json_types.NOT_OF_NOMADS_SHAPE` where the JSON isn't of Nomad's shape; the region client
turns that into `UnexpectedAnswer`. Absent, null and empty mean the same, as they do for Nomad.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from jobs.foreign import parse_object
from jobs.frozen import frozen
from jobs.json_limits import ANSWER_LIMITS
from regions.model import Allocation, DryRun, Event, GroupShortfall, Node, TaskState
from regions.nomad.json_types import counts_of, object_of, text_of, whole_of
from regions.nomad.resources import device_model
from regions.nomad.versions import parse_version

_ERRORS = ("DriverError", "DownloadError", "ValidationError", "SetupError", "KillReason")
_RELEASES = ("Leader Task Dead", "Main Tasks Dead")
_CONSEQUENCES = ("Killing", "Killed", "Not Restarting", "Sibling Task Failed", *_RELEASES)
_TROUBLES = (
    *("Failed Artifact Download", "Driver Failure", "Setup Failure", "Failed Validation", "Task hook failed"),
    *("Failed Restoring Task", "Plugin became unhealthy", "Disk Resources Exceeded", "Template"),
)
"""Events that keep a task from starting. `Template` says which value a template waits for."""
_ALLOC_INDEX: Final = re.compile(r"\[(\d+)\]$")


@frozen
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
        id=text_of(node, "ID"),
        name=text_of(node, "Name"),
        datacenter=text_of(node, "Datacenter"),
        is_ready=node["Status"] == "ready"
        and node.get("SchedulingEligibility") != "ineligible"
        and not node.get("Drain")
        and not node.get("DrainStrategy"),
        cpu_mhz=_size(total, "Cpu", "CpuShares") - _size(reserved, "Cpu", "CpuShares"),
        memory_mb=_size(total, "Memory", "MemoryMB") - _size(reserved, "Memory", "MemoryMB"),
        drivers=frozenset(drivers),
        host_volumes=frozenset(node.get("HostVolumes") or {}),
        node_class=text_of(node, "NodeClass", ""),
        node_pool=text_of(node, "NodePool", ""),
        devices={
            device_model(device): sum(bool(object_of(one).get("Healthy")) for one in device.get("Instances") or ())
            for device in total.get("Devices") or ()
        },
    )


def job_from_json(job: object) -> dict[str, Any]:
    """A job or its stub, as Nomad gives it. The types of the fields that fedml uses are checked."""
    found = object_of(job)
    for name in ("ID", "ParentID", "Status", "DispatchIdempotencyToken", "Namespace", "Region", "Type"):
        text_of(found, name, "")
    for name in ("JobModifyIndex", "ModifyIndex", "Version", "SubmitTime", "CreateIndex"):
        whole_of(found.get(name) or 0)
    for name, value in object_of(found.get("Meta") or {}).items():
        if not isinstance(value, str):
            raise TypeError(f"meta {name!a}")
    for group in map(object_of, found.get("TaskGroups") or ()):
        for task in group.get("Tasks") or ():
            object_of(task)
    return found


def evaluation_from_json(evaluation: object) -> dict[str, Any]:
    """An evaluation, as Nomad gives it. The types of the fields that fedml uses are checked."""
    found = object_of(evaluation)
    for name in ("Status", "JobID"):
        text_of(found, name, "")
    for metric in object_of(found.get("FailedTGAllocs") or {}).values():
        object_of(metric)
    return found


def summary_from_json(summary: object) -> dict[str, Any]:
    """A job's summary, as Nomad gives it: counts of children and of each group."""
    found = object_of(summary)
    counts_of(found, "Children")
    for group in object_of(found.get("Summary") or {}).values():
        for count in object_of(group).values():
            whole_of(count)
    return found


def written_streams(files: object) -> frozenset[tuple[str, str]]:
    """(task, stdout or stderr) of each stream of which the list of an allocation's `alloc/logs` shows any bytes. Nomad names
    its files `TASK.STREAM.NUMBER`."""
    found = set()
    for file in map(object_of, files or ()):  # type: ignore[call-overload]
        task, _, rest = text_of(file, "Name").rpartition(".")[0].rpartition(".")
        if task and rest in ("stdout", "stderr") and int(file.get("Size") or 0) > 0 and not file.get("IsDir"):
            found.add((task, rest))
    return frozenset(found)


def _size(resources: Mapping[str, Any], kind: str, unit: str) -> int:
    return int((resources.get(kind) or {}).get(unit) or 0)


def allocation_from_json(alloc: Mapping[str, Any]) -> Allocation:
    """An allocation, from a list's stub, the whole object or an event's payload."""
    found = _ALLOC_INDEX.search(text_of(alloc, "Name"))
    if found is None:
        raise ValueError(f"allocation name {alloc['Name']!r} has no index")
    return Allocation(
        id=text_of(alloc, "ID"),
        job_id=text_of(alloc, "JobID"),
        group=text_of(alloc, "TaskGroup"),
        index=int(found.group(1)),
        node_id=text_of(alloc, "NodeID", ""),
        node_name=text_of(alloc, "NodeName", ""),
        client_status=text_of(alloc, "ClientStatus"),
        desired_status=text_of(alloc, "DesiredStatus"),
        next_allocation=text_of(alloc, "NextAllocation", ""),
        follow_up_eval=text_of(alloc, "FollowupEvalID", ""),
        create_index=int(alloc.get("CreateIndex") or 0),
        modify_index=int(alloc.get("ModifyIndex") or 0),
        tasks={name: _task_state(state) for name, state in (alloc.get("TaskStates") or {}).items()},
        is_preempted=bool(alloc.get("PreemptedByAllocation")),
        is_moved=bool((alloc.get("DesiredTransition") or {}).get("Migrate")),
        client_description=text_of(alloc, "ClientDescription", ""),
    )


def _task_state(state: Mapping[str, Any]) -> TaskState:
    events = state.get("Events") or []
    ended = next((event for event in reversed(events) if event.get("Type") == "Terminated"), None)
    types = _last_run([str(event.get("Type")) for event in events])
    return TaskState(
        state=text_of(state, "State"),
        failed=bool(state["Failed"]),
        restarts=int(state.get("Restarts") or 0),
        last_event=_sentence(_telling(events)) if events else "",
        exit_code=None if ended is None else int(ended.get("ExitCode") or 0),
        is_oom_killed=any((event.get("Details") or {}).get("oom_killed") == "true" for event in events),
        is_killed="Killing" in types,
        is_released=any(release in types for release in _RELEASES),
        trouble=_trouble(events),
    )


def _last_run(types: list[str]) -> list[str]:
    """What happened in a task's last run, from its start to its end; what came after its end doesn't count.

    Nomad keeps the newest events only, so the start may be missing.
    """
    if "Terminated" not in types:
        return types
    end = len(types) - 1 - types[::-1].index("Terminated")
    if "Restarting" in types[end:]:  # another run was to follow
        return types[end:]
    begin = next((place for place in range(end - 1, -1, -1) if types[place] in ("Started", "Terminated")), 0)
    return types[begin:end]


def _telling(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The newest event about the task itself, not about what Nomad did in consequence."""
    return next(
        (event for event in reversed(events) if event.get("Type") not in _CONSEQUENCES or _is_cause(event)), events[-1]
    )


def _is_cause(event: Mapping[str, Any]) -> bool:
    """Whether it is a kill for a reason of its own, such as a template that can't be rendered."""
    fails = event.get("FailsTask") or (event.get("Details") or {}).get("fails_task") == "true"
    return event.get("Type") == "Killing" and bool(fails)


def _trouble(events: Sequence[Mapping[str, Any]]) -> str:
    """What keeps the task from starting, or how its last run ended before Nomad restarted it by itself."""
    types = [str(event.get("Type")) for event in events]
    has_started = False
    for place in range(len(events) - 1, -1, -1):
        event = events[place]
        if types[place] == "Terminated":
            is_asked = "Restart Signaled" in types[place - 1 : place] or "Killing" in types[max(0, place - 2) : place]
            has_failed = bool(event.get("ExitCode") or event.get("Signal"))
            return end_of_run(event) if has_failed and not is_asked and "Restarting" in types[place:] else ""
        if not has_started and (types[place] in _TROUBLES or _is_cause(event)):
            return _sentence(event)
        has_started = has_started or types[place] == "Started"
    return ""


def _sentence(event: Mapping[str, Any]) -> str:
    """The event for a person, in one line. The event stream leaves DisplayMessage empty, so its parts are used."""
    own = end_of_run(event) if event.get("Type") == "Terminated" else ""
    parts = (event.get("DisplayMessage"), *map(event.get, _ERRORS), own, event.get("Message"), event.get("Type"))
    return next((" ".join(str(part).split()) for part in parts if part), "")


def end_of_run(event: Mapping[str, Any]) -> str:
    """How a run ended, in the same words whether Nomad gives a sentence or not."""
    if (event.get("Details") or {}).get("oom_killed") == "true":
        return "killed for its memory (OOM)"
    signal = f", Signal: {event['Signal']}" if event.get("Signal") else ""
    return f"Exit Code: {event.get('ExitCode') or 0}{signal}"


def dry_run_from_json(answer: Mapping[str, Any]) -> DryRun:
    """The answer to a plan."""
    diff = answer.get("Diff") or {}
    annotations = answer.get("Annotations") or {}
    return DryRun(
        job_modify_index=int(answer["JobModifyIndex"]),
        diff_type=text_of(diff, "Type", ""),
        shortfalls={
            group: shortfall_from_json(metric) for group, metric in (answer.get("FailedTGAllocs") or {}).items()
        },
        warnings=text_of(answer, "Warnings", ""),
        diff=diff,
        preempted=len(annotations.get("PreemptedAllocs") or ()),
    )


def shortfall_from_json(metric: Mapping[str, Any]) -> GroupShortfall:
    return GroupShortfall(
        coalesced=int(metric.get("CoalescedFailures") or 0),
        nodes_evaluated=int(metric.get("NodesEvaluated") or 0),
        nodes_filtered=int(metric.get("NodesFiltered") or 0),
        nodes_exhausted=int(metric.get("NodesExhausted") or 0),
        nodes_available=counts_of(metric, "NodesAvailable"),
        constraint_filtered=counts_of(metric, "ConstraintFiltered"),
        dimension_exhausted=counts_of(metric, "DimensionExhausted"),
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
        topic=text_of(event, "Topic"),
        type=text_of(event, "Type"),
        key=text_of(event, "Key"),
        namespace=text_of(event, "Namespace", ""),
        index=int(event["Index"]),
        payload=object_of(payload.get(event["Topic"]) or payload),
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
