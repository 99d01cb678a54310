"""A group and the nodes' free room enter; the node for one more instance leaves, or Nomad's counters of why there is none.

Pure: no I/O, clock or randomness; the order of nodes is the caller's.
"""

from __future__ import annotations

from typing import Any

from regions.local.scheduler.constraints import resolve, satisfied
from regions.local.scheduler.feasibility import Filter
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.transaction import shared_maximum

_CANDIDATES = 2
"""How many fitting nodes are scored for one placement (the power of two choices, as Nomad does for batch jobs)."""


def group_ask(group: Record) -> tuple[int, int, int]:
    """(cpu MHz, memory MB, disk MB) that one instance of the group holds on a node."""
    hooks: dict[str, list[int]] = {}
    for task in group["Tasks"]:
        hook = task["Lifecycle"]
        kind = "main" if hook is None else hook["Hook"] + ("+" if hook["Sidecar"] else "")
        total = hooks.setdefault(kind, [0, 0])
        total[0] += task["Resources"]["CPU"]
        total[1] += task["Resources"]["MemoryMB"]
    cpu, memory = shared_maximum(hooks)
    return cpu, memory, group["EphemeralDisk"]["SizeMB"]


def empty_metrics(nodes: list[Record]) -> Record:
    """Nomad's AllocMetric before anything was looked at."""
    available: dict[str, int] = {}
    for node in nodes:
        available[node["Datacenter"]] = available.get(node["Datacenter"], 0) + 1
    return {
        "AllocationTime": 0,
        "ClassExhausted": None,
        "ClassFiltered": None,
        "CoalescedFailures": 0,
        "ConstraintFiltered": None,
        "DimensionExhausted": None,
        "NodesAvailable": available,
        "NodesEvaluated": 0,
        "NodesExhausted": 0,
        "NodesFiltered": 0,
        "NodesInPool": len(nodes),
        "QuotaExhausted": None,
        "ResourcesExhausted": None,
        "ScoreMetaData": None,
        "Scores": None,
    }


class Room:
    """What is used on every node within one plan: the snapshot's usage plus what the plan placed and stopped."""

    def __init__(self, state: Snapshot) -> None:
        self._usage = state.usage
        self._changed: dict[str, tuple[int, int, int]] = {}

    def used(self, node_id: str) -> tuple[int, int, int]:
        return self._changed.get(node_id) or self._usage.get(node_id) or (0, 0, 0)

    def add(self, node_id: str, ask: tuple[int, int, int], sign: int = 1) -> None:
        cpu, memory, disk = self.used(node_id)
        self._changed[node_id] = (cpu + sign * ask[0], memory + sign * ask[1], disk + sign * ask[2])


