"""Finds the node for one more instance of a group, or Nomad's counters of why there is none.

Pure: no I/O, clock or randomness. The caller gives the order of nodes.
"""

from __future__ import annotations

from regions.local.scheduler.constraints import resolve, satisfied
from regions.local.scheduler.feasibility import Filter
from regions.local.scheduler.grants import Held, asks_for_more, grant, held_by, shares_per_core
from regions.local.scheduler.metrics import coalesce, count, count_filtered, empty_metrics
from regions.local.scheduler.properties import DistinctProperty, Hosts, Spreads
from regions.local.state.derived import alloc_size, shared_maximum
from regions.local.state.snapshot import Record, Snapshot

Chosen = tuple[Record, Record, Record | None]
"""(node, metrics, what was granted besides room)"""
_CANDIDATES = 2
"""Number of fitting nodes scored for one placement (the power of two choices, as Nomad does for batch jobs)."""
_CANDIDATES_BY_TASTE = 100
"""Number for a group with affinities or spreads, or its count where that is more."""


def group_ask(group: Record, mhz_per_core: int = 0) -> tuple[int, int, int]:
    """Returns (cpu MHz, memory MB, disk MB) of one instance of the group."""
    cpu, memory = shared_maximum(
        (
            task["Lifecycle"],
            task["Resources"]["Cores"] * mhz_per_core or task["Resources"]["CPU"],
            task["Resources"]["MemoryMB"],
        )
        for task in group["Tasks"]
    )
    return cpu, memory, group["EphemeralDisk"]["SizeMB"]


class Room:
    """Usage of every node within one plan: the snapshot's, plus what the plan placed and stopped."""

    def __init__(self, state: Snapshot) -> None:
        self._usage = state.usage
        self._changed: dict[str, tuple[int, int, int]] = {}
        self._state = state
        self._stopped: set[str] = set()
        self._taken: dict[str, set[Held]] = {}

    def used(self, node_id: str) -> tuple[int, int, int]:
        return self._changed.get(node_id) or self._usage.get(node_id) or (0, 0, 0)

    def add(self, node_id: str, ask: tuple[int, int, int], sign: int = 1) -> None:
        cpu, memory, disk = self.used(node_id)
        self._changed[node_id] = (cpu + sign * ask[0], memory + sign * ask[1], disk + sign * ask[2])

    def free(self, alloc: Record) -> None:
        """Frees what the allocation holds. Call it before anything is placed."""
        self.add(alloc["NodeID"], alloc_size(alloc), -1)
        self._stopped.add(alloc["ID"])

    def taken(self, node_id: str) -> set[Held]:
        """Returns the devices, cores and ports of the node that aren't free. The caller adds what it places."""
        if node_id not in self._taken:
            live = (alloc for alloc in self._state.live_allocs(node_id) if alloc["ID"] not in self._stopped)
            self._taken[node_id] = {held for alloc in live for held in held_by(alloc)}
        return self._taken[node_id]


def _is_distinct(constraints: list[Record] | None) -> bool:
    return any(
        constraint["Operand"] == "distinct_hosts" and constraint["RTarget"] != "false"
        for constraint in constraints or ()
    )


