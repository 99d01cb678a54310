"""Checks whether any node of a region can run each group of a rendered job. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from federation.check import Check, Outcome
from regions.model import Node
from regions.nomad.resources import candidates, is_in_datacenters, is_in_pool, pool_of, pool_of_node

NO_VOLUME_DRIVERS = frozenset({"raw_exec", "mock_driver"})
"""Drivers that refuse a `volume_mount`."""


def check_job(subject: str, job: Mapping[str, Any], nodes: Sequence[Node]) -> list[Check]:
    """One check a group of the job (Nomad's JSON, as rendered for the region)."""
    here = candidates(nodes, job)
    groups = [_check_group(subject, job, group, here) for group in job.get("TaskGroups") or ()]
    return [*groups, *_ignored_pools(subject, job, nodes)]


def _ignored_pools(subject: str, job: Mapping[str, Any], nodes: Sequence[Node]) -> list[Check]:
    """Ready nodes of the job's datacenters that never get it, since they are in another node pool."""
    pools = Counter(
        pool_of_node(node)
        for node in nodes
        if node.is_ready and is_in_datacenters(node, job) and not is_in_pool(node, job)
    )
    if not pools:
        return []
    listed = ", ".join(f"{pool} ({count} ready node{_s(count)})" for pool, count in sorted(pools.items()))
    return [
        Check(
            subject,
            f"job {job['ID']}, node pools",
            Outcome.WARNING,
            f"the job is in node pool {pool_of(job)}, so nothing of it runs in {listed}",
            'write  node_pool = "…"  in the job to use another one, or "all" for every node',
        )
    ]


def _check_group(subject: str, job: Mapping[str, Any], group: Mapping[str, Any], nodes: Sequence[Node]) -> Check:
    name = f"job {job['ID']}, group {group['Name']}"
    tasks = group.get("Tasks") or ()
    drivers = {str(task["Driver"]) for task in tasks}
    volumes = {
        str(volume.get("Source"))
        for volume in (group.get("Volumes") or {}).values()
        if volume.get("Type") == "host" and not volume.get("PerAlloc")
    }
    for task in tasks:
        if task.get("VolumeMounts") and task["Driver"] in NO_VOLUME_DRIVERS:
            return Check(
                subject,
                name,
                Outcome.FAILED,
                f"task {task['Name']} mounts a volume, which the driver {task['Driver']} refuses",
                "hand over through ${NOMAD_ALLOC_DIR}, or use the driver docker or exec",
            )
    able = [node for node in nodes if drivers <= node.drivers and volumes <= node.host_volumes]
    if able:
        return Check(
            subject, name, Outcome.OK, f"{len(able)} ready node{_s(len(able))} with {_listed(drivers | volumes)}"
        )
    if not nodes:
        detail = f"no ready node is in its datacenters and its node pool {pool_of(job)}"
        return Check(subject, name, Outcome.FAILED, detail, "see the datacenters above")
    for wanted, offered, what, remedy in (
        (
            drivers,
            [node.drivers for node in nodes],
            "driver",
            "install it on the nodes (docker: its engine), or choose another by a variable",
        ),
        (
            volumes,
            [node.host_volumes for node in nodes],
            "host volume",
            "add a host_volume block to the nodes' client configuration",
        ),
    ):
        missing = wanted.difference(*offered)
        if missing:
            known = _listed(set().union(*offered)) or "none"
            return Check(
                subject,
                name,
                Outcome.FAILED,
                f"no ready node offers {what} {_listed(missing)}; offered: {known}",
                remedy,
            )
    return Check(
        subject,
        name,
        Outcome.FAILED,
        f"no single node offers all of {_listed(drivers | volumes)}",
        "a group's tasks run on one node: offer them together",
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _s(number: int) -> str:
    return "" if number == 1 else "s"
