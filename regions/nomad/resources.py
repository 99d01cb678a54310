"""Estimates how many slots of a job are free on nodes, from what is used there. Pure.

For tokens that may not ask Nomad's scheduler (no `submit-job`). Counts processor and memory, ready nodes, datacenters, the
node pool, drivers, host volumes and devices; knows nothing of constraints, ports, cores or how many devices are taken, so
the number is an estimate from above.
As in Nomad, a prestart task and the main tasks share their maximum, and sidecars run beside both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jobs.frozen import frozen
from regions.model import HeldDevices, Node

DEFAULT_POOL = "default"
"""The pool of a job or node that names none."""
ALL_POOL = "all"
DEFAULT_CPU_MHZ = 100
DEFAULT_MEMORY_MB = 300
"""What Nomad gives a task that asks for nothing (api.DefaultResources)."""


@frozen
class Resources:
    """Processor and memory: what there is, or what is asked for."""

    cpu_mhz: int = 0
    memory_mb: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.cpu_mhz + other.cpu_mhz, self.memory_mb + other.memory_mb)

    def __sub__(self, other: Resources) -> Resources:
        return Resources(self.cpu_mhz - other.cpu_mhz, self.memory_mb - other.memory_mb)

    def holds(self, other: Resources) -> bool:
        """Whether the other resources fit into these."""
        return self.cpu_mhz >= other.cpu_mhz and self.memory_mb >= other.memory_mb


def together(tasks: Iterable[tuple[Resources, Mapping[str, Any] | None]]) -> Resources:
    """What an allocation takes: each task's resources with its lifecycle (None: a main task)."""
    prestart, main, poststop, sidecars = Resources(), Resources(), Resources(), Resources()
    for resources, lifecycle in tasks:
        hook = (lifecycle or {}).get("Hook") or ""
        if hook and (lifecycle or {}).get("Sidecar"):
            sidecars += resources
        elif hook == "prestart":
            prestart += resources
        elif hook == "poststop":
            poststop += resources
        else:
            main += resources
    phases = (prestart, main, poststop)
    return sidecars + Resources(max(one.cpu_mhz for one in phases), max(one.memory_mb for one in phases))


def used_by_node(allocations: Iterable[Mapping[str, Any]]) -> dict[str, Resources]:
    """Node ID → what its allocations that have not ended take, from Nomad's list with `resources=true`."""
    used: dict[str, Resources] = {}
    for one in _holding(allocations):
        resources = one.get("AllocatedResources") or {}
        lifecycles = resources.get("TaskLifecycles") or {}
        taken = together(
            (Resources(_unit(task, "Cpu", "CpuShares"), _unit(task, "Memory", "MemoryMB")), lifecycles.get(name))
            for name, task in (resources.get("Tasks") or {}).items()
        )
        used[one["NodeID"]] = used.get(one["NodeID"], Resources()) + taken
    return used


def held_devices(allocations: Iterable[Mapping[str, Any]]) -> list[HeldDevices]:
    """Which allocation holds which devices, from the same list."""
    return [
        HeldDevices(
            str(one["NodeID"]),
            str(one["ID"]),
            str(one["JobID"]),
            str(one.get("Namespace") or ""),
            device_model(device),
            tuple(map(str, device.get("DeviceIDs") or ())),
        )
        for one in _holding(allocations)
        for task in ((one.get("AllocatedResources") or {}).get("Tasks") or {}).values()
        for device in task.get("Devices") or ()
    ]


def device_model(device: Mapping[str, Any]) -> str:
    """`VENDOR/TYPE/NAME`, of a node's group of devices or of those that an allocation holds."""
    return f"{device['Vendor']}/{device['Type']}/{device['Name']}"


