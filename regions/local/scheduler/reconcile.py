"""A group and its allocations enter; what stays, stops, is updated or is missing leaves."""

from __future__ import annotations

from regions.local.scheduler import reschedule
from regions.local.scheduler.feasibility import is_possible
from regions.local.state.snapshot import Record, Snapshot, is_client_terminal, is_terminal

NOT_NEEDED = "alloc not needed due to job update"
TAINTED = "alloc not needed as node is tainted"
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


def reconcile(
    state: Snapshot, job: Record, group: Record, allocs: list[Record], decision: Decision, eval_id: str, now_ns: int
) -> list[tuple[int, Record | None]]:
    """The instances (index, predecessor) of a group that have to be placed; stops and updates go to the decision."""
    keep: dict[int, Record] = {}
    missing: list[tuple[int, Record | None]] = []
    updates = decision.updates[group["Name"]] = desired_updates()
    failed_later: list[tuple[int, Record]] = []
    for alloc in sorted(allocs, key=lambda one: (index_of(one), one["CreateIndex"])):
        if alloc["TaskGroup"] != group["Name"]:
            continue
        index = index_of(alloc)
        live = not is_terminal(alloc)
        if alloc["Job"]["JobModifyIndex"] != job["JobModifyIndex"] and not live and _is_older(alloc["Job"], job):
            updates["Ignore"] += 1
            continue
        if live and is_lost(state, alloc):
            decision.stops.append({**stopped(alloc, LOST), "ClientStatus": "lost"})
            missing.append((index, alloc))
            continue
        if live and (alloc.get("DesiredTransition") or {}).get("Migrate"):
            decision.stops.append(stopped(alloc, MIGRATING))
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
                decision.stops.append(stopped(alloc, RESCHEDULED))
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
            decision.stops.append(stopped(alloc, NOT_NEEDED))
    missing = sorted(missing, key=lambda slot: slot[0])[: max(0, group["Count"] - len(keep))]
    for alloc in keep.values():
        old = alloc["Job"]
        if is_terminal(alloc) or old["JobModifyIndex"] == job["JobModifyIndex"]:
            updates["Ignore"] += 1
        elif needs_restart(old, job, group) or not _may_stay(state, alloc, job, group):
            updates["DestructiveUpdate"] += 1
            decision.stops.append(stopped(alloc, UPDATING))
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


def index_of(alloc: Record) -> int:
    """The allocation's index in its group."""
    return int(alloc["Name"].rpartition("[")[2].rstrip("]"))


def desired_updates(**counts: int) -> dict[str, int]:
    names = ("Canary", "DestructiveUpdate", "Ignore", "InPlaceUpdate", "Migrate", "Place", "Preemptions", "Stop")
    return {name: counts.get(name, 0) for name in names}


def stopped(alloc: Record, why: str) -> Record:
    return {**alloc, "DesiredStatus": "stop", "DesiredDescription": why}


def is_lost(state: Snapshot, alloc: Record) -> bool:
    """Whether the allocation's node is gone, and it with it."""
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


def needs_restart(old: Record, job: Record, group: Record) -> bool:
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
