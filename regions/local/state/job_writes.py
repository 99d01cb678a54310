"""Changes that clients make to jobs (register, dispatch, evaluate, stop), within one transaction.

Each function checks first and raises Refused, in Nomad's words, before it changes anything.
"""

from __future__ import annotations

import os
from typing import Any

from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.transaction import Transaction

PAYLOAD_LIMIT_BYTES = 16384
NO_TRANSITION: Record = dict.fromkeys(("ForceReschedule", "Migrate", "NoShutdownDelay", "Reschedule"))
_NOT_SPEC = (
    "CreateIndex",
    "ModifyIndex",
    "JobModifyIndex",
    "SubmitTime",
    "Status",
    "StatusDescription",
    "Stable",
    "Version",
)


class Refused(Exception):
    """A refusal in Nomad's words, with its HTTP `status`."""

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def new_id() -> str:
    """Returns a random UUID."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def spec_changed(old: Record, new: Record) -> bool:
    """Returns whether registering `new` over `old` makes a new version. A stopped job starts again as a new version."""
    return any(old[field] != new[field] for field in new if field not in _NOT_SPEC)


def check_update(state: Snapshot, job: Record, enforce_index: int | None) -> None:
    """Checks that the job may be registered over the existing one. `enforce_index` None: over anything."""
    old = state.jobs.get((job["Namespace"], job["ID"]))
    if enforce_index is not None:
        prefix = f"Enforcing job modify index {enforce_index}:"
        if old is None and enforce_index:
            raise Refused(f"{prefix} job does not exist")
        if old is not None and not enforce_index:
            raise Refused(f"{prefix} job already exists")
        if old is not None and old["JobModifyIndex"] != enforce_index:
            raise Refused(f"{prefix} job exists with conflicting job modify index: {old['JobModifyIndex']}")
    if old is None:
        return
    if old["Type"] != job["Type"]:
        raise Refused(f'cannot update job from type "{old["Type"]}" to "{job["Type"]}"')
    was, is_now = old["ParameterizedJob"] is not None, job["ParameterizedJob"] is not None
    if was and not is_now:
        raise Refused("cannot update parameterized job to being non-parameterized")
    if is_now and not was:
        raise Refused("cannot update non-parameterized job to being parameterized")
    if old["Dispatched"]:
        raise Refused("field 'Dispatched' is read-only")


def register(
    transaction: Transaction, job: Record, *, now_ns: int, enforce_index: int | None = None, eval_priority: int = 0
) -> Record | None:
    """Adds the job, or its next version. Returns the new evaluation, or None for a parameterized job."""
    state = transaction.state
    check_update(state, job, enforce_index)
    old = state.jobs.get((job["Namespace"], job["ID"]))
    if old is None or spec_changed(old, job):
        transaction.put_job(next_version(old, job, transaction.index, now_ns))
    if job["ParameterizedJob"] is not None:
        return None
    return evaluate(transaction, state.jobs.get((job["Namespace"], job["ID"])), "job-register", now_ns, eval_priority)


def next_version(old: Record | None, job: Record, index: int, now_ns: int) -> Record:
    """Returns the job as it is stored at `index`, over `old`."""
    return {
        **job,
        "CreateIndex": old["CreateIndex"] if old else index,
        "ModifyIndex": index,
        "JobModifyIndex": index,
        "SubmitTime": now_ns,
        "Version": old["Version"] + 1 if old else 0,
        "Status": old["Status"] if old else "",
    }


def evaluate(transaction: Transaction, job: Record, trigger: str, now_ns: int, priority: int = 0) -> Record:
    """Adds a pending evaluation for the job."""
    evaluation = new_evaluation(job["ID"], job, trigger, now_ns)
    evaluation |= {"CreateIndex": transaction.index, "Priority": priority or job["Priority"]}
    if trigger not in ("alloc-failure", "node-update"):
        evaluation["JobModifyIndex"] = job["JobModifyIndex"]
    transaction.put_eval(evaluation)
    return evaluation


def new_evaluation(job_id: str, like: Record, trigger: str, now_ns: int, **fields: Any) -> Record:
    """Builds a pending evaluation of the job like `like`: its namespace, priority and type. `fields` override."""
    return {
        "CreateTime": now_ns,
        "ID": new_id(),
        "JobID": job_id,
        "ModifyTime": now_ns,
        "Namespace": like["Namespace"],
        "Priority": like["Priority"],
        "Status": "pending",
        "TriggeredBy": trigger,
        "Type": like["Type"],
        **fields,
    }


def dispatch(
    transaction: Transaction,
    namespace: str,
    job_id: str,
    meta: dict[str, str],
    payload: str,
    size: int,
    *,
    token: str,
    now_ns: int,
    ignores_use: bool = False,
    id_prefix: str = "",
    priority: int = 0,
) -> tuple[Record, bool]:
    """Creates a child of a parameterized job. Returns it, and whether it is new.

    It is not new when `token` was used before (with `ignores_use`, it is). `payload` is base64 of `size` bytes.
    `id_prefix` comes before the time in the child's ID. `priority` 0 is the parent's.
    """
    state = transaction.state
    parent = state.jobs.get((namespace, job_id))
    if parent is None:
        raise Refused("parameterized job not found")
    if parent["ParameterizedJob"] is None or parent["Dispatched"]:
        raise Refused(f'Specified job "{job_id}" is not a parameterized job')
    if parent["Stop"]:
        raise Refused(f'Specified job "{job_id}" is stopped')
    _check_dispatch(parent["ParameterizedJob"], meta, size)
    if token and not ignores_use and (existing := state.tokens.get((namespace, job_id, token))):
        return state.jobs.get((namespace, existing)), False
    if id_prefix:
        id_prefix += "-"
    child_id = f"{job_id}/dispatch-{id_prefix}{now_ns // 1_000_000_000}-{os.urandom(4).hex()}"
    child = {
        **parent,
        "ID": child_id,
        "Name": child_id,
        "ParentID": job_id,
        "Dispatched": True,
        "DispatchIdempotencyToken": token,
        "Priority": priority or parent["Priority"],
        "Meta": {**(parent["Meta"] or {}), **meta} or None,
        "Payload": payload or None,
        "Status": "",
        "StatusDescription": "",
    }
    child = next_version(None, child, transaction.index, now_ns)
    transaction.put_job(child)
    return child, True


def _check_dispatch(config: Record, meta: dict[str, str], size: int) -> None:
    if config["Payload"] == "required" and not size:
        raise Refused("Payload is not provided but required by parameterized job")
    if config["Payload"] == "forbidden" and size:
        raise Refused("Payload provided but forbidden by parameterized job")
    if size > PAYLOAD_LIMIT_BYTES:
        raise Refused(f"Payload exceeds maximum size; {size} > {PAYLOAD_LIMIT_BYTES}")
    required, optional = config["MetaRequired"] or [], config["MetaOptional"] or []
    if unknown := [key for key in meta if key not in required and key not in optional]:
        raise Refused(f"Dispatch request included unpermitted metadata keys: [{' '.join(unknown)}]")
    if missing := [key for key in required if key not in meta]:
        raise Refused(f"Dispatch did not provide required meta keys: [{' '.join(missing)}]")


def deregister(transaction: Transaction, namespace: str, job_id: str, *, purge: bool, now_ns: int) -> Record | None:
    """Stops or removes the job. Returns the evaluation that stops its allocations; None for a parameterized parent."""
    job = transaction.state.jobs.get((namespace, job_id))
    if job is None:
        return None
    if purge:
        transaction.delete_job(job)
        job = {**job, "JobModifyIndex": transaction.index}
    else:
        job = {**job, "Stop": True, "ModifyIndex": transaction.index, "JobModifyIndex": transaction.index}
        job["Version"] += 1
        transaction.put_job(job)
    if job["ParameterizedJob"] is not None and not job["Dispatched"]:
        return None
    return evaluate(transaction, job, "job-deregister", now_ns)


def force_reschedule(transaction: Transaction, job: Record) -> None:
    """Marks the job's failed allocations to be replaced whatever their reschedule policy counts."""
    enabled = {
        group["Name"]
        for group in job["TaskGroups"]
        if group["ReschedulePolicy"]["Attempts"] or group["ReschedulePolicy"]["Unlimited"]
    }
    for alloc in transaction.state.job_allocs(job["Namespace"], job["ID"]):
        if alloc["TaskGroup"] in enabled and alloc["ClientStatus"] == "failed" and not alloc.get("NextAllocation"):
            transaction.put_alloc({**alloc, "DesiredTransition": {**NO_TRANSITION, "ForceReschedule": True}})


def stop_alloc(transaction: Transaction, alloc: Record, now_ns: int) -> Record:
    """Marks the allocation to be stopped and replaced. Returns the evaluation that does it."""
    transition = {**NO_TRANSITION, "Migrate": True, "NoShutdownDelay": False}
    transaction.put_alloc({**alloc, "DesiredTransition": transition})
    return evaluate(transaction, alloc["Job"], "alloc-stop", now_ns)
