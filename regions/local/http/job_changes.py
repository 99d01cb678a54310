"""Endpoints that plan or change jobs."""

from __future__ import annotations

import binascii
import time

from regions.local.http.context import Context, namespace_of
from regions.local.http.job_specs import checked_job, job_in
from regions.local.http.messages import Failure, Reply, Request
from regions.local.http.views import written
from regions.local.nomad_version import (
    DISPATCH_AT_ONCE,
    DISPATCH_PRIORITY,
    RACE_SAFE_TOKENS,
)
from regions.local.scheduler.schedule import schedule
from regions.local.server.outcome import blocked_evaluation
from regions.local.state import job_writes
from regions.local.state.snapshot import Record
from regions.local.state.transaction import Transaction


def register(context: Context, request: Request) -> Reply:
    """/v1/jobs, /v1/job/:id"""
    body = request.json()
    wanted = job_in(context, request, body, request.name, mismatch="Job ID does not match name")
    old = context.store.snapshot.jobs.get((wanted["Namespace"], wanted["ID"]))
    if wanted["Periodic"] and old is not None:
        raise Failure(500, "cannot update non-periodic job to being periodic")
    checked_job(context, wanted)
    enforce = request.field("JobModifyIndex", int, 0) if body.get("EnforceIndex") else None
    if body.get("PreserveCounts") and old is not None:
        counts = {group["Name"]: group["Count"] for group in old["TaskGroups"]}
        for group in wanted["TaskGroups"]:
            group["Count"] = counts.get(group["Name"], group["Count"])
    now_ns, priority = time.time_ns(), request.field("EvalPriority", int, 0)
    evaluation, transaction = context.commit(
        "JobRegistered",
        lambda txn: job_writes.register(txn, wanted, now_ns=now_ns, enforce_index=enforce, eval_priority=priority),
    )
    context.worker.enqueue(evaluation)
    stored = transaction.state.jobs.get((wanted["Namespace"], wanted["ID"]))
    index = transaction.index if transaction.changes else 0
    return written(
        index,
        EvalCreateIndex=index if evaluation else 0,
        EvalID=evaluation["ID"] if evaluation else "",
        JobModifyIndex=stored["JobModifyIndex"],
        Warnings="",
    )


def deregister(context: Context, request: Request) -> Reply:
    job_id, purge = request.name, request.flag("purge")
    if not job_id:
        raise Failure(500, "missing job ID for deregistering")
    namespace, now_ns = namespace_of(request), time.time_ns()
    evaluation, transaction = context.commit(
        "JobDeregistered",
        lambda txn: job_writes.deregister(txn, namespace, job_id, purge=purge, now_ns=now_ns),
    )
    context.worker.enqueue(evaluation)
    index = transaction.index if transaction.changes else 0
    return written(
        index,
        EvalCreateIndex=index,
        EvalID=evaluation["ID"] if evaluation else "",
        JobModifyIndex=index,
        VolumeEvalID="",
        VolumeEvalIndex=0,
    )


