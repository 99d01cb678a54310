"""Prints regions with their capacity, and one region in detail. Builds their `--json` documents."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from federation.capacity import RegionCapacity
from federation.ui.console import out, table
from federation.workflows.region_report import RegionReport
from jobs.errors import FedmlError
from regions.model import Node
from regions.nomad.resources import Resources


def show_regions(regions: Iterable[RegionCapacity]) -> None:
    """Prints one line for each region."""
    rows = [
        (
            region.region,
            str(region.problem) if region.problem else "ready",
            region.version or "-",
            region.nodes,
            region.free_text,
            region.queued if region.exactness != "not_asked" else "-",
            region.detail,
        )
        for region in regions
    ]
    columns = ("region", "state", "nomad", "nodes", "free", "queued", "detail")
    out().print(table(columns, rows, numbers=("nodes", "free", "queued")))


def regions_document(regions: Iterable[RegionCapacity]) -> dict[str, Any]:
    """The `--json` document of the regions."""
    return {"regions": [_capacity(region) for region in regions]}


def show_region(report: RegionReport) -> None:
    """Prints one region: its state, then one line for each kind of node."""
    capacity, region = report.capacity, report.region
    console = out()
    state = f"{capacity.problem}: {capacity.detail}" if capacity.problem else "ready"
    slots = "slot" if capacity.free == 1 else "slots"
    free = f"{capacity.free_text} {slots} of {report.job} free, {capacity.queued} queued" if report.job else "-"
    lines = {
        "state": state,
        "addresses": ", ".join(region.addresses),
        "nomad": f"{capacity.version or 'version unknown'}, region {region.nomad_region}, namespace {region.namespace}",
        "leader": f"{report.leader} ({report.answered_in_s * 1000:.0f} ms)" if report.leader else "none that answers",
        "capacity": "-" if capacity.problem else free,
    }
    console.print_line((region.name, "bold"))
    for name, text in lines.items():
        console.print_line(f"  {name:<10} {text}")
    for name, datacenter in region.datacenters.items():
        console.print_line(f"  {'store':<10} {name}: {datacenter.store.url}")
    for text in (capacity.detail if not capacity.problem else "", *report.unknown):
        if text:
            console.print_line(f"  {'note':<10} {text}")
    if report.nodes:
        columns = ("datacenter", "pool", "class", "nodes", "ready", "cpu MHz", "free", "memory MB", "free ", "drivers")
        rows = [_kind(kind, nodes, report.used) for kind, nodes in sorted(_kinds(report.nodes).items())]
        console.print(table(columns, rows, numbers=columns[3:9]))


def region_document(report: RegionReport) -> dict[str, Any]:
    """The `--json` document of one region."""
    return {
        **_capacity(report.capacity),
        "addresses": list(report.region.addresses),
        "nomad_region": report.region.nomad_region,
        "namespace": report.region.namespace,
        "leader": report.leader,
        "answered_in_s": round(report.answered_in_s, 4),
        "job": report.job,
        "stores": {name: datacenter.store.url for name, datacenter in report.region.datacenters.items()},
        "node_list": [
            {
                "name": node.name,
                "datacenter": node.datacenter,
                "pool": node.node_pool,
                "class": node.node_class,
                "is_ready": node.is_ready,
                "cpu_mhz": node.cpu_mhz,
                "memory_mb": node.memory_mb,
                "used_cpu_mhz": report.used.get(node.id, Resources()).cpu_mhz,
                "used_memory_mb": report.used.get(node.id, Resources()).memory_mb,
                "drivers": sorted(node.drivers),
                "devices": sorted(node.devices),
            }
            for node in report.nodes
        ],
        "unknown": list(report.unknown),
    }


def no_job_note(problem: FedmlError) -> str:
    """Why free slots aren't known."""
    return f"Free slots are unknown without a job: {problem.message}"


def _capacity(region: RegionCapacity) -> dict[str, Any]:
    is_known = region.exactness != "not_asked"
    return {
        "region": region.region,
        "nomad_version": region.version,
        "nodes": region.nodes,
        "free_slots": region.free if is_known else None,
        "queued_slots": region.queued if is_known else None,
        "exactness": region.exactness,
        "problem": str(region.problem) if region.problem else None,
        "detail": region.detail,
    }


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
        cpu - sum(resources.cpu_mhz for resources in taken),
        memory,
        memory - sum(resources.memory_mb for resources in taken),
        ", ".join(sorted(frozenset[str]().union(*(node.drivers for node in nodes)))),
    )
