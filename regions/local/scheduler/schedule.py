"""A snapshot and an evaluation enter, what is to be placed, stopped, replaced and what failed leaves.

Pure: reads the snapshot and nothing else, so that a dry run is the same function on a snapshot with another job in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

from regions.local.scheduler import reschedule
from regions.local.scheduler.placement import GroupPlacer, Hosts, Room, coalesce, is_possible, ready_nodes
from regions.local.state.snapshot import Record, Snapshot, is_client_terminal, is_terminal
from regions.local.state.transaction import alloc_size

NOT_NEEDED = "alloc not needed due to job update"
MIGRATING = "alloc is being migrated"
UPDATING = "alloc is being updated due to job update"
LOST = "alloc is lost since its node is down"
RESCHEDULED = "alloc was rescheduled because it failed"
_BATCH_NS = 5_000_000_000
"""Reschedules that are due within this time of one another share an evaluation."""


class Decision:
    """What one evaluation leads to."""

    def __init__(self) -> None:
        self.stops: list[Record] = []
        self.changed: list[Record] = []
        """Allocations that go on with other fields: updated in place, marked for a later reschedule."""
        self.placed: list[Record] = []
        self.failed: dict[str, Record] = {}
        self.queued: dict[str, int] = {}
        self.updates: dict[str, dict[str, int]] = {}
        """Group → Nomad's DesiredUpdates."""
        self.classes: dict[str, bool] = {}
        self.has_escaped = False
        self.later: list[tuple[int, list[Record]]] = []
        """(when in ns, allocations) to be rescheduled then."""

    @property
    def is_noop(self) -> bool:
        return not (self.stops or self.changed or self.placed)


def schedule(state: Snapshot, evaluation: Record, now_ns: int, new_id: Callable[[], str]) -> Decision:
    """What brings the evaluation's job to what it asks for.

    1. A stopped job's allocations stop. 2. Each group's allocations are sorted: what stays, what moves, what failed.
    3. What is missing is placed, group by group, while room lasts.
    """
    job = state.jobs.get((evaluation["Namespace"], evaluation["JobID"]))
    allocs = state.job_allocs(evaluation["Namespace"], evaluation["JobID"])
    decision = Decision()
    if job is None or job["Stop"]:
        for alloc in allocs:
            if not is_terminal(alloc):
                decision.stops.append(_stopped(alloc, NOT_NEEDED))
        for group in job["TaskGroups"] if job else ():
            decision.queued[group["Name"]] = 0
        if job:
            by_group = [alloc["TaskGroup"] for alloc in decision.stops]
            decision.updates = {name: _updates(Stop=by_group.count(name)) for name in decision.queued}
        return decision
    nodes = _rotated(ready_nodes(state, job), evaluation["ID"])
    room = Room(state)
    missing = [
        (group, _reconcile(state, job, group, allocs, decision, evaluation["ID"], now_ns))
        for group in job["TaskGroups"]
    ]
    names = {group["Name"] for group in job["TaskGroups"]}
    for alloc in allocs:
        if alloc["TaskGroup"] not in names and not is_terminal(alloc):
            decision.stops.append(_stopped(alloc, NOT_NEEDED))
            updates = decision.updates.setdefault(alloc["TaskGroup"], _updates())
            updates["Stop"] += 1
    for alloc in decision.stops:
        if not is_terminal(state.allocs.get(alloc["ID"])):
            room.add(alloc["NodeID"], alloc_size(alloc), -1)
    stopped = {alloc["ID"] for alloc in decision.stops}
    hosts, known = Hosts(), dict[str, bool]()
    for alloc in allocs:
        if not is_terminal(alloc) and alloc["ID"] not in stopped:
            hosts.add(alloc["NodeID"], alloc["TaskGroup"])
    for group, slots in missing:
        decision.queued[group["Name"]] = 0
        if slots:
            placer = GroupPlacer(job, group, nodes, room, hosts, known)
            _place(job, group, slots, placer, decision, evaluation, now_ns, new_id)
    return decision


