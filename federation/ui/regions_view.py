"""What regions answered enters, tables and JSON of it leave."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from federation.capacity import RegionCapacity
from federation.text import counted
from federation.ui.console import out, table
from federation.workflows.region_report import RegionReport
from regions.model import Node
from regions.nomad.resources import Resources


def show_regions(answers: Iterable[RegionCapacity]) -> None:
    """One line a region."""
    rows = [
        (
            one.region,
            str(one.problem) if one.problem else "ready",
            one.version or "-",
            one.nodes,
            one.free,
            one.queued,
            one.detail,
        )
        for one in answers
    ]
    columns = ("region", "state", "nomad", "nodes", "free", "queued", "detail")
    out().print(table(columns, rows, numbers=("nodes", "free", "queued")))


def regions_document(answers: Iterable[RegionCapacity]) -> dict[str, Any]:
    """As `--json` prints them."""
    return {"regions": [_capacity(one) for one in answers]}


def show_region(told: RegionReport) -> None:
    """One region: first how it is, then its nodes, a line each kind."""
    one, region = told.capacity, told.region
    console = out()
    state = f"{one.problem}: {one.detail}" if one.problem else "ready"
    free = (
        f"{'~' if one.exactness != 'exact' else ''}{counted(one.free, 'slot')} of {told.job} free, {one.queued} queued"
    )
    lines = {
        "state": state,
        "addresses": ", ".join(region.addresses),
        "nomad": f"{one.version or 'version unknown'}, region {region.nomad_region}, namespace {region.namespace}",
        "leader": f"{told.leader} ({told.answered_in_s * 1000:.0f} ms)" if told.leader else "none that answers",
        "capacity": "-" if one.problem else free,
    }
    console.print_line((region.name, "bold"))
    for name, text in lines.items():
        console.print_line(f"  {name:<10} {text}")
    for name, datacenter in region.datacenters.items():
        console.print_line(f"  {'store':<10} {name}: {datacenter.store.url}")
    for text in (one.detail if not one.problem else "", *told.unknown):
        if text:
            console.print_line(f"  {'note':<10} {text}")
    if told.nodes:
        columns = ("datacenter", "pool", "class", "nodes", "ready", "cpu MHz", "free", "memory MB", "free ", "drivers")
        rows = [_kind(kind, nodes, told.used) for kind, nodes in sorted(_kinds(told.nodes).items())]
        console.print(table(columns, rows, numbers=columns[3:9]))


def region_document(told: RegionReport) -> dict[str, Any]:
    """As `--json` prints it."""
    return {
        **_capacity(told.capacity),
        "addresses": list(told.region.addresses),
        "nomad_region": told.region.nomad_region,
        "namespace": told.region.namespace,
        "leader": told.leader,
        "answered_in_s": round(told.answered_in_s, 4),
        "job": told.job,
        "stores": {name: datacenter.store.url for name, datacenter in told.region.datacenters.items()},
        "node_list": [
            {
                "name": node.name,
                "datacenter": node.datacenter,
                "pool": node.node_pool,
                "class": node.node_class,
                "is_ready": node.is_ready,
                "cpu_mhz": node.cpu_mhz,
                "memory_mb": node.memory_mb,
                "used_cpu_mhz": told.used.get(node.id, Resources()).cpu_mhz,
                "used_memory_mb": told.used.get(node.id, Resources()).memory_mb,
                "drivers": sorted(node.drivers),
                "devices": sorted(node.devices),
            }
            for node in told.nodes
        ],
        "unknown": list(told.unknown),
    }


def _capacity(one: RegionCapacity) -> dict[str, Any]:
    fields = ("region", "version", "nodes", "free", "queued", "exactness", "detail")
    return {**{field: getattr(one, field) for field in fields}, "problem": str(one.problem) if one.problem else None}


def _kinds(nodes: Collection[Node]) -> dict[tuple[str, str, str], list[Node]]:
    kinds: dict[tuple[str, str, str], list[Node]] = {}
    for node in nodes:
        kinds.setdefault((node.datacenter, node.node_pool, node.node_class), []).append(node)
    return kinds


def _kind(kind: tuple[str, str, str], nodes: Collection[Node], used: dict[str, Resources]) -> tuple[object, ...]:
    ready = [node for node in nodes if node.is_ready]
    taken = [used.get(node.id, Resources()) for node in ready]
    cpu, memory = sum(node.cpu_mhz for node in ready), sum(node.memory_mb for node in ready)
    return (
        *(part or "-" for part in kind),
        len(nodes),
        len(ready),
        cpu,
        cpu - sum(one.cpu_mhz for one in taken),
        memory,
        memory - sum(one.memory_mb for one in taken),
        ", ".join(sorted(frozenset[str]().union(*(node.drivers for node in nodes)))),
    )
