"""Removes dead jobs, evaluations, allocations and nodes that are older than Nomad's thresholds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from regions.local.state.snapshot import TERMINAL_EVAL, Record, Snapshot, is_client_terminal, is_terminal
from regions.local.state.store import Store
from regions.local.state.transaction import Transaction

_JOB_S = 4 * 3600
_EVAL_S = 3600
_NODE_S = 24 * 3600
_BATCH = 200
"""Number of objects removed in one commit, so that other writers get their turn."""


def collect(
    store: Store, destroy: Callable[[str], None], *, declared: Collection[str] = (), force: bool = False
) -> None:
    """Removes what is over.

    Jobs that have been dead for four hours, with everything that belongs to them. Evaluations of removed jobs after
    one hour. Nodes that are down (and not `declared`, by name) after a day. `force` (system gc): everything that is
    over, however young.
    """
    now_ns = time.time_ns()
    state = store.snapshot
    dead = [job for job in state.jobs.values() if _is_over(state, job, 0 if force else now_ns - _JOB_S * 1_000_000_000)]
    for at in range(0, len(dead), _BATCH):
        _remove(store, destroy, [(job["Namespace"], job["ID"]) for job in dead[at : at + _BATCH]])
    before_ns = now_ns if force else now_ns - _EVAL_S * 1_000_000_000
    orphans = {
        (evaluation["Namespace"], evaluation["JobID"])
        for evaluation in state.evals.values()
        if evaluation["ModifyTime"] < before_ns and (evaluation["Namespace"], evaluation["JobID"]) not in state.jobs
    }
    over = [key for key in orphans if _all_ended(state, key)]
    for at in range(0, len(over), _BATCH):
        _remove(store, destroy, over[at : at + _BATCH])
    before_s = now_ns // 1_000_000_000 - (0 if force else _NODE_S)
    store.commit("NodeDeregistration", lambda transaction: _forget_nodes(transaction, declared, before_s))


def _forget_nodes(transaction: Transaction, declared: Collection[str], before_s: int) -> None:
    for node in list(transaction.state.nodes.values()):
        is_gone = node["Status"] == "down" and node["Name"] not in declared and node["StatusUpdatedAt"] <= before_s
        allocs = (one for one in transaction.state.allocs.values() if is_gone and one["NodeID"] == node["ID"])
        if is_gone and all(is_client_terminal(alloc) for alloc in allocs):
            transaction.delete_node(node)


def _is_over(state: Snapshot, job: Record, before_ns: int) -> bool:
    if job["Status"] != "dead" or (job["ParameterizedJob"] is not None and not job["Dispatched"] and not job["Stop"]):
        return False
    key = (job["Namespace"], job["ID"])
    if not _all_ended(state, key):
        return False
    ended_ns = max(
        (record["ModifyTime"] for record in (*state.job_allocs(*key), *state.job_evals(*key))),
        default=job["SubmitTime"],
    )
    return before_ns == 0 or ended_ns < before_ns


def _all_ended(state: Snapshot, key: tuple[str, str]) -> bool:
    return all(is_terminal(alloc) for alloc in state.job_allocs(*key)) and all(
        evaluation["Status"] in TERMINAL_EVAL for evaluation in state.job_evals(*key)
    )


def _remove(store: Store, destroy: Callable[[str], None], keys: list[tuple[str, str]]) -> None:
    def change(transaction: Transaction) -> list[str]:
        gone = []
        for key in keys:
            state = transaction.state
            if not _all_ended(state, key):
                continue
            job = state.jobs.get(key)
            if job is not None:
                if job["Status"] != "dead":
                    continue
                transaction.delete_job(job)
            for alloc in state.job_allocs(*key):
                transaction.delete_alloc(alloc)
                gone.append(alloc["ID"])
            for evaluation in state.job_evals(*key):
                transaction.delete_eval(evaluation)
        return gone

    gone, _ = store.commit("JobBatchDeregistered", change)
    for alloc_id in gone:
        destroy(alloc_id)