def _reconcile(
    state: Snapshot, job: Record, group: Record, allocs: list[Record], decision: Decision, eval_id: str, now_ns: int
) -> list[tuple[int, Record | None]]:
    """The instances (index, predecessor) of a group that have to be placed; stops and updates go to the decision."""
    keep: dict[int, Record] = {}
    missing: list[tuple[int, Record | None]] = []
    updates = decision.updates[group["Name"]] = _updates()
    failed_later: list[tuple[int, Record]] = []
    for alloc in sorted(allocs, key=lambda one: (index_of(one), one["CreateIndex"])):
        if alloc["TaskGroup"] != group["Name"]:
            continue
        index = index_of(alloc)
        live = not is_terminal(alloc)
        if alloc["Job"]["JobModifyIndex"] != job["JobModifyIndex"] and not live and _is_older(alloc["Job"], job):
            updates["Ignore"] += 1
            continue
        if live and _is_lost(state, alloc):
            decision.stops.append({**_stopped(alloc, LOST), "ClientStatus": "lost"})
            missing.append((index, alloc))
            continue
        if live and (alloc.get("DesiredTransition") or {}).get("Migrate"):
            decision.stops.append(_stopped(alloc, MIGRATING))
            updates["Migrate"] += 1
            missing.append((index, alloc))
            continue
        if not live and (alloc.get("NextAllocation") or (alloc["DesiredStatus"] != "run" and not _ran_well(alloc))):
            continue
        if alloc["ClientStatus"] == "lost":
            continue
        if alloc["ClientStatus"] == "failed":
            forced = (alloc.get("DesiredTransition") or {}).get("ForceReschedule")
            at_ns = now_ns if forced and alloc["DesiredStatus"] == "run" else reschedule.next_time(alloc)
            if at_ns is not None and reschedule.is_due(at_ns, now_ns, alloc, eval_id):
                decision.stops.append(_stopped(alloc, RESCHEDULED))
                updates["Place"] += 1
                missing.append((index, alloc))
                continue
            if at_ns is not None and not alloc.get("FollowupEvalID"):
                failed_later.append((at_ns, alloc))
        keep[index] = alloc
    for index in sorted(keep, reverse=True)[: max(0, len(keep) - group["Count"])]:
        alloc = keep.pop(index)
        updates["Stop"] += 1
        if not is_terminal(alloc):
            decision.stops.append(_stopped(alloc, NOT_NEEDED))
    missing = sorted(missing, key=lambda slot: slot[0])[: max(0, group["Count"] - len(keep))]
    for alloc in keep.values():
        old = alloc["Job"]
        if is_terminal(alloc) or old["JobModifyIndex"] == job["JobModifyIndex"]:
            updates["Ignore"] += 1
        elif _needs_restart(old, job, group) or not _may_stay(state, alloc, job, group):
            updates["DestructiveUpdate"] += 1
            decision.stops.append(_stopped(alloc, UPDATING))
            missing.append((index_of(alloc), alloc))
        else:
            updates["InPlaceUpdate"] += 1
            decision.changed.append({**alloc, "Job": job})
    taken = {*keep, *(index for index, _ in missing)}
    fresh = [index for index in range(group["Count"]) if index not in taken]
    fresh = fresh[: max(0, group["Count"] - len(taken))]
    updates["Place"] += len(fresh)
    decision.later += _batched(failed_later)
    return [*missing, *((index, None) for index in fresh)]


def _place(
    job: Record,
    group: Record,
    slots: list[tuple[int, Record | None]],
    placer: GroupPlacer,
    decision: Decision,
    evaluation: Record,
    now_ns: int,
    new_id: Callable[[], str],
) -> None:
    template = _new_alloc(job, group, evaluation, now_ns)
    decision.classes |= placer.class_eligibility()
    decision.has_escaped |= placer.filter.has_escaped
    for done, (index, previous) in enumerate(slots):
        is_retry = previous is not None and previous["ClientStatus"] == "failed"
        chosen = placer.place(avoid=previous["NodeID"] if previous is not None and is_retry else "")
        if chosen is None:
            left = len(slots) - done
            failure = placer.failure()
            coalesce(failure, group, left - 1)
            decision.failed[group["Name"]] = failure
            decision.queued[group["Name"]] = left
            # A failed allocation that can't be replaced now keeps its state: the blocked evaluation will replace it.
            unplaced = {
                slot[1]["ID"] for slot in slots[done:] if slot[1] is not None and slot[1]["ClientStatus"] == "failed"
            }
            decision.stops = [alloc for alloc in decision.stops if alloc["ID"] not in unplaced]
            return
        node, metrics = chosen
        alloc = {
            **template,
            "ID": new_id(),
            "Name": f"{job['ID']}.{group['Name']}[{index}]",
            "NodeID": node["ID"],
            "NodeName": node["Name"],
            "Metrics": metrics,
        }
        if previous is not None:
            alloc["PreviousAllocation"] = previous["ID"]
            if is_retry:
                alloc["RescheduleTracker"] = reschedule.tracker(previous, now_ns)
            for at, old in enumerate(decision.stops):
                if old["ID"] == previous["ID"]:
                    decision.stops[at] = {**old, "NextAllocation": alloc["ID"]}
        decision.placed.append(alloc)


