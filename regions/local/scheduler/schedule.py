"""Decides what one evaluation places, stops and replaces, and what fails.

Pure: reads only the snapshot. A dry run is the same function on a snapshot that holds another version of the job.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

from regions.local.scheduler import reschedule
from regions.local.scheduler.feasibility import ready_nodes
from regions.local.scheduler.grants import apply
from regions.local.scheduler.metrics import coalesce
from regions.local.scheduler.placement import Chosen, GroupPlacer, Room
from regions.local.scheduler.properties import Hosts
from regions.local.scheduler.reconcile import NOT_NEEDED, Decision, Slot, desired_updates, reconcile, stopped
from regions.local.state.resources import legacy_resources
from regions.local.state.snapshot import Record, Snapshot, is_terminal, version_key


def schedule(state: Snapshot, evaluation: Record, now_ns: int, new_id: Callable[[], str]) -> Decision:
    """Decides what brings the evaluation's job to the state that it asks for.

    1. Stops all allocations of a job that is stopped or gone.
    2. Sorts each group's allocations into those that stay, stop, or have to be placed.
    3. Stops the allocations of groups that the job no longer has.
    4. Places what is missing, group by group, while room lasts.
    """
    decision = Decision()
    job = state.jobs.get((evaluation["Namespace"], evaluation["JobID"]))
    allocs = state.job_allocs(evaluation["Namespace"], evaluation["JobID"])
    if job is None or job["Stop"]:
        _stop_all(job, allocs, decision)
        return decision
    # Allocations show their job as it was registered: the journal's lines about them refer to that version.
    job = state.versions.get(version_key(job)) or job
    missing = [
        (group, reconcile(state, job, group, allocs, decision, evaluation["ID"], now_ns)) for group in job["TaskGroups"]
    ]
    _stop_removed_groups(job, allocs, decision)
    placing = _Placing(state, job, allocs, decision, evaluation, now_ns, new_id)
    for group, slots in missing:
        placing.place(group, slots)
    return decision


def _stop_all(job: Record | None, allocs: list[Record], decision: Decision) -> None:
    decision.stops += [stopped(alloc, NOT_NEEDED) for alloc in allocs if not is_terminal(alloc)]
    if job is not None:
        by_group = [alloc["TaskGroup"] for alloc in decision.stops]
        decision.queued = {group["Name"]: 0 for group in job["TaskGroups"]}
        decision.updates = {name: desired_updates(Stop=by_group.count(name)) for name in decision.queued}


def _stop_removed_groups(job: Record, allocs: list[Record], decision: Decision) -> None:
    names = {group["Name"] for group in job["TaskGroups"]}
    for alloc in allocs:
        if alloc["TaskGroup"] not in names and not is_terminal(alloc):
            decision.stops.append(stopped(alloc, NOT_NEEDED))
            decision.updates.setdefault(alloc["TaskGroup"], desired_updates())["Stop"] += 1


class _Placing:
    """Places the missing instances of one job. Shares room and hosts between the job's groups."""

    def __init__(
        self,
        state: Snapshot,
        job: Record,
        allocs: list[Record],
        decision: Decision,
        evaluation: Record,
        now_ns: int,
        new_id: Callable[[], str],
    ) -> None:
        self._job, self._decision, self._evaluation = job, decision, evaluation
        self._now_ns, self._new_id = now_ns, new_id
        self._nodes = _rotated(ready_nodes(state, job), evaluation["ID"])
        self._room, self._hosts = Room(state), Hosts(state.nodes)
        self._known: dict[str, bool] = {}
        stopping = {alloc["ID"] for alloc in decision.stops}
        for alloc in decision.stops:
            if not is_terminal(state.allocs.get(alloc["ID"])):
                self._room.free(alloc)
        for alloc in allocs:
            if not is_terminal(alloc) and alloc["ID"] not in stopping:
                self._hosts.add(alloc["NodeID"], alloc["TaskGroup"])

    def place(self, group: Record, slots: list[Slot]) -> None:
        """Places the group's missing instances. Records the first failure and skips the rest of the group."""
        self._decision.queued[group["Name"]] = 0
        if not slots:
            return
        # The search for dynamic ports begins at a different place for each evaluation and group.
        seed = crc32(f"{self._evaluation['ID']}{group['Name']}".encode())
        placer = GroupPlacer(self._job, group, self._nodes, self._room, self._hosts, self._known, seed=seed)
        self._decision.classes |= placer.class_eligibility()
        self._decision.has_escaped |= placer.filter.has_escaped
        template = _new_alloc(self._job, group, self._evaluation, self._now_ns)
        for done, (index, previous) in enumerate(slots):
            is_retry = previous is not None and previous["ClientStatus"] == "failed"
            chosen = placer.place(avoid=previous["NodeID"] if previous is not None and is_retry else "")
            if chosen is None:
                self._fail(group, slots[done:], placer.failure())
                return
            name = f"{self._job['ID']}.{group['Name']}[{index}]"
            alloc = _placed(template, name, chosen, self._new_id())
            if previous is not None:
                self._replace(previous, alloc, is_retry=is_retry)
            self._decision.placed.append(alloc)

    def _fail(self, group: Record, left: list[Slot], failure: Record) -> None:
        coalesce(failure, group, len(left) - 1)
        self._decision.failed[group["Name"]] = failure
        self._decision.queued[group["Name"]] = len(left)
        # A failed allocation that can't be replaced now keeps its state: the blocked evaluation will replace it.
        unplaced = {old["ID"] for _, old in left if old is not None and old["ClientStatus"] == "failed"}
        self._decision.stops = [alloc for alloc in self._decision.stops if alloc["ID"] not in unplaced]

    def _replace(self, previous: Record, alloc: Record, *, is_retry: bool) -> None:
        """Links the new allocation and its predecessor to each other."""
        alloc["PreviousAllocation"] = previous["ID"]
        if is_retry:
            alloc["RescheduleTracker"] = reschedule.tracker(previous, self._now_ns)
        self._decision.stops = [
            {**old, "NextAllocation": alloc["ID"]} if old["ID"] == previous["ID"] else old
            for old in self._decision.stops
        ]


def _placed(template: Record, name: str, chosen: Chosen, alloc_id: str) -> Record:
    """Completes the new allocation with its node and with what it was granted there."""
    node, metrics, granted = chosen
    place = {"ID": alloc_id, "Name": name, "NodeID": node["ID"], "NodeName": node["Name"], "Metrics": metrics}
    if granted is None:
        return {**template, **place}
    resources = apply(template["AllocatedResources"], granted, node)
    cpu = {name: task["Cpu"]["CpuShares"] for name, task in resources["Tasks"].items()}
    cores = {name: len(task["Cpu"]["ReservedCores"] or ()) for name, task in resources["Tasks"].items()}
    if "Processors" not in node["NodeResources"]:
        cores = dict.fromkeys(cores, 0)  # before it shows its cores, Nomad doesn't count them here
    return {
        **template,
        **place,
        "AllocatedResources": resources,
        "Resources": {
            **template["Resources"],
            "CPU": sum(cpu.values()),
            "Cores": sum(cores.values()),
            "Networks": granted["Networks"],
        },
        "SharedResources": {**template["SharedResources"], "Networks": granted["Networks"]},
        "TaskResources": {
            name: {**task, "CPU": cpu[name], "Cores": cores[name]} for name, task in template["TaskResources"].items()
        },
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
    """Rotates the nodes by evaluation, so that not every job begins at the same node."""
    if not nodes:
        return nodes
    at = crc32(eval_id.encode()) % len(nodes)
    return nodes[at:] + nodes[:at]
