"""Renders a job for one region. Pure; adds no secret.

Adds the region's name and namespace, the datacenters that both job and region have, the optional meta keys of a run,
and the spec hash in the parent's meta (Nomad copies it into each child). Adds to each task's environment
`FEDML_STORES` (this region's map datacenter → store URL), `FEDML_REGION`, `FEDML_NODE`, `FEDML_VERSION_KEY` and, for meta
keys whose variable has another name, `FEDML_META`. On request, adds a task that publishes to each group that publishes
(`store_task`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from jobs.errors import InvalidSpec
from jobs.frozen import frozen
from jobs.spec import RUN_KEYS, SPEC_KEY, JobShape, variable_name
from jobs.store_task import StoreTask, with_store_task


@frozen
class Place:
    """What the renderer needs to know about a region. `stores` maps each of its datacenters to a store URL.
    `store_task` is added to groups that publish, if given."""

    name: str
    nomad_region: str
    namespace: str
    stores: Mapping[str, str]
    store_task: StoreTask | None = None


def render(job: Mapping[str, Any], shape: JobShape, place: Place, *, spec_hash: str) -> dict[str, Any]:
    """Renders the job. Raises InvalidSpec when no datacenter fits or the task that publishes can't be added."""
    rendered: dict[str, Any] = copy.deepcopy(dict(job))
    datacenters = matching_datacenters(job.get("Datacenters"), place)
    rendered["Region"] = place.nomad_region
    rendered["Namespace"] = place.namespace
    rendered["Datacenters"] = datacenters
    rendered.pop("Multiregion", None)
    parameterized = rendered["ParameterizedJob"]
    optional = list(parameterized.get("MetaOptional") or [])
    for key in (*RUN_KEYS, shape.version_key):
        if key not in shape.meta_required and key not in optional:
            optional.append(key)
    parameterized["MetaOptional"] = optional
    rendered["Meta"] = {**(rendered.get("Meta") or {}), SPEC_KEY: spec_hash}
    environment = {
        "FEDML_STORES": json.dumps({name: place.stores[name] for name in sorted(datacenters)}, sort_keys=True),
        "FEDML_REGION": place.name,
        "FEDML_NODE": "${node.unique.name}",
        "FEDML_VERSION_KEY": shape.version_key,
    }
    if renamed := {variable_name(key): key for key in sorted(shape.declared_meta) if variable_name(key) != key}:
        environment["FEDML_META"] = json.dumps(renamed, sort_keys=True)
    if place.store_task is not None:
        schemes = {place.stores[name].partition("://")[0] for name in datacenters}
        rendered["TaskGroups"] = [
            with_store_task(group, place.store_task, schemes) if group["Name"] in shape.groups else group
            for group in rendered["TaskGroups"]
        ]
    for group in rendered["TaskGroups"]:
        for task in group.get("Tasks") or []:
            task["Env"] = {**(task.get("Env") or {}), **environment}
    return rendered


def matching_datacenters(patterns: list[str] | None, place: Place) -> list[str]:
    """Returns the region's datacenters that match the job's patterns (`us-*`, `*`; none: all), in the region's
    order."""
    wanted = patterns or ["*"]
    matching = [name for name in place.stores if any(fnmatchcase(name, pattern) for pattern in wanted)]
    if not matching:
        raise InvalidSpec(
            f"the job asks for datacenters {', '.join(wanted)}; region {place.name} has {', '.join(place.stores)}",
            hint='write  datacenters = ["*"]  to allow all, or leave that region out with --regions',
        )
    return matching


def probe(
    rendered: Mapping[str, Any], instances: Mapping[str, int], *, probe_id: str, times: int = 1
) -> dict[str, Any]:
    """Makes the job of a dry run that asks for room: not parameterized, with another ID and these counts. Each instance asks
    for `times` as much as one takes."""
    job: dict[str, Any] = copy.deepcopy(dict(rendered))
    job["ID"] = job["Name"] = probe_id
    job["ParameterizedJob"] = None
    for group in job["TaskGroups"]:
        group["Count"] = instances[str(group["Name"])]
        for task in group.get("Tasks") or []:
            task["DispatchPayload"] = None
        if times > 1:
            _enlarge(group, times)
    return job


def may_be_enlarged(rendered: Mapping[str, Any]) -> bool:
    """Whether several instances of the job fit wherever one fits that asks for their room together: nothing but processor,
    memory, disk and devices limits how many a node takes."""
    constraints = list(rendered.get("Constraints") or [])
    for group in rendered["TaskGroups"]:
        tasks = group.get("Tasks") or []
        if not tasks or group.get("Networks") or group.get("Volumes"):
            return False
        for task in tasks:
            resources = task.get("Resources") or {}
            constraints += task.get("Constraints") or []
            if not resources.get("CPU") and not resources.get("Cores"):
                return False
            if resources.get("Networks") or resources.get("NUMA"):
                return False
        constraints += group.get("Constraints") or []
    return not any(str(one.get("Operand")).startswith("distinct_") for one in constraints)


def _enlarge(group: dict[str, Any], times: int) -> None:
    disk = group.get("EphemeralDisk")
    if disk and disk.get("SizeMB"):
        disk["SizeMB"] *= times
    for task in group.get("Tasks") or []:
        resources = task.get("Resources") or {}
        for amount in ("CPU", "Cores", "MemoryMB", "MemoryMaxMB"):
            if resources.get(amount):
                resources[amount] *= times
        for device in resources.get("Devices") or []:
            device["Count"] = (1 if device.get("Count") is None else device["Count"]) * times
