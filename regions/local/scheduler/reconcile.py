"""Sorts a group's allocations: which stay, stop or are updated, and which instances are missing."""

from __future__ import annotations

from regions.local.scheduler import reschedule
from regions.local.scheduler.feasibility import is_possible
from regions.local.state.snapshot import Record, Snapshot, is_client_terminal, is_terminal

NOT_NEEDED = "alloc not needed due to job update"
MIGRATING = "alloc is being migrated"
UPDATING = "alloc is being updated due to job update"
LOST = "alloc is lost since its node is down"
RESCHEDULED = "alloc was rescheduled because it failed"
Slot = tuple[int, Record | None]
"""(index, predecessor) of an instance that has to be placed"""
_BATCH_NS = 5_000_000_000
"""Reschedules that are due within this time of each other share an evaluation."""


class Decision:
    """The result of one evaluation."""

    def __init__(self) -> None:
        self.stops: list[Record] = []
        self.changed: list[Record] = []
        """Allocations that go on with other fields, updated in place."""
        self.placed: list[Record] = []
        self.failed: dict[str, Record] = {}
        self.queued: dict[str, int] = {}
        self.updates: dict[str, dict[str, int]] = {}
        """Group → Nomad's DesiredUpdates."""
        self.classes: dict[str, bool] = {}
        self.has_escaped = False
        self.later: list[tuple[int, list[Record]]] = []
        """(time in ns, allocations to reschedule then)"""

    @property
    def is_noop(self) -> bool:
        return not (self.stops or self.changed or self.placed)


def reconcile(
    state: Snapshot, job: Record, group: Record, allocs: list[Record], decision: Decision, eval_id: str, now_ns: int
) -> list[Slot]:
    """Returns the instances of a group that have to be placed. Records stops and updates in the decision.

    1. Sorts the group's allocations into those that are kept, replaced or over.
    2. Stops kept allocations beyond the group's count.
    3. Brings kept allocations to the job's current version, in place or by a replacement.
    4. Adds a new instance for every index that is still free.
    """
    sorting = _Sorting(state, job, group, decision, eval_id, now_ns)
    for alloc in sorted(allocs, key=lambda one: (index_of(one), one["CreateIndex"])):
        if alloc["TaskGroup"] == group["Name"]:
            sorting.sort(alloc)
    sorting.stop_surplus()
    sorting.update_kept()
    return sorting.fill()


