"""Decides whether a node can run a job's group at all, room aside, and why not."""

from __future__ import annotations

from regions.local.scheduler.constraints import describe, in_datacenters, is_unique, satisfied
from regions.local.scheduler.grants import has_devices, missing_network
from regions.local.state.snapshot import Record, Snapshot


def ready_nodes(state: Snapshot, job: Record) -> list[Record]:
    """Returns the nodes that the job may use: ready, eligible, in its datacenters and pool."""
    return [
        node
        for node in state.nodes.values()
        if node["Status"] == "ready"
        and node["SchedulingEligibility"] == "eligible"
        and not node["Drain"]
        and in_datacenters(node, job["Datacenters"])
        and job["NodePool"] in ("all", node["NodePool"])
    ]


def is_possible(node: Record, job: Record, group: Record) -> bool:
    """Returns whether the node could run the group if there were room."""
    return in_datacenters(node, job["Datacenters"]) and Filter(job, group, {}).reason(node) is None


class Filter:
    """Finds why nodes can't run a group whatever their room, under the names by which Nomad counts them.

    Nodes of one computed class are checked once. The first counts under its reason, all later ones under an ineligible
    class. `known` is what earlier groups of the same plan found about classes by the job's own constraints.
    """

    def __init__(self, job: Record, group: Record, known: dict[str, bool]) -> None:
        self._job_constraints = job["Constraints"] or []
        self._constraints = [
            *(group["Constraints"] or ()),
            *(one for task in group["Tasks"] for one in task["Constraints"] or ()),
        ]
        self._group = group
        self._job_known, self._group_known = known, dict[str, bool]()
        self._job_escaped = any(is_unique(constraint) for constraint in self._job_constraints)
        self._group_escaped = any(is_unique(one) for one in self._constraints)
        self.has_escaped = self._job_escaped or self._group_escaped
        """Whether a constraint depends on single nodes, so that a class says nothing."""

    def reason(self, node: Record) -> str | None:
        """Returns why the node can't run the group, or None."""
        name = node["ComputedClass"]
        steps = (
            (self._job_known, self._job_escaped, self._job_reason),
            (self._group_known, self._group_escaped, self._group_reason),
        )
        for known, escaped, judge in steps:
            if not escaped and name in known:
                if not known[name]:
                    return "computed class ineligible"
                continue
            reason = judge(node)
            if not escaped:
                known[name] = reason is None
            if reason:
                return reason
        return self._lacking_volume(node)

    def _job_reason(self, node: Record) -> str | None:
        return next(
            (describe(constraint) for constraint in self._job_constraints if not satisfied(constraint, node)), None
        )

    def _group_reason(self, node: Record) -> str | None:
        for task in self._group["Tasks"]:
            driver = node["Drivers"].get(task["Driver"])
            if driver is None or not driver["Detected"] or not driver["Healthy"]:
                return "missing drivers"
        for constraint in self._constraints:
            if not satisfied(constraint, node):
                return describe(constraint)
        if not has_devices(self._group, node):
            return "missing devices"
        return missing_network(self._group)

    def _lacking_volume(self, node: Record) -> str | None:
        for volume in (self._group["Volumes"] or {}).values():
            host = (node["HostVolumes"] or {}).get(volume["Source"])
            if volume["Type"] == "host" and (host is None or (host["ReadOnly"] and not volume["ReadOnly"])):
                return "missing compatible host volumes"
        return None
