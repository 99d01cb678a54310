"""Counts why nodes were left out and what was exhausted: Nomad's AllocMetric."""

from __future__ import annotations

from regions.local.state.resources import legacy_resources
from regions.local.state.snapshot import Record


def empty_metrics(nodes: list[Record], pool: str) -> Record:
    """Nomad's AllocMetric before any node was tried."""
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
        "NodePool": pool,
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


def coalesce(metrics: Record, group: Record, more: int) -> None:
    """Counts further instances that failed for the same reason."""
    metrics["CoalescedFailures"] += more
    exhausted = metrics["DimensionExhausted"]
    if not exhausted:
        return
    times = metrics["CoalescedFailures"] + 1
    metrics["ResourcesExhausted"] = {
        task["Name"]: legacy_resources(
            times * task["Resources"]["CPU"] if "cpu" in exhausted else 0,
            times * task["Resources"]["MemoryMB"] if "memory" in exhausted else 0,
        )
        for task in group["Tasks"]
    }


def count_filtered(metrics: Record, node: Record, reason: str) -> None:
    metrics["NodesFiltered"] += 1
    count(metrics, "ConstraintFiltered", reason)
    count(metrics, "ClassFiltered", node["NodeClass"])


def count(metrics: Record, counter: str, name: str) -> None:
    """Counts one more under the name, if there is one. Replaces the counter, which other metrics may share."""
    if name:
        counts: dict[str, int] = metrics[counter] or {}
        metrics[counter] = {**counts, name: counts.get(name, 0) + 1}