class GroupPlacer:
    """Places instances of one group, one by one, while room lasts.

    Room only shrinks during this, so a full node isn't tried again.
    """

    def __init__(
        self,
        job: Record,
        group: Record,
        nodes: list[Record],
        room: Room,
        hosts: Hosts,
        known: dict[str, bool],
        *,
        seed: int = 0,
    ) -> None:
        self._group, self._nodes, self._room, self._hosts = group, nodes, room, hosts
        self._seed, self._pool = seed, job["NodePool"]
        self._ask = group_ask(group)
        self._has_cores = any(task["Resources"]["Cores"] for task in group["Tasks"])
        self._asks_for_more = asks_for_more(group)
        self.filter = Filter(job, group, known)
        self._distinct_job = _is_distinct(job["Constraints"])
        self._distinct_group = _is_distinct(group["Constraints"])
        self._affinities = [
            *(job["Affinities"] or ()),
            *(group["Affinities"] or ()),
            *(affinity for task in group["Tasks"] for affinity in task["Affinities"] or ()),
        ]
        self._properties = [
            DistinctProperty(constraint, hosts, None if level is job else group["Name"])
            for level in (job, group)
            for constraint in level["Constraints"] or ()
            if constraint["Operand"] == "distinct_property"
        ]
        self._spreads = Spreads(job, group, hosts)
        has_taste = bool(self._affinities) or bool(self._spreads)
        self._candidates = max(group["Count"], _CANDIDATES_BY_TASTE) if has_taste else _CANDIDATES
        self._feasible_nodes, self._metrics = self._feasible()
        self._open = list(self._feasible_nodes)
        self._next = 0
        self._has_placed = False

    def place(self, avoid: str = "") -> Chosen | None:
        """Places one more instance and takes its room. Returns None when no node has room (see `failure`)."""
        candidates: list[tuple[float, dict[str, float], Record]] = []
        at = self._next
        while self._open and len(candidates) < min(self._candidates, len(self._open)):
            at %= len(self._open)
            node = self._open[at]
            if any(node is seen for _, _, seen in candidates):
                break
            if self._refusal(node) or self._exhausted(node):
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
        granted = self._grant(node)
        assert not isinstance(granted, str)
        if granted is not None:
            tasks = {name: _granted_task(task) for name, task in granted["Tasks"].items()}
            self._room.taken(node["ID"]).update(
                held_by({"AllocatedResources": {"Tasks": tasks, "Shared": {"Ports": granted["Ports"]}}})
            )
        self._room.add(node["ID"], self._ask_of(node))
        self._hosts.add(node["ID"], self._group["Name"])
        self._spreads.place(node)
        for rule in self._properties:
            rule.place(node)
        self._has_placed = True
        metrics = {
            **self._metrics,
            "NodesEvaluated": self._metrics["NodesFiltered"] + len(candidates),
            "ScoreMetaData": [{"NodeID": node["ID"], "NormScore": score, "Scores": scores}],
        }
        return node, metrics, granted

    def failure(self) -> Record:
        """Returns Nomad's counters for an instance that found no node."""
        # By now every class is known: a node that can't run the group is counted under its class, not its reason.
        metrics = self._feasible()[1] if self._has_placed else dict(self._metrics)
        metrics["NodesEvaluated"] = len(self._nodes)
        for node in self._feasible_nodes:
            if refusal := self._refusal(node):
                count_filtered(metrics, node, refusal)
            elif dimension := self._exhausted(node):
                metrics["NodesExhausted"] += 1
                count(metrics, "DimensionExhausted", dimension)
                count(metrics, "ClassExhausted", node["NodeClass"])
        coalesce(metrics, self._group, 0)
        return metrics

    def class_eligibility(self) -> dict[str, bool]:
        """Returns computed class → whether it could ever run this group."""
        feasible = {node["ComputedClass"] for node in self._feasible_nodes}
        return {node["ComputedClass"]: node["ComputedClass"] in feasible for node in self._nodes}

    def _feasible(self) -> tuple[list[Record], Record]:
        """Returns the nodes that fit apart from their room, and the counters of the others."""
        metrics = empty_metrics(self._nodes, self._pool)
        feasible = []
        for node in self._nodes:
            reason = self.filter.reason(node)
            if reason:
                count_filtered(metrics, node, reason)
            else:
                feasible.append(node)
        return feasible, metrics

    def _refusal(self, node: Record) -> str | None:
        """Returns why the node can't take one more besides the job's other allocations."""
        if (self._distinct_job and self._hosts.of_job(node["ID"])) or (
            self._distinct_group and self._hosts.of_group(node["ID"], self._group["Name"])
        ):
            return "distinct_hosts"
        return next((why for rule in self._properties if (why := rule.refusal(node))), None)

    def _exhausted(self, node: Record) -> str | None:
        granted = self._grant(node)
        if isinstance(granted, str):
            return granted
        used = self._room.used(node["ID"])
        asked = zip(("cpu", "memory", "disk"), self._ask_of(node), used, _totals(node), strict=True)
        for dimension, need, taken, total in asked:
            if taken + need > total:
                return dimension
        return None

    def _grant(self, node: Record) -> Record | str | None:
        if not self._asks_for_more:
            return None
        return grant(self._group, node, self._room.taken(node["ID"]), self._seed)

    def _ask_of(self, node: Record) -> tuple[int, int, int]:
        return group_ask(self._group, shares_per_core(node)) if self._has_cores else self._ask

    def _scores(self, node: Record, avoid: str) -> dict[str, float]:
        cpu, memory, _ = self._room.used(node["ID"])
        total_cpu, total_memory, _ = _totals(node)
        more_cpu, more_memory, _ = self._ask_of(node)
        free_cpu = 1 - (cpu + more_cpu) / total_cpu
        free_memory = 1 - (memory + more_memory) / total_memory
        fit = min(18.0, max(0.0, 20.0 - 10.0**free_cpu - 10.0**free_memory))
        others = self._hosts.of_group(node["ID"], self._group["Name"])
        scores = {
            "binpack": fit / 18.0,
            "job-anti-affinity": -(others + 1) / self._group["Count"] if others else 0.0,
            "node-affinity": self._affinity(node),
            "node-reschedule-penalty": -1.0 if node["ID"] == avoid else 0.0,
        }
        granted = self._grant(node)
        if isinstance(granted, dict) and granted["Score"] is not None:
            scores["devices"] = granted["Score"]
        if self._spreads and (spread := self._spreads.score(node)):
            scores["allocation-spread"] = spread
        return scores

    def _affinity(self, node: Record) -> float:
        if not self._affinities:
            return 0.0
        matched = sum(
            affinity["Weight"]
            for affinity in self._affinities
            if satisfied(affinity, node) and resolve(affinity["LTarget"], node) is not None
        )
        return float(matched / sum(abs(one["Weight"]) for one in self._affinities))


def _granted_task(task: Record) -> Record:
    return {"Cpu": {"ReservedCores": task["Cores"]}, "Devices": task["Devices"]}


def _totals(node: Record) -> tuple[int, int, int]:
    have, reserved = node["NodeResources"], node["ReservedResources"]
    return (
        have["Cpu"]["CpuShares"] - reserved["Cpu"]["CpuShares"],
        have["Memory"]["MemoryMB"] - reserved["Memory"]["MemoryMB"],
        have["Disk"]["DiskMB"] - reserved["Disk"]["DiskMB"],
    )