def dispatch(context: Context, request: Request) -> Reply:
    job_id, body = request.name, request.json()
    if body.get("JobID") not in (None, "", job_id):
        raise Failure(400, "Job ID does not match")
    meta = body.get("Meta") or {}
    if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
        raise Failure(400, "json: cannot unmarshal value into Go struct field JobDispatchRequest.Meta of type string")
    payload = request.field("Payload", str, "")
    try:
        size = len(binascii.a2b_base64(payload, strict_mode=True)) if payload else 0
    except (binascii.Error, ValueError, TypeError) as error:
        raise Failure(400, "illegal base64 data at input byte 0") from error
    # `idempotency_token` counts in the query only: in the body, Nomad reads its own names.
    token = request.get("idempotency_token") or request.field("IdempotencyToken", str, "")
    id_prefix = request.field("IdPrefixTemplate", str, "")
    priority = request.field("Priority", int, 0) if context.config.answers_as >= DISPATCH_PRIORITY else 0
    namespace, now_ns = namespace_of(request), time.time_ns()
    is_used = (namespace, job_id, token) in context.store.snapshot.tokens
    races = context.faults.forgets_token(is_used and context.config.answers_as < RACE_SAFE_TOKENS)

    is_at_once = context.config.answers_as >= DISPATCH_AT_ONCE

    def change(transaction: Transaction) -> tuple[Record, bool, Record | None]:
        child, is_new = job_writes.dispatch(
            transaction,
            namespace,
            job_id,
            meta,
            payload,
            size,
            token=token,
            now_ns=now_ns,
            ignores_use=races,
            id_prefix=id_prefix,
            priority=priority,
        )
        if not (is_new and is_at_once):
            return child, is_new, None
        return child, is_new, job_writes.evaluate(transaction, child, "job-register", now_ns)

    (child, is_new, evaluation), transaction = context.commit("JobRegistered", change)
    if is_new and evaluation is None:  # two entries of the log: the second may be lost
        if context.faults.loses_evaluation():
            raise Failure(500, "rpc error: EOF")
        stored = transaction.state.jobs.get((namespace, child["ID"]))
        evaluation, transaction = context.commit(
            "EvaluationUpdated", lambda txn: job_writes.evaluate(txn, stored, "job-register", now_ns)
        )
    reply: Record = {
        "DispatchedJobID": child["ID"],
        "EvalCreateIndex": 0,
        "EvalID": "",
        "Index": child["ModifyIndex"],
        "JobCreateIndex": child["CreateIndex"],
    }
    if evaluation is not None:
        context.worker.enqueue(evaluation)
        reply |= {"EvalCreateIndex": transaction.index, "EvalID": evaluation["ID"], "Index": transaction.index}
    return Reply(reply, headers={"X-Nomad-Index": str(reply["Index"])})


def plan(context: Context, request: Request) -> Reply:
    from jobs.nomad_json.diff import job_diff

    job_id, body = request.name, request.json()
    wanted = checked_job(
        context,
        job_in(context, request, body, job_id, mismatch="Job ID does not match", no_id="Job must have a valid ID"),
    )
    state, now_ns = context.store.snapshot, time.time_ns()
    key = (wanted["Namespace"], wanted["ID"])
    old = state.jobs.get(key)
    trial = state.copy()
    if old is None or job_writes.spec_changed(old, wanted):
        index = old["JobModifyIndex"] + 1 if old else 100
        trial.jobs = trial.jobs.put(key, job_writes.next_version(old, wanted, index, now_ns))
    evaluation = {
        "ID": job_writes.new_id(),
        "JobID": wanted["ID"],
        "Namespace": wanted["Namespace"],
        "Priority": wanted["Priority"],
        "Type": wanted["Type"],
    }
    decision = schedule(trial, evaluation, now_ns, job_writes.new_id)
    diff = job_diff(old, wanted, decision.updates) if body.get("Diff") else None
    index = old["JobModifyIndex"] if old else 0
    return Reply(
        {
            "Annotations": {
                "DesiredTGUpdates": context.shown.desired_updates(decision.updates),
                "PreemptedAllocs": None,
            },
            "CreatedEvals": [context.shown.evaluation(blocked_evaluation(evaluation, decision, now_ns))]
            if decision.failed
            else None,
            "Diff": diff,
            "FailedTGAllocs": context.shown.failed(decision.failed) or None,
            "Index": index,
            "JobModifyIndex": index,
            "NextPeriodicLaunch": None,
            "Warnings": "",
        },
        headers={"X-Nomad-Index": str(index)},
    )


def evaluate(context: Context, request: Request) -> Reply:
    job_id, body = request.name, request.json() if request.body else {}
    if request.body and not body.get("JobID"):
        raise Failure(400, "Job ID must be specified")
    if body and body["JobID"] != job_id:
        raise Failure(400, "JobID not same as job name")
    options: Record = request.field("EvalOptions", dict, {}) if body else {}
    key = (namespace_of(request), job_id)

    def change(transaction: Transaction) -> Record:
        found = transaction.state.jobs.get(key)
        if found is None:
            raise job_writes.Refused("job not found")
        if found["ParameterizedJob"] is not None and not found["Dispatched"]:
            raise job_writes.Refused("can't evaluate parameterized job")
        if options.get("ForceReschedule"):
            job_writes.force_reschedule(transaction, found)
        return job_writes.evaluate(transaction, found, "job-register", time.time_ns())

    evaluation, transaction = context.commit("AllocationUpdateDesiredStatus", change)
    context.worker.enqueue(evaluation)
    index = transaction.index
    modify_index = evaluation["JobModifyIndex"]
    return written(index, EvalCreateIndex=index, EvalID=evaluation["ID"], JobModifyIndex=modify_index, Warnings="")
