"""Writes what a decision makes of an evaluation: its allocations, its end, and the evaluations that follow it."""

from __future__ import annotations

from typing import Any

from regions.local.nomad_version import UNDATED
from regions.local.scheduler.reconcile import Decision
from regions.local.state import job_writes
from regions.local.state.snapshot import Record
from regions.local.state.times import format_time
from regions.local.state.transaction import Transaction


def commit_plan(
    transaction: Transaction, decision: Decision, later: list[tuple[Record, list[Record]]], evaluation: Record
) -> None:
    transaction.put_eval(evaluation)
    for alloc in (*decision.stops, *decision.changed, *decision.placed):
        transaction.put_alloc(alloc)
    for retry, allocs in later:
        for alloc in allocs:
            transaction.put_alloc({**alloc, "FollowupEvalID": retry["ID"]})


def close_evaluation(
    transaction: Transaction, evaluation: Record, decision: Decision, later: list[Record], now_ns: int
) -> list[Record]:
    """Completes the evaluation and creates its successors: a blocked one for what found no room, delayed retries."""
    state = transaction.state
    current = state.evals.get(evaluation["ID"])
    if current is None:
        return []
    created: list[Record] = []
    waits = bool(later) and not evaluation.get("WaitUntil")
    for retry in later:
        transaction.put_eval({**retry, "SnapshotIndex": transaction.index - 1})
        created.append(state.evals.get(retry["ID"]))
    if decision.failed and evaluation["Status"] == "blocked":
        if decision.placed:
            transaction.put_eval({**current, "ModifyTime": now_ns})
        return created
    closed = {
        **{field: value for field, value in current.items() if field not in ("FailedTGAllocs", "StatusDescription")},
        "Status": "complete",
        "ModifyTime": now_ns,
        "SnapshotIndex": transaction.index - 1,
    }
    if decision.queued:
        closed["QueuedAllocations"] = decision.queued
    if decision.updates and transaction.answers_as >= UNDATED:
        closed["PlanAnnotations"] = {"DesiredTGUpdates": decision.updates, "PreemptedAllocs": None}
    if decision.failed:
        closed["FailedTGAllocs"] = decision.failed
        if not waits:
            for other in state.job_evals(evaluation["Namespace"], evaluation["JobID"]):
                if other["Status"] == "blocked":
                    why = f'existing blocked evaluation exists for job "{evaluation["JobID"]}"'
                    transaction.put_eval({**other, "Status": "canceled", "StatusDescription": why})
            blocked = blocked_evaluation(evaluation, decision, now_ns)
            blocked["SnapshotIndex"] = closed["SnapshotIndex"]
            closed["BlockedEval"] = blocked["ID"]
            transaction.put_eval(blocked)
    transaction.put_eval(closed)
    return created


def blocked_evaluation(evaluation: Record, decision: Decision, now_ns: int) -> Record:
    """Builds the evaluation that waits for room after one that couldn't place everything."""
    optional: dict[str, Any] = {}
    if decision.has_escaped:
        optional["EscapedComputedClass"] = True
    elif decision.classes:
        optional["ClassEligibility"] = decision.classes
    if evaluation.get("JobModifyIndex"):
        optional["JobModifyIndex"] = evaluation["JobModifyIndex"]
    return job_writes.new_evaluation(
        evaluation["JobID"],
        evaluation,
        "queued-allocs",
        now_ns,
        FailedTGAllocs=decision.failed,
        PreviousEval=evaluation["ID"],
        Status="blocked",
        StatusDescription="created to place remaining allocations",
        **optional,
    )


def follow_up(evaluation: Record, job_index: int, at_ns: int, now_ns: int) -> Record:
    return job_writes.new_evaluation(
        evaluation["JobID"],
        evaluation,
        "alloc-failure",
        now_ns,
        JobModifyIndex=job_index,
        PreviousEval=evaluation["ID"],
        StatusDescription="created for delayed rescheduling",
        WaitUntil=format_time(at_ns),
    )