def _holding(allocations: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """The allocations that take room."""
    return (
        one
        for one in allocations
        if one.get("ClientStatus") not in ("complete", "failed", "lost")
        and one.get("DesiredStatus") not in ("stop", "evict")
    )


def pool_of(job: Mapping[str, Any]) -> str:
    """The node pool that the job is placed in."""
    return str(job.get("NodePool") or DEFAULT_POOL)


def pool_of_node(node: Node) -> str:
    """The node's pool."""
    return node.node_pool or DEFAULT_POOL


def is_in_pool(node: Node, job: Mapping[str, Any]) -> bool:
    """Whether the node is in the job's pool. The pool `all` has every node."""
    return pool_of(job) in (ALL_POOL, pool_of_node(node))


def is_in_datacenters(node: Node, job: Mapping[str, Any]) -> bool:
    """Whether the node is in one of the job's datacenters, which may be written with `*`. None written: all of them."""
    patterns = job.get("Datacenters") or ["*"]
    return any(
        re.fullmatch(".*".join(re.escape(part) for part in str(pattern).split("*")), node.datacenter)
        for pattern in patterns
    )


def candidates(nodes: Iterable[Node], job: Mapping[str, Any]) -> list[Node]:
    """The ready nodes in the job's datacenters and its pool."""
    return [node for node in nodes if node.is_ready and is_in_datacenters(node, job) and is_in_pool(node, job)]


def estimated_slots(
    nodes: Sequence[Node], used: Mapping[str, Resources], job: Mapping[str, Any], *, at_most: int
) -> int:
    """How many whole slots (every group with its count) would fit now, first fit, at most `at_most`."""
    free = {
        node.id: Resources(node.cpu_mhz, node.memory_mb) - used.get(node.id, Resources())
        for node in candidates(nodes, job)
    }
    instances = [
        (_demand(group), [node.id for node in nodes if node.id in free and offers(node, group)])
        for group in job["TaskGroups"]
        for _ in range(1 if group.get("Count") is None else int(group["Count"]))
    ]
    slots = 0
    while slots < at_most and instances:
        for demand, offering in instances:
            place = next((node for node in offering if free[node].holds(demand)), None)
            if place is None:
                return slots
            free[place] -= demand
        slots += 1
    return slots


def _demand(group: Mapping[str, Any]) -> Resources:
    return together((_asked(task), task.get("Lifecycle")) for task in group.get("Tasks") or [])


def _asked(task: Mapping[str, Any]) -> Resources:
    asked = task.get("Resources") or {}
    cpu, memory = asked.get("CPU"), asked.get("MemoryMB")
    return Resources(DEFAULT_CPU_MHZ if cpu is None else cpu, DEFAULT_MEMORY_MB if memory is None else memory)


def offers(node: Node, group: Mapping[str, Any]) -> bool:
    """Whether the node has the group's drivers, host volumes and devices."""
    return (
        _drivers(group) <= node.drivers
        and _volumes(group) <= node.host_volumes
        and all(any(is_device(asked, one) for one in node.devices) for asked in devices_of(group))
    )


def missing(nodes: Sequence[Node], job: Mapping[str, Any]) -> list[str]:
    """The job's drivers, host volumes and devices that no node offers, each as a clause; nothing without nodes."""
    if not nodes:
        return []
    groups = job["TaskGroups"]
    drivers = frozenset[str]().union(*(node.drivers for node in nodes))
    volumes = frozenset[str]().union(*(node.host_volumes for node in nodes))
    devices = frozenset[str]().union(*(node.devices for node in nodes))
    asked = {name for group in groups for name in devices_of(group)}
    lacking = {
        "driver": ({name for group in groups for name in _drivers(group)} - drivers, drivers),
        "host volume": ({name for group in groups for name in _volumes(group)} - volumes, volumes),
        "device": ({name for name in asked if not any(is_device(name, one) for one in devices)}, devices),
    }
    return [
        f"no node has {what} {name} (they have {', '.join(sorted(offered)) or 'none'})"
        for what, (names, offered) in lacking.items()
        for name in sorted(names)
    ]


def too_large(nodes: Sequence[Node], job: Mapping[str, Any]) -> list[str]:
    """The groups for which even an empty node is too small, each as a clause; nothing without nodes, or where the size of one
    isn't known."""
    clauses = []
    for group in job["TaskGroups"]:
        sizes = [Resources(node.cpu_mhz, node.memory_mb) for node in nodes if offers(node, group)]
        asked = _demand(group)
        if not sizes or any(size.holds(asked) or min(size.cpu_mhz, size.memory_mb) <= 0 for size in sizes):
            continue
        cpu_mhz, memory_mb = max(size.cpu_mhz for size in sizes), max(size.memory_mb for size in sizes)
        clauses.append(
            f"group {group['Name']}: no node is large enough for {asked.cpu_mhz:,} MHz and {asked.memory_mb:,} MB "
            f"(they have up to {cpu_mhz:,} MHz and {memory_mb:,} MB)"
        )
    return clauses


def devices_of(group: Mapping[str, Any]) -> set[str]:
    """The devices that the group's tasks ask for, as written: `gpu`, `nvidia/gpu` or `nvidia/gpu/A100`."""
    return {
        str(device["Name"])
        for task in group.get("Tasks") or []
        for device in (task.get("Resources") or {}).get("Devices") or []
    }


def is_device(asked: str, model: str) -> bool:
    """Whether a device `VENDOR/TYPE/NAME` is what was asked for by type, vendor and type, or all three."""
    vendor, kind, _ = model.split("/", 2)
    return asked in (kind, f"{vendor}/{kind}", model)


def _drivers(group: Mapping[str, Any]) -> set[str]:
    return {str(task.get("Driver")) for task in group.get("Tasks") or []}


def _volumes(group: Mapping[str, Any]) -> set[str]:
    volumes = (group.get("Volumes") or {}).values()
    return {str(volume.get("Source")) for volume in volumes if volume.get("Type") == "host"}


def _unit(task: Mapping[str, Any], kind: str, unit: str) -> int:
    return int((task.get(kind) or {}).get(unit) or 0)
