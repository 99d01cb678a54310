"""Prints regions with their capacity, and one region in detail. Builds their `--json` documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from federation.capacity import RegionCapacity
from federation.index.rows import RunRow
from federation.ui.console import out, table
from federation.workflows.region_report import RegionReport
from federation.workflows.region_state import NodeKind, QueueGroup, RegionState, node_kinds, queue_groups
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
    """Prints one region: its state, one line for each kind of node, its devices and who holds them, its queue."""
    region, state = report.region, report.state
    console = out()
    console.print_line((region.name, "bold"))
    for name, text in _facts(report).items():
        console.print_line(f"  {name:<10} {text}")
    for name, datacenter in region.datacenters.items():
        console.print_line(f"  {'store':<10} {name}: {datacenter.store.url}")
    for text in ("" if report.capacity.problem else report.capacity.detail, *state.unknown):
        if text:
            console.print_line(f"  {'note':<10} {text}")
    kinds = node_kinds(state, state.nodes)
    if kinds:
        columns = ("datacenter", "pool", "class", "nodes", "ready", "cpu MHz", "free", "memory MB", "free ", "drivers")
        console.print(table(columns, [_kind(kind) for kind in kinds], numbers=columns[3:9]))
    names = {node.id: node.name for node in state.nodes}
    devices = [
        (kind.datacenter, kind.pool or "-", model, total, total - used)
        for kind in kinds
        for model, (used, total) in kind.devices.items()
    ]
    if devices:
        shown = ("datacenter", "pool", "device", "number", "free")
        console.print(table(shown, devices, numbers=shown[3:]))
    if state.held:
        rows = [
            (names.get(one.node_id, one.node_id), one.model, len(one.ids), one.alloc_id, one.job_id)
            for one in state.held
        ]
        console.print(table(("node", "device", "number", "held by", "job"), rows, numbers=("number",)))
    if state.queue:
        queued = [_queued(group, report.runs) for group in queue_groups(state)]
        console.print(table(("waits", "number", "since", "run", "author"), queued, numbers=("number",)))


def _facts(report: RegionReport) -> dict[str, str]:
    """What the head of a region's report says, by its words."""
    capacity, region, state = report.capacity, report.region, report.state
    slots = "slot" if capacity.free == 1 else "slots"
    free = f"{capacity.free_text} {slots} of {report.job} free, {capacity.queued} queued" if report.job else "-"
    return {
        "state": f"{capacity.problem}: {capacity.detail}" if capacity.problem else "ready",
        "addresses": ", ".join(region.addresses),
        "nomad": f"{capacity.version or 'version unknown'}, region {region.nomad_region}, namespace {region.namespace}",
        "leader": f"{state.leader} ({state.answered_in_s * 1000:.0f} ms)" if state.leader else "none that answers",
        "clock": state.clock.detail if state.leader else "-",
        "capacity": "-" if capacity.problem else free,
    }


def region_document(report: RegionReport) -> dict[str, Any]:
    """The `--json` document of one region."""
    state, held = report.state, report.state.used_devices
    return {
        **_capacity(report.capacity),
        "addresses": list(report.region.addresses),
        "nomad_region": report.region.nomad_region,
        "namespace": report.region.namespace,
        "leader": state.leader,
        "answered_in_s": round(state.answered_in_s, 4),
        "clock_ahead_s": None if state.skew_s is None else round(state.skew_s),
        "job": report.job,
        "stores": {name: datacenter.store.url for name, datacenter in report.region.datacenters.items()},
        "node_list": [_node(node, state, held.get(node.id, {})) for node in state.nodes],
        "held_devices": [
            {
                "alloc_id": one.alloc_id,
                "job": one.job_id,
                "node": one.node_id,
                "device": one.model,
                "ids": list(one.ids),
            }
            for one in state.held
        ],
        "queue": [
            {
                "job": job.id,
                "parent": job.parent,
                "namespace": job.namespace,
                "since": _utc(job.submitted_s),
                "run": job.run,
                "slot": int(job.slot) if job.slot else None,
                "author": report.runs[job.run].author if job.run in report.runs else "",
            }
            for job in state.queue
        ],
        "unknown": list(state.unknown),
    }


def _node(node: Node, state: RegionState, held: Mapping[str, int]) -> dict[str, Any]:
    used = state.used.get(node.id, Resources())
    return {
        "id": node.id,
        "name": node.name,
        "datacenter": node.datacenter,
        "pool": node.node_pool,
        "class": node.node_class,
        "is_ready": node.is_ready,
        "cpu_mhz": node.cpu_mhz,
        "memory_mb": node.memory_mb,
        "used_cpu_mhz": used.cpu_mhz,
        "used_memory_mb": used.memory_mb,
        "drivers": sorted(node.drivers),
        "devices": sorted(node.devices),
        "device_counts": {
            model: {"total": total, "used": held.get(model, 0)} for model, total in sorted(node.devices.items())
        },
    }


def _queued(group: QueueGroup, runs: Mapping[str, RunRow]) -> tuple[object, ...]:
    author = runs[group.run].author if group.run in runs else "-"
    return (group.job, group.number, _utc(group.since_s), group.run or "-", author)


def _utc(moment_s: float) -> str:
    return f"{datetime.fromtimestamp(moment_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


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


def _kind(kind: NodeKind) -> tuple[object, ...]:
    free = kind.total - kind.used
    return (
        *(part or "-" for part in (kind.datacenter, kind.pool, kind.node_class)),
        kind.nodes,
        kind.ready,
        kind.total.cpu_mhz,
        free.cpu_mhz,
        kind.total.memory_mb,
        free.memory_mb,
        ", ".join(kind.drivers),
    )
