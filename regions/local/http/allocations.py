"""Endpoints about evaluations and allocations."""

from __future__ import annotations

import time
from collections.abc import Iterator

from regions.local.http.context import (
    Context,
    age_token,
    blocking,
    check_id,
    check_prefix,
    check_uuid,
    in_order,
    listing,
    namespace_of,
    single,
    wanted_rows,
)
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.views import alloc_stub
from regions.local.state import job_writes
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.transaction import Transaction


def evaluations(context: Context, request: Request) -> Reply:
    """/v1/evaluations"""
    prefix, namespace = check_prefix("eval", request.get("prefix")), namespace_of(request)
    wanted_job, wanted_status = request.get("job"), request.get("status")
    if request.get("filter") and (wanted_job or wanted_status):
        raise Failure(400, "Filter expression cannot be used with other filter parameters")

    def rows(state: Snapshot) -> Iterator[Record]:
        for evaluation in in_order(request, state.evals, state.evals_by_age, prefix):
            if (
                namespace in ("*", evaluation["Namespace"])
                and wanted_job in ("", evaluation["JobID"])
                and wanted_status in ("", evaluation["Status"])
            ):
                yield evaluation

    return listing(
        context,
        request,
        ("evals",),
        rows,
        lambda _state, evaluation: context.shown.evaluation(evaluation),
        age_token(request),
    )


def count_evaluations(context: Context, request: Request) -> Reply:
    """/v1/evaluations/count. An evaluation that the filter can't judge isn't counted."""
    prefix, namespace = check_prefix("eval", request.get("prefix")), namespace_of(request)
    try:
        is_wanted = wanted_rows(context, request, ("evals",))
    except Failure as failure:
        _, is_unread, why = failure.message.partition("failed to read filter expression: ")
        if is_unread:
            raise Failure(500, why) from failure
        return Reply(_count(0, 1), index=1)

    def counts(evaluation: Record) -> bool:
        try:
            return namespace in ("*", evaluation["Namespace"]) and is_wanted(evaluation)
        except Failure:
            return False

    def build(state: Snapshot) -> Record:
        found = in_order(request, state.evals, state.evals_by_age, prefix)
        return _count(sum(map(counts, found)), state.last("evals"))

    return blocking(context, request, lambda state: state.last("evals"), build)


def _count(count: int, index: int) -> Record:
    return {"Count": count, "Index": index, "KnownLeader": True, "LastContact": 0, "NextToken": ""}


def of_evaluation(context: Context, request: Request) -> Reply:
    """/v1/evaluation/:id/allocations"""
    eval_id = request.name
    check_uuid("", eval_id)

    def allocs(state: Snapshot) -> list[Record]:
        found = state.evals.get(eval_id)
        of_job = state.job_allocs(found["Namespace"], found["JobID"]) if found else []
        return [context.shown.alloc_stub(alloc_stub(alloc)) for alloc in of_job if alloc["EvalID"] == eval_id]

    return blocking(context, request, lambda state: state.last("allocs"), allocs)


def evaluation(context: Context, request: Request) -> Reply:
    """/v1/evaluation/:id"""
    check_id("eval", request.name)
    return single(
        context,
        request,
        "evals",
        lambda state: state.evals.get(request.name),
        "eval not found",
        context.shown.evaluation,
    )


def allocation(context: Context, request: Request) -> Reply:
    """/v1/allocation/:id"""
    check_id("alloc", request.name)
    return single(
        context,
        request,
        "allocs",
        lambda state: state.allocs.get(request.name),
        "alloc not found",
        context.shown.allocation,
    )


def allocations(context: Context, request: Request) -> Reply:
    """/v1/allocations"""
    prefix, namespace = check_prefix("alloc", request.get("prefix")), namespace_of(request)
    resources = request.flag("resources")
    task_states = request.flag("task_states") if request.get("task_states") else True
    return listing(
        context,
        request,
        ("allocs",),
        lambda state: (
            alloc
            for alloc in in_order(request, state.allocs, state.allocs_by_age, prefix)
            if namespace in ("*", alloc["Namespace"])
        ),
        lambda _state, alloc: context.shown.alloc_stub(alloc_stub(alloc, resources=resources, task_states=task_states)),
        age_token(request),
    )


def services(context: Context, request: Request) -> Reply:
    """/v1/allocation/:id/services: none, because batch jobs here have no services"""
    check_id("alloc", request.name)
    if context.store.snapshot.allocs.get(request.name) is None:
        raise Failure(404, "allocation not found")
    return Reply([], index=1)


def stop(context: Context, request: Request) -> Reply:
    """/v1/allocation/:id/stop"""
    alloc_id = request.name
    check_id("alloc", alloc_id)

    def change(transaction: Transaction) -> Record:
        alloc = transaction.state.allocs.get(alloc_id)
        if alloc is None:
            raise Failure(404, "allocation not found")
        return job_writes.stop_alloc(transaction, alloc, time.time_ns())

    stopping, transaction = context.store.commit("AllocationUpdateDesiredStatus", change)
    context.worker.enqueue(stopping)
    reply = {"EvalID": stopping["ID"], "Index": transaction.index}
    return Reply(reply, headers={"X-Nomad-Index": str(transaction.index)})
