"""Requests about evaluations and allocations enter, Nomad's answers leave."""

from __future__ import annotations

import time
from collections.abc import Iterator

from regions.local.http.context import (
    Context,
    age_token,
    blocking,
    check_id,
    check_prefix,
    in_order,
    listing,
    namespace_of,
)
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.views import alloc_stub
from regions.local.state import job_writes
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.table import Table
from regions.local.state.transaction import Transaction


def evaluations(context: Context, request: Request) -> Reply:
    """/v1/evaluations"""
    request.only("GET")
    prefix, namespace = check_prefix("eval", request.get("prefix")), namespace_of(request)
    wanted_job = wanted_status = ""
    if context.config.has(1, 2, 4):
        wanted_job, wanted_status = request.get("job"), request.get("status")
    if request.get("filter") and (wanted_job or wanted_status) and context.config.has(1, 3):
        raise Failure(400, "Filter expression cannot be used with other filter parameters")

    def rows(state: Snapshot) -> Iterator[Record]:
        for one in in_order(context, request, state.evals, state.evals_by_age, prefix):
            if (
                namespace in ("*", one["Namespace"])
                and wanted_job in ("", one["JobID"])
                and wanted_status in ("", one["Status"])
            ):
                yield one

    return listing(context, request, ("evals",), rows, lambda _state, one: one, age_token(request))


def evaluation(context: Context, request: Request) -> Reply:
    """/v1/evaluation/:id, and its allocations"""
    request.only("GET")
    eval_id, _, what = request.path.removeprefix("/v1/evaluation/").partition("/")
    if what == "allocations":

        def allocs(state: Snapshot) -> list[Record]:
            found = state.evals.get(eval_id)
            of_job = state.job_allocs(found["Namespace"], found["JobID"]) if found else []
            return [alloc_stub(alloc) for alloc in of_job if alloc["EvalID"] == eval_id]

        return blocking(context, request, lambda state: state.last("allocs"), allocs)
    check_id("eval", eval_id)

    def build(state: Snapshot) -> Record:
        found: Record | None = state.evals.get(eval_id)
        if found is None:
            raise Failure(404, "eval not found")
        return found

    return blocking(context, request, lambda state: _modified(state.evals, eval_id) or state.last("evals"), build)


def allocations(context: Context, request: Request) -> Reply:
    """/v1/allocations"""
    request.only("GET")
    prefix, namespace = check_prefix("alloc", request.get("prefix")), namespace_of(request)
    resources = request.flag("resources")
    task_states = request.flag("task_states") if request.get("task_states") else True
    return listing(
        context,
        request,
        ("allocs",),
        lambda state: (
            alloc
            for alloc in in_order(context, request, state.allocs, state.allocs_by_age, prefix)
            if namespace in ("*", alloc["Namespace"])
        ),
        lambda _state, alloc: alloc_stub(alloc, resources=resources, task_states=task_states),
        age_token(request),
    )


def allocation(context: Context, request: Request) -> Reply:
    """/v1/allocation/:id, and stopping it"""
    alloc_id, _, what = request.path.removeprefix("/v1/allocation/").partition("/")
    if what == "stop":
        return _stop(context, request, alloc_id)
    if what:
        raise Failure(404, "resource not found")
    request.only("GET")
    check_id("alloc", alloc_id)

    def build(state: Snapshot) -> Record:
        found: Record | None = state.allocs.get(alloc_id)
        if found is None:
            raise Failure(404, "alloc not found")
        return found

    return blocking(context, request, lambda state: _modified(state.allocs, alloc_id) or state.last("allocs"), build)


def _stop(context: Context, request: Request, alloc_id: str) -> Reply:
    request.only("PUT", "POST")
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


def _modified(table: Table, key: str) -> int:
    record = table.get(key)
    return int(record["ModifyIndex"]) if record else 0
