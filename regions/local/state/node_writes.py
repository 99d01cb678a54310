"""Changes that operators make to nodes (drain, eligibility), within one transaction.

A batch job's allocations on a draining node go on until they end or the drain's deadline comes. Then they are stopped
and placed elsewhere.
"""

from __future__ import annotations

import time

from regions.local.nomad_version import UNDATED
from regions.local.state import job_writes
from regions.local.state.job_writes import Refused
from regions.local.state.snapshot import Record, Snapshot, is_client_terminal
from regions.local.state.times import format_time, parse_time
from regions.local.state.transaction import Transaction

ELIGIBLE, INELIGIBLE = "eligible", "ineligible"
_SECOND = 1_000_000_000
_KEPT_EVENTS = 10
_NEVER = "0001-01-01T00:00:00Z"


def set_eligibility(transaction: Transaction, node_id: str, wanted: str) -> None:
    """Sets whether new work may be placed on the node. Raises Refused."""
    if wanted not in (ELIGIBLE, INELIGIBLE):
        raise Refused(f'invalid scheduling eligibility "{wanted}"')
    node = _node(transaction.state, node_id)
    if node["DrainStrategy"] is not None and wanted == ELIGIBLE:
        raise Refused("can not set node's scheduling eligibility to eligible while it is draining")
    if node["SchedulingEligibility"] != wanted:
        message = f"Node marked as {wanted} for scheduling"
        _put(transaction, node, {"SchedulingEligibility": wanted}, "Cluster", message)


def set_status(transaction: Transaction, node_id: str, status: str, message: str) -> list[Record]:
    """Sets the node's status to `ready` or `down`. Returns the evaluations that follow, none where nothing changed."""
    node = transaction.state.nodes.get(node_id)
    if node is None or node["Status"] == status:
        return []
    _put(transaction, node, {"Status": status, "StatusDescription": ""}, "Cluster", message)
    return evaluate_jobs(transaction, node_id)


def evaluate_jobs(transaction: Transaction, node_id: str) -> list[Record]:
    """Adds evaluations of all jobs that have an allocation on the node; before `UNDATED` also of those that had one."""
    state, evaluations = transaction.state, []
    includes_ended = transaction.answers_as < UNDATED
    jobs = {
        (alloc["Namespace"], alloc["JobID"]): alloc["Job"]
        for alloc in state.allocs.values()
        if alloc["NodeID"] == node_id and (includes_ended or not is_client_terminal(alloc))
    }
    for key, job in jobs.items():
        evaluation = job_writes.evaluate(transaction, state.jobs.get(key) or job, "node-update", time.time_ns())
        transaction.put_eval(
            {**evaluation, "NodeID": node_id, "NodeModifyIndex": state.nodes.get(node_id)["ModifyIndex"]}
        )
        evaluations.append(state.evals.get(evaluation["ID"]))
    return evaluations


def set_drain(
    transaction: Transaction, node_id: str, spec: Record | None, *, mark_eligible: bool, meta: dict[str, str]
) -> int | None:
    """Begins, changes or (`spec` None) cancels a drain. Returns when (ns) it is forced, None: never. Raises Refused."""
    node, now_ns = _node(transaction.state, node_id), time.time_ns()
    old, fields = node["DrainStrategy"], Record()
    if spec is None:
        if mark_eligible:
            fields["SchedulingEligibility"] = ELIGIBLE
        if old is None:
            _put(transaction, node, fields)
        else:
            last = _last_drain(node, "canceled", now_ns, meta)
            fields |= {"Drain": False, "DrainStrategy": None, "LastDrain": last}
            _put(transaction, node, fields, "Drain", "Node drain disabled")
        return None
    deadline_ns = int(spec.get("Deadline") or 0)
    strategy = {
        "Deadline": deadline_ns,
        "ForceDeadline": format_time(now_ns + deadline_ns) if deadline_ns > 0 else _NEVER,
        "IgnoreSystemJobs": bool(spec.get("IgnoreSystemJobs")),
        "StartedAt": old["StartedAt"] if old else format_time(now_ns),
    }
    fields |= {"Drain": True, "DrainStrategy": strategy, "SchedulingEligibility": INELIGIBLE}
    fields["LastDrain"] = _last_drain(node, "draining", now_ns, meta, is_new=old is None)
    message = "Node drain strategy updated" if old else "Node drain strategy set"
    _put(transaction, node, fields, "Drain", message)
    return now_ns + max(0, deadline_ns) if deadline_ns else None


def complete_drain(transaction: Transaction, node_id: str) -> None:
    """Ends the node's drain if there is one and nothing runs there."""
    node = transaction.state.nodes.get(node_id)
    if node is None or node["DrainStrategy"] is None or next(transaction.state.live_allocs(node_id), None):
        return
    allocs = transaction.state.allocs.values()
    if all(is_client_terminal(alloc) for alloc in allocs if alloc["NodeID"] == node_id):
        _end_drain(transaction, node, None)


def force_drain(transaction: Transaction, node_id: str, now_ns: int) -> list[Record]:
    """Ends a drain whose deadline has come. Returns the evaluations that stop what still runs there. Before `UNDATED` they
    also look for room elsewhere."""
    node = transaction.state.nodes.get(node_id)
    strategy = node and node["DrainStrategy"]
    if not strategy or not strategy["Deadline"]:
        return []
    if strategy["Deadline"] > 0 and parse_time(strategy["ForceDeadline"]) > now_ns:
        return []  # it was changed since
    jobs: dict[tuple[str, str], Record] = {}
    transition = {**job_writes.NO_TRANSITION, "Migrate": True}
    if transaction.answers_as >= UNDATED:
        transition["MigrateDisablePlacement"] = True
    for alloc in list(transaction.state.live_allocs(node_id)):
        transaction.put_alloc({**alloc, "DesiredTransition": transition})
        jobs[alloc["Namespace"], alloc["JobID"]] = alloc["Job"]
    _end_drain(transaction, node, {"deadline_reached": "true"})
    return [job_writes.evaluate(transaction, job, "node-drain", now_ns) for job in jobs.values()]


def _end_drain(transaction: Transaction, node: Record, details: dict[str, str] | None) -> None:
    last = _last_drain(node, "complete", time.time_ns(), {})
    fields = {"Drain": False, "DrainStrategy": None, "LastDrain": last}
    _put(transaction, node, fields, "Drain", "Node drain complete", details)


def _node(state: Snapshot, node_id: str) -> Record:
    found: Record | None = state.nodes.get(node_id)
    if found is None:
        raise Refused("node not found")
    return found


def _last_drain(node: Record, status: str, now_ns: int, meta: dict[str, str], *, is_new: bool = False) -> Record:
    now = format_time(now_ns // _SECOND * _SECOND)
    old = {} if is_new or node["LastDrain"] is None else node["LastDrain"]
    return {
        "AccessorID": old.get("AccessorID", ""),
        "Meta": meta or old.get("Meta"),
        "StartedAt": old.get("StartedAt", now),
        "Status": status,
        "UpdatedAt": now,
    }


def _put(
    transaction: Transaction,
    node: Record,
    fields: Record,
    subsystem: str = "",
    message: str = "",
    details: dict[str, str] | None = None,
) -> None:
    now_ns = time.time_ns()
    events = node["Events"]
    if message:
        event = {
            "CreateIndex": transaction.index,
            "Details": details,
            "Message": message,
            "Subsystem": subsystem,
            "Timestamp": format_time(now_ns),
        }
        events = [*events, event][-_KEPT_EVENTS:]
    transaction.put_node({**node, **fields, "Events": events, "StatusUpdatedAt": now_ns // _SECOND})