class Hosts:
    """How many live allocations of one job each node has, for anti-affinity and distinct_hosts."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}

    def add(self, node_id: str, group: str) -> None:
        groups = self._counts.setdefault(node_id, {})
        groups[group] = groups.get(group, 0) + 1

    def of_group(self, node_id: str, group: str) -> int:
        return self._counts.get(node_id, {}).get(group, 0)

    def of_job(self, node_id: str) -> int:
        return sum(self._counts.get(node_id, {}).values())


def _is_distinct(constraints: list[Record] | None) -> bool:
    return any(one["Operand"] == "distinct_hosts" and one["RTarget"] != "false" for one in constraints or ())


class GroupPlacer:
    """Places instances of one group, one by one, while room lasts.

    Room only shrinks while it works, so a node that was full once isn't looked at again.
    """

    def __init__(
        self, job: Record, group: Record, nodes: list[Record], room: Room, hosts: Hosts, known: dict[str, bool]
    ) -> None:
        self._group, self._nodes, self._room, self._hosts = group, nodes, room, hosts
        self.ask = group_ask(group)
        self.filter = Filter(job, group, known)
        self._distinct_job = _is_distinct(job["Constraints"])
        self._distinct_group = _is_distinct(group["Constraints"])
        self._affinities = [
            *(job["Affinities"] or ()),
            *(group["Affinities"] or ()),
            *(one for task in group["Tasks"] for one in task["Affinities"] or ()),
        ]
        self._feasible_nodes, self._metrics = self._feasible()
        self._open = list(self._feasible_nodes)
        self._next = 0
        self._has_placed = False

    def place(self, avoid: str = "") -> tuple[Record, Record] | None:
        """(node, metrics) of one more instance, and its room is taken; None when there is none (see `failure`)."""
        candidates: list[tuple[float, dict[str, float], Record]] = []
        at = self._next
        while self._open and len(candidates) < min(_CANDIDATES, len(self._open)):
            at %= len(self._open)
            node = self._open[at]
            if any(node is seen for _, _, seen in candidates):
                break
            if self._exhausted(node):
                del self._open[at]
                continue
            scores = self._scores(node, avoid)
            counting = sum(1 for name, value in scores.items() if value or name == "binpack")
            candidates.append((sum(scores.values()) / counting, scores, node))
            at += 1
        if not candidates:
            return None
        self._next = at
        score, scores, node = max(candidates, key=lambda candidate: candidate[0])
        self._room.add(node["ID"], self.ask)
        self._hosts.add(node["ID"], self._group["Name"])
        self._has_placed = True
        metrics = {
            **self._metrics,
            "NodesEvaluated": self._metrics["NodesFiltered"] + len(candidates),
            "ScoreMetaData": [{"NodeID": node["ID"], "NormScore": score, "Scores": scores}],
        }
        return node, metrics

    def failure(self) -> Record:
        """Nomad's counters for an instance that found no node."""
        # By now every class is known: a node that can't run the group is counted under its class, not its reason.
        metrics = self._feasible()[1] if self._has_placed else dict(self._metrics)
        metrics["NodesEvaluated"] = len(self._nodes)
        exhausted: dict[str, int] = {}
        classes: dict[str, int] = {}
        for node in self._feasible_nodes:
            dimension = self._exhausted(node)
            if dimension == "distinct_hosts":
                _count_filtered(metrics, node, dimension)
            elif dimension:
                metrics["NodesExhausted"] += 1
                exhausted[dimension] = exhausted.get(dimension, 0) + 1
                if node["NodeClass"]:
                    classes[node["NodeClass"]] = classes.get(node["NodeClass"], 0) + 1
        metrics["DimensionExhausted"] = exhausted or None
        metrics["ClassExhausted"] = classes or None
        coalesce(metrics, self._group, 0)
        return metrics

    def class_eligibility(self) -> dict[str, bool]:
        """Computed class → whether it could ever run this group."""
        feasible = {node["ComputedClass"] for node in self._feasible_nodes}
        return {node["ComputedClass"]: node["ComputedClass"] in feasible for node in self._nodes}

    def _feasible(self) -> tuple[list[Record], Record]:
        """Nodes that fit but for their room, and the counters of the others."""
        metrics = empty_metrics(self._nodes)
        feasible = []
        for node in self._nodes:
            reason = self.filter.reason(node)
            if reason:
                _count_filtered(metrics, node, reason)
            else:
                feasible.append(node)
        return feasible, metrics

    def _exhausted(self, node: Record) -> str | None:
        if (self._distinct_job and self._hosts.of_job(node["ID"])) or (
            self._distinct_group and self._hosts.of_group(node["ID"], self._group["Name"])
        ):
            return "distinct_hosts"
        used = self._room.used(node["ID"])
        for dimension, need, taken, total in zip(("cpu", "memory", "disk"), self.ask, used, _totals(node), strict=True):
            if taken + need > total:
                return dimension
        return None

    def _scores(self, node: Record, avoid: str) -> dict[str, float]:
        cpu, memory, _ = self._room.used(node["ID"])
        total_cpu, total_memory, _ = _totals(node)
        free_cpu = 1 - (cpu + self.ask[0]) / total_cpu
        free_memory = 1 - (memory + self.ask[1]) / total_memory
        fit = min(18.0, max(0.0, 20.0 - 10.0**free_cpu - 10.0**free_memory))
        others = self._hosts.of_group(node["ID"], self._group["Name"])
        return {
            "binpack": fit / 18.0,
            "job-anti-affinity": -(others + 1) / self._group["Count"] if others else 0.0,
            "node-affinity": self._affinity(node),
            "node-reschedule-penalty": -1.0 if node["ID"] == avoid else 0.0,
        }

    def _affinity(self, node: Record) -> float:
        if not self._affinities:
            return 0.0
        matched = sum(
            one["Weight"]
            for one in self._affinities
            if satisfied(one, node) and resolve(one["LTarget"], node) is not None
        )
        return float(matched / sum(abs(one["Weight"]) for one in self._affinities))


def coalesce(metrics: Record, group: Record, more: int) -> None:
    """Counts further instances that failed for the same reason."""
    metrics["CoalescedFailures"] += more
    exhausted = metrics["DimensionExhausted"]
    if not exhausted:
        return
    times = metrics["CoalescedFailures"] + 1
    metrics["ResourcesExhausted"] = {
        task["Name"]: {
            "CPU": times * task["Resources"]["CPU"] if "cpu" in exhausted else 0,
            "Cores": 0,
            "Devices": None,
            "DiskMB": 0,
            "IOPS": 0,
            "MemoryMB": times * task["Resources"]["MemoryMB"] if "memory" in exhausted else 0,
            "MemoryMaxMB": 0,
            "Networks": None,
        }
        for task in group["Tasks"]
    }


def _count_filtered(metrics: Record, node: Record, reason: str) -> None:
    metrics["NodesFiltered"] += 1
    counts: dict[str, Any] = dict(metrics["ConstraintFiltered"] or {})
    counts[reason] = counts.get(reason, 0) + 1
    metrics["ConstraintFiltered"] = counts
    if node["NodeClass"]:
        classes = dict(metrics["ClassFiltered"] or {})
        classes[node["NodeClass"]] = classes.get(node["NodeClass"], 0) + 1
        metrics["ClassFiltered"] = classes


def _totals(node: Record) -> tuple[int, int, int]:
    have, reserved = node["NodeResources"], node["ReservedResources"]
    return (
        have["Cpu"]["CpuShares"] - reserved["Cpu"]["CpuShares"],
        have["Memory"]["MemoryMB"] - reserved["Memory"]["MemoryMB"],
        have["Disk"]["DiskMB"] - reserved["Disk"]["DiskMB"],
    )