class _Sorting:
    """The steps of `reconcile` for one group."""

    def __init__(
        self, state: Snapshot, job: Record, group: Record, decision: Decision, eval_id: str, now_ns: int
    ) -> None:
        self._state, self._job, self._group, self._decision = state, job, group, decision
        self._eval_id, self._now_ns = eval_id, now_ns
        self._updates = decision.updates[group["Name"]] = desired_updates()
        self._keep: dict[int, Record] = {}
        self._missing: list[Slot] = []
        self._ended: set[int] = set()
        """Indexes of what a drain stops for good."""
        self._failed_later: list[tuple[int, Record]] = []

    def sort(self, alloc: Record) -> None:
        if is_terminal(alloc):
            self._sort_ended(alloc)
        elif is_lost(self._state, alloc):
            self._replace(alloc, {**stopped(alloc, LOST), "ClientStatus": "lost"})
        elif (alloc.get("DesiredTransition") or {}).get("Migrate"):
            if _stays_unplaced(alloc):
                self._decision.stops.append(stopped(alloc, MIGRATING))
                self._updates["Migrate"] += 1
                self._ended.add(index_of(alloc))
            else:
                self._replace(alloc, stopped(alloc, MIGRATING), counted_as="Migrate")
        else:
            self._keep[index_of(alloc)] = alloc

    def _sort_ended(self, alloc: Record) -> None:
        if _stays_unplaced(alloc):
            self._keep[index_of(alloc)] = alloc
            return
        if alloc["Job"]["JobModifyIndex"] != self._job["JobModifyIndex"] and _is_older(alloc["Job"], self._job):
            self._updates["Ignore"] += 1
            return
        was_replaced = alloc.get("NextAllocation") or (alloc["DesiredStatus"] != "run" and not _ran_well(alloc))
        if was_replaced or alloc["ClientStatus"] == "lost":
            return
        if alloc["ClientStatus"] == "failed" and self._reschedule(alloc):
            return
        self._keep[index_of(alloc)] = alloc

    def _reschedule(self, alloc: Record) -> bool:
        """Replaces a failed allocation if that is due, or notes when it will be. Returns whether it was replaced."""
        forced = (alloc.get("DesiredTransition") or {}).get("ForceReschedule")
        at_ns = self._now_ns if forced and alloc["DesiredStatus"] == "run" else reschedule.next_time(alloc)
        if at_ns is None:
            return False
        if reschedule.is_due(at_ns, self._now_ns, alloc, self._eval_id):
            self._replace(alloc, stopped(alloc, RESCHEDULED), counted_as="Place")
            return True
        if not alloc.get("FollowupEvalID"):
            self._failed_later.append((at_ns, alloc))
        return False

    def _replace(self, alloc: Record, stop: Record, *, counted_as: str = "") -> None:
        self._decision.stops.append(stop)
        self._missing.append((index_of(alloc), alloc))
        if counted_as:
            self._updates[counted_as] += 1

    def stop_surplus(self) -> None:
        """Stops kept allocations beyond the group's count, highest index first. Then limits the replacements."""
        count = self._group["Count"]
        for index in sorted(self._keep, reverse=True)[: max(0, len(self._keep) - count)]:
            alloc = self._keep.pop(index)
            self._updates["Stop"] += 1
            if not is_terminal(alloc):
                self._decision.stops.append(stopped(alloc, NOT_NEEDED))
        self._missing = sorted(self._missing, key=lambda slot: slot[0])[
            : max(0, count - len(self._keep) - len(self._ended))
        ]

    def update_kept(self) -> None:
        for alloc in self._keep.values():
            old = alloc["Job"]
            if is_terminal(alloc) or old["JobModifyIndex"] == self._job["JobModifyIndex"]:
                self._updates["Ignore"] += 1
            elif needs_restart(old, self._job, self._group) or not self._may_stay(alloc):
                self._replace(alloc, stopped(alloc, UPDATING), counted_as="DestructiveUpdate")
            else:
                self._updates["InPlaceUpdate"] += 1
                self._decision.changed.append({**alloc, "Job": self._job})

    def _may_stay(self, alloc: Record) -> bool:
        """Returns whether the job may still use the allocation's node."""
        return is_possible(self._state.nodes.get(alloc["NodeID"]), self._job, self._group)

    def fill(self) -> list[Slot]:
        count = self._group["Count"]
        taken = {*self._keep, *self._ended, *(index for index, _ in self._missing)}
        fresh = [index for index in range(count) if index not in taken][: max(0, count - len(taken))]
        self._updates["Place"] += len(fresh)
        self._decision.later += _batched(self._failed_later)
        return [*self._missing, *((index, None) for index in fresh)]


def index_of(alloc: Record) -> int:
    """Returns the allocation's index in its group."""
    return int(alloc["Name"].rpartition("[")[2].rstrip("]"))


def desired_updates(**counts: int) -> dict[str, int]:
    names = ("Canary", "DestructiveUpdate", "Ignore", "InPlaceUpdate", "Migrate", "Place", "Preemptions", "Stop")
    return {name: counts.get(name, 0) for name in names}


def stopped(alloc: Record, why: str) -> Record:
    return {**alloc, "DesiredStatus": "stop", "DesiredDescription": why}


def is_lost(state: Snapshot, alloc: Record) -> bool:
    """Returns whether the allocation's node is gone, and the allocation with it."""
    node = state.nodes.get(alloc["NodeID"])
    return node is None or node["Status"] == "down"


def _stays_unplaced(alloc: Record) -> bool:
    """Returns whether a drain stopped the allocation for good: it counts as placed, whatever its tasks did."""
    return bool((alloc.get("DesiredTransition") or {}).get("MigrateDisablePlacement"))


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
    """Returns whether running tasks have to be replaced to match the job."""
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
