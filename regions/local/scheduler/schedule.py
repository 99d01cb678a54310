"""A snapshot and an evaluation enter, what is to be placed, stopped, replaced and what failed leaves.

Pure: reads the snapshot and nothing else, so that a dry run is the same function on a snapshot with another job in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

from regions.local.scheduler import reschedule
from regions.local.scheduler.feasibility import named_datacenters, ready_nodes
from regions.local.scheduler.grants import apply
from regions.local.scheduler.placement import Chosen, GroupPlacer, Room, coalesce
from regions.local.scheduler.properties import Hosts
from regions.local.scheduler.reconcile import NOT_NEEDED, Decision, desired_updates, reconcile, stopped
from regions.local.scheduler.sysbatch import Slot, missing_on_nodes, place_on_nodes
from regions.local.state.resources import legacy_resources
from regions.local.state.snapshot import Record, Snapshot, is_terminal, version_key


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
                decision.stops.append(stopped(alloc, NOT_NEEDED))
        for group in job["TaskGroups"] if job else ():
            decision.queued[group["Name"]] = 0
        if job:
            by_group = [alloc["TaskGroup"] for alloc in decision.stops]
            decision.updates = {name: desired_updates(Stop=by_group.count(name)) for name in decision.queued}
        return decision
    # Allocations show their job as it was registered: that is what their journal's lines refer to.
    job = state.versions.get(version_key(job)) or job
    nodes = _rotated(ready_nodes(state, job), evaluation["ID"])
    room = Room(state)
    missing: list[tuple[Record, list[tuple[int, Record | None]]]] = []
    on_nodes: list[tuple[Record, list[Slot]]] = []
    for group in job["TaskGroups"]:
        if job["Type"] == "sysbatch":
            on_nodes.append((group, missing_on_nodes(state, job, group, allocs, nodes, decision)))
        else:
            missing.append((group, reconcile(state, job, group, allocs, decision, evaluation["ID"], now_ns)))
    names = {group["Name"] for group in job["TaskGroups"]}
    for alloc in allocs:
        if alloc["TaskGroup"] not in names and not is_terminal(alloc):
            decision.stops.append(stopped(alloc, NOT_NEEDED))
            updates = decision.updates.setdefault(alloc["TaskGroup"], desired_updates())
            updates["Stop"] += 1
    for alloc in decision.stops:
        if not is_terminal(state.allocs.get(alloc["ID"])):
            room.free(alloc)
    stopping = {alloc["ID"] for alloc in decision.stops}
    hosts, known = Hosts(state.nodes), dict[str, bool]()
    for alloc in allocs:
        if not is_terminal(alloc) and alloc["ID"] not in stopping:
            hosts.add(alloc["NodeID"], alloc["TaskGroup"])
    for group, places in on_nodes:
        decision.queued[group["Name"]] = 0
        template, seed = _new_alloc(job, group, evaluation, now_ns), _seed(evaluation, group)
        for index, previous, chosen in place_on_nodes(state, job, group, places, room, decision, seed):
            alloc = _placed(template, f"{job['ID']}.{group['Name']}[{index}]", chosen, new_id())
            if previous is not None:
                alloc["PreviousAllocation"] = previous["ID"]
            decision.placed.append(alloc)
    for group, slots in missing:
        decision.queued[group["Name"]] = 0
        if slots:
            placer = GroupPlacer(
                job,
                group,
                nodes,
                room,
                hosts,
                known,
                datacenters=named_datacenters(state, job),
                seed=_seed(evaluation, group),
            )
            _place(job, group, slots, placer, decision, evaluation, now_ns, new_id)
    return decision


def _seed(evaluation: Record, group: Record) -> int:
    """Where the search for dynamic ports begins: elsewhere for each evaluation and group."""
    return crc32(f"{evaluation['ID']}{group['Name']}".encode())


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
        alloc = _placed(template, f"{job['ID']}.{group['Name']}[{index}]", chosen, new_id())
        if previous is not None:
            alloc["PreviousAllocation"] = previous["ID"]
            if is_retry:
                alloc["RescheduleTracker"] = reschedule.tracker(previous, now_ns)
            for at, old in enumerate(decision.stops):
                if old["ID"] == previous["ID"]:
                    decision.stops[at] = {**old, "NextAllocation": alloc["ID"]}
        decision.placed.append(alloc)


def _placed(template: Record, name: str, chosen: Chosen, alloc_id: str) -> Record:
    """The new allocation on the node that was chosen for it, with what it was granted there."""
    node, metrics, granted = chosen
    place = {"ID": alloc_id, "Name": name, "NodeID": node["ID"], "NodeName": node["Name"], "Metrics": metrics}
    if granted is None:
        return {**template, **place}
    resources = apply(template["AllocatedResources"], granted, node)
    cpu = sum(task["Cpu"]["CpuShares"] for task in resources["Tasks"].values())
    return {
        **template,
        **place,
        "AllocatedResources": resources,
        "Resources": {**template["Resources"], "CPU": cpu, "Networks": granted["Networks"]},
        "SharedResources": {**template["SharedResources"], "Networks": granted["Networks"]},
    }


def _new_alloc(job: Record, group: Record, evaluation: Record, now_ns: int) -> Record:
    tasks = {task["Name"]: task for task in group["Tasks"]}
    disk_mb = group["EphemeralDisk"]["SizeMB"]
    total: dict[str, Any] = legacy_resources(disk_mb=disk_mb)
    for task in tasks.values():
        total["CPU"] += task["Resources"]["CPU"]
        total["MemoryMB"] += task["Resources"]["MemoryMB"]
        total["MemoryMaxMB"] += task["Resources"]["MemoryMB"]
    return {
        "AllocatedResources": {
            "Shared": {"DiskMB": disk_mb, "Networks": None, "Ports": None},
            "TaskLifecycles": {name: task["Lifecycle"] for name, task in tasks.items()},
            "Tasks": {
                name: {
                    "Cpu": {"CpuShares": task["Resources"]["CPU"], "ReservedCores": None},
                    "Devices": None,
                    # memory_max counts only where the operator allows to oversubscribe, which is off as in Nomad.
                    "Memory": {"MemoryMB": task["Resources"]["MemoryMB"], "MemoryMaxMB": 0},
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
        "SharedResources": legacy_resources(disk_mb=disk_mb),
        "TaskGroup": group["Name"],
        "TaskResources": {name: task["Resources"] for name, task in tasks.items()},
    }


def _rotated(nodes: list[Record], eval_id: str) -> list[Record]:
    """Nodes in an order that differs by evaluation, so that not every job begins at the same one."""
    if not nodes:
        return nodes
    at = crc32(eval_id.encode()) % len(nodes)
    return nodes[at:] + nodes[:at]
