"""Endpoints about nodes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from regions.local.http.context import Context, blocking, check_id, check_prefix, id_token, listing, single
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.views import node_stub
from regions.local.state import node_writes
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.transaction import Transaction


def nodes(context: Context, request: Request) -> Reply:
    """/v1/nodes"""
    return _list(context, request, check_prefix("node", request.get("prefix")))


def in_pool(context: Context, request: Request) -> Reply:
    """/v1/node/pool/:name/nodes"""
    if request.get("prefix"):
        raise Failure(400, "prefix argument not allowed")
    return _list(context, request, "", request.name)


def _list(context: Context, request: Request, prefix: str, pool: str = "all") -> Reply:
    try:
        resources, with_os = request.flag("resources"), request.flag("os")
    except Failure as failure:
        raise Failure(400, f"Failed to parse node list fields: {failure.message}") from failure

    def rows(state: Snapshot) -> Iterator[Record]:
        for key, node in state.nodes.items(prefix):
            if not key.startswith(prefix):
                return
            if pool in ("all", node["NodePool"]):
                yield node

    def show(_state: Snapshot, node: Record) -> Record:
        return node_stub(node, resources=resources, with_os=with_os)

    return listing(context, request, ("nodes",), rows, show, id_token)


def node(context: Context, request: Request) -> Reply:
    """/v1/node/:id"""
    if not request.name:
        raise Failure(500, "missing node ID")
    check_id("node", request.name)
    return single(context, request, "nodes", lambda state: state.nodes.get(request.name), "node not found")


def allocations(context: Context, request: Request) -> Reply:
    """/v1/node/:id/allocations"""
    return blocking(
        context,
        request,
        lambda state: state.last("allocs"),
        lambda state: [
            context.shown.allocation(alloc)
            for alloc in state.allocs.values()
            if alloc["NodeID"] == request.name and request.rights.may(alloc["Namespace"], "read-job")
        ],
    )


def eligibility(context: Context, request: Request) -> Reply:
    """/v1/node/:id/eligibility"""
    node_id = request.name
    wanted = request.field("Eligibility", str, "")
    return _changed(context, node_id, lambda txn: node_writes.set_eligibility(txn, node_id, wanted), tells_index=False)


def drain(context: Context, request: Request) -> Reply:
    """/v1/node/:id/drain"""
    node_id, body = request.name, request.json()
    spec, meta = body.get("DrainSpec"), body.get("Meta") or {}
    if not isinstance(spec, dict | None) or not isinstance((spec or {}).get("Deadline"), int | None):
        raise Failure(400, "json: cannot unmarshal value into Go struct field NodeUpdateDrainRequest.DrainSpec")
    mark_eligible = bool(body.get("MarkEligible"))

    def change(transaction: Transaction) -> None:
        at_ns = node_writes.set_drain(transaction, node_id, spec, mark_eligible=mark_eligible, meta=meta)
        if at_ns is not None:
            context.worker.force_drain(node_id, at_ns)

    reply = _changed(context, node_id, change, tells_index=True)
    context.store.commit("NodeDrain", lambda transaction: node_writes.complete_drain(transaction, node_id))
    return reply


def _changed(context: Context, node_id: str, change: Callable[[Transaction], None], *, tells_index: bool) -> Reply:
    """Commits a change of a node.

    The event is a NodeDrain also for a change of eligibility, as Nomad's. A node that becomes eligible again gets
    evaluations.
    """
    before = context.store.snapshot.nodes.get(node_id)
    _, transaction = context.commit("NodeDrain", change)
    index = transaction.index if transaction.changes else 0
    created: list[Record] = []
    after = transaction.state.nodes.get(node_id)
    if [one["SchedulingEligibility"] for one in (before, after)] == ["ineligible", "eligible"]:
        created, evaluated = context.store.commit(
            "EvaluationUpdated", lambda txn: node_writes.evaluate_jobs(txn, node_id)
        )
    for evaluation in created:
        context.worker.enqueue(evaluation)
    context.worker.room_appeared()
    reply: Record = {
        "EvalCreateIndex": evaluated.index if created else 0,
        "EvalIDs": [one["ID"] for one in created] or None,
        "Index": index,
        "NodeModifyIndex": index if tells_index else 0,
    }
    return Reply(reply, headers={"X-Nomad-Index": str(index)})


def host_stats(context: Context, request: Request) -> Reply:
    """/v1/client/stats: this machine's figures for each of its pretend nodes"""
    if node_id := request.get("node_id"):
        check_id("node", node_id)
        if context.store.snapshot.nodes.get(node_id) is None:
            raise Failure(404, f"Unknown node {node_id}")
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    disk = os.statvfs(context.config.data_dir)
    size, used = disk.f_blocks * disk.f_frsize, (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    busy = min(100.0, 100.0 * os.getloadavg()[0] / (os.cpu_count() or 1))
    place = {"Available": disk.f_bavail * disk.f_frsize, "Device": "", "InodesUsedPercent": 0.0}
    place |= {
        "Mountpoint": str(context.config.data_dir),
        "Size": size,
        "Used": used,
        "UsedPercent": 100.0 * used / size,
    }
    return Reply(
        {
            "AllocDirStats": place,
            "CPU": [{"CPU": "cpu", "Idle": 100.0 - busy, "System": 0.0, "TotalPercent": busy, "User": busy}],
            "CPUTicksConsumed": 0.0,
            "DeviceStats": None,
            "DiskStats": [place],
            "Memory": {"Available": free, "Free": free, "Total": total, "Used": total - free},
            "Timestamp": time.time_ns(),
            "Uptime": int(time.monotonic()),
        }
    )