def _new_alloc(job: Record, group: Record, evaluation: Record, now_ns: int) -> Record:
    tasks = {task["Name"]: task for task in group["Tasks"]}
    disk_mb = group["EphemeralDisk"]["SizeMB"]
    total: dict[str, Any] = {**_NO_RESOURCES, "DiskMB": disk_mb}
    for task in tasks.values():
        total["CPU"] += task["Resources"]["CPU"]
        total["MemoryMB"] += task["Resources"]["MemoryMB"]
        total["MemoryMaxMB"] += task["Resources"]["MemoryMaxMB"] or task["Resources"]["MemoryMB"]
    return {
        "AllocatedResources": {
            "Shared": {"DiskMB": disk_mb, "Networks": None, "Ports": None},
            "TaskLifecycles": {name: task["Lifecycle"] for name, task in tasks.items()},
            "Tasks": {
                name: {
                    "Cpu": {"CpuShares": task["Resources"]["CPU"], "ReservedCores": None},
                    "Devices": None,
                    "Memory": {
                        "MemoryMB": task["Resources"]["MemoryMB"],
                        "MemoryMaxMB": task["Resources"]["MemoryMaxMB"],
                    },
                    "Networks": None,
                }
                for name, task in tasks.items()
            },
        },
        "ClientStatus": "pending",
        "CreateTime": now_ns,
        "DesiredStatus": "run",
        "EvalID": evaluation["ID"],
        "Job": job,
        "JobID": job["ID"],
        "ModifyTime": now_ns,
        "Namespace": job["Namespace"],
        "Resources": total,
        "SharedResources": {**_NO_RESOURCES, "DiskMB": disk_mb},
        "TaskGroup": group["Name"],
        "TaskResources": {name: task["Resources"] for name, task in tasks.items()},
    }


_NO_RESOURCES = {
    "CPU": 0,
    "Cores": 0,
    "Devices": None,
    "DiskMB": 0,
    "IOPS": 0,
    "MemoryMB": 0,
    "MemoryMaxMB": 0,
    "Networks": None,
}


def index_of(alloc: Record) -> int:
    """The allocation's index in its group."""
    return int(alloc["Name"].rpartition("[")[2].rstrip("]"))


def _updates(**counts: int) -> dict[str, int]:
    names = ("Canary", "DestructiveUpdate", "Ignore", "InPlaceUpdate", "Migrate", "Place", "Preemptions", "Stop")
    return {name: counts.get(name, 0) for name in names}


def _stopped(alloc: Record, why: str) -> Record:
    return {**alloc, "DesiredStatus": "stop", "DesiredDescription": why}


def _is_lost(state: Snapshot, alloc: Record) -> bool:
    node = state.nodes.get(alloc["NodeID"])
    return node is None or node["Status"] == "down"


def _is_older(old: Record, job: Record) -> bool:
    return bool(old["Version"] < job["Version"] or old["CreateIndex"] < job["CreateIndex"])


def _ran_well(alloc: Record) -> bool:
    states = (alloc.get("TaskStates") or {}).values()
    return (
        is_client_terminal(alloc)
        and bool(states)
        and all(state["State"] == "dead" and not state["Failed"] for state in states)
    )


def _needs_restart(old: Record, job: Record, group: Record) -> bool:
    """Whether running tasks have to be replaced to become what the job now says."""
    before = reschedule.group_of(old, group["Name"])
    if before is None or old["Meta"] != job["Meta"]:
        return True
    if any(
        before[field] != group[field]
        for field in ("EphemeralDisk", "Networks", "Affinities", "Spreads", "Volumes", "Meta")
    ):
        return True
    if old["Affinities"] != job["Affinities"] or old["Spreads"] != job["Spreads"]:
        return True
    tasks = {task["Name"]: task for task in before["Tasks"]}
    if len(tasks) != len(group["Tasks"]):
        return True
    return any(
        task["Name"] not in tasks
        or any(tasks[task["Name"]][field] != task[field] for field in _TASK_FIELDS)
        or tasks[task["Name"]]["LogConfig"]["Disabled"] != task["LogConfig"]["Disabled"]
        for task in group["Tasks"]
    )


def _may_stay(state: Snapshot, alloc: Record, job: Record, group: Record) -> bool:
    """Whether the allocation's node is still one that the job may use."""
    node = state.nodes.get(alloc["NodeID"])
    return is_possible(node, job, group)


_TASK_FIELDS = (
    "Driver",
    "User",
    "Config",
    "Env",
    "Artifacts",
    "Vault",
    "Templates",
    "VolumeMounts",
    "Meta",
    "Resources",
    "Identity",
)


def _batched(failed: list[tuple[int, Record]]) -> list[tuple[int, list[Record]]]:
    batches: list[tuple[int, list[Record]]] = []
    for at_ns, alloc in sorted(failed, key=lambda item: item[0]):
        if batches and at_ns - batches[-1][0] <= _BATCH_NS:
            batches[-1][1].append(alloc)
        else:
            batches.append((at_ns, [alloc]))
    return batches


def _rotated(nodes: list[Record], eval_id: str) -> list[Record]:
    """Nodes in an order that differs by evaluation, so that not every job begins at the same one."""
    if not nodes:
        return nodes
    at = crc32(eval_id.encode()) % len(nodes)
    return nodes[at:] + nodes[:at]
