"""Updates the derived tables after a change of a record. They follow from records alone and are never stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from regions.local.state.snapshot import TERMINAL_EVAL, Record, Snapshot, is_terminal, version_key

TRACKED_VERSIONS = 6
_INDEXES: dict[str, dict[str, Callable[[Record], Any]]] = {
    "allocs": {
        "allocs_by_job": lambda alloc: (alloc["Namespace"], alloc["JobID"], alloc["ID"]),
        "allocs_by_age": lambda alloc: (alloc["CreateIndex"], alloc["ID"]),
        "allocs_by_node": lambda alloc: None if is_terminal(alloc) else (alloc["NodeID"], alloc["ID"]),
    },
    "evals": {
        "evals_by_job": lambda one: (one["Namespace"], one["JobID"], one["ID"]),
        "evals_by_age": lambda one: (one["CreateIndex"], one["ID"]),
    },
    "jobs": {
        "tokens": lambda job: (
            (job["Namespace"], job["ParentID"], job["DispatchIdempotencyToken"])
            if job["DispatchIdempotencyToken"]
            else None
        ),
    },
}
"""Table → index → key under which a record's ID is found there. None: it isn't indexed."""


def derive(state: Snapshot, table: str, old: Record | None, new: Record | None) -> bool:
    """Updates the derived tables for one change. Returns whether room became free."""
    for name, key_of in _INDEXES.get(table, {}).items():
        _keep_index(state, name, key_of, old, new)
    if table == "jobs":
        _keep_versions(state, old, new)
    elif table == "evals":
        _keep_blocked(state, old, new)
        is_open = [item is not None and item["Status"] not in TERMINAL_EVAL for item in (old, new)]
        _add(state, "activity", _job_key(new or old), (0, 0, is_open[1] - is_open[0], (not old) - (not new)))
    return table == "allocs" and _keep_usage(state, old, new)


def _keep_index(
    state: Snapshot, name: str, key_of: Callable[[Record], Any], old: Record | None, new: Record | None
) -> None:
    before, after = old and key_of(old), new and key_of(new)
    if before == after:
        return
    index = getattr(state, name)
    if before is not None:
        index = index.delete(before)
    if after is not None and new is not None:
        index = index.put(after, new["ID"])
    setattr(state, name, index)


def _keep_usage(state: Snapshot, old: Record | None, new: Record | None) -> bool:
    """Counts an allocation's change for its job and its node. Returns whether room became free."""
    was_live, is_live = (item is not None and not is_terminal(item) for item in (old, new))
    alloc = new or old
    assert alloc is not None
    _add(state, "activity", _job_key(alloc), (is_live - was_live, (not old) - (not new), 0, 0))
    if was_live == is_live:
        return False
    _add(state, "usage", alloc["NodeID"], [(is_live - was_live) * size for size in alloc_size(alloc)])
    return was_live


def _keep_versions(state: Snapshot, old: Record | None, new: Record | None) -> None:
    job = new or old
    assert job is not None
    key = (job["Namespace"], job["ID"])
    if new is None:
        for version in state.job_versions(*key):
            state.versions = state.versions.delete(version_key(version))
    elif new["ModifyIndex"] == new["JobModifyIndex"]:
        # A version keeps the status that it was registered with, as Nomad's do.
        state.versions = state.versions.put(version_key(new), new)
        if old is not None and old["Version"] != new["Version"]:
            for version in state.job_versions(*key)[TRACKED_VERSIONS:]:
                state.versions = state.versions.delete(version_key(version))


def _keep_blocked(state: Snapshot, old: Record | None, new: Record | None) -> None:
    for record, is_there in ((old, False), (new, True)):
        if record is not None and record["Status"] == "blocked":
            key = (-record["Priority"], record["CreateIndex"], record["ID"])
            blocked = (record["ID"], _shape(state, record))
            state.blocked = state.blocked.put(key, blocked) if is_there else state.blocked.delete(key)


def _shape(state: Snapshot, evaluation: Record) -> Any:
    """Returns what evaluations that ask for the same share: children of one version of a job, of one priority."""
    job = state.jobs.get(_job_key(evaluation))
    return (id(job["TaskGroups"]), job["Priority"]) if job and job["ParentID"] else evaluation["ID"]


def _job_key(record: Record | None) -> tuple[str, str]:
    assert record is not None
    return record["Namespace"], record["JobID"]


def _add(state: Snapshot, name: str, key: Any, more: Iterable[int]) -> None:
    """Adds to the counters under a key. Removes counters that are all zero."""
    table = getattr(state, name)
    more = tuple(more)
    if any(more):
        old = table.get(key) or (0,) * len(more)
        counts = tuple(map(sum, zip(old, more, strict=True)))
        setattr(state, name, table.put(key, counts) if any(counts) else table.delete(key))


def alloc_size(alloc: Record) -> tuple[int, int, int]:
    """Returns (cpu MHz, memory MB, disk MB) that the allocation holds on its node."""
    resources = alloc["AllocatedResources"]
    cpu, memory = shared_maximum(
        (resources["TaskLifecycles"].get(name), task["Cpu"]["CpuShares"], task["Memory"]["MemoryMB"])
        for name, task in resources["Tasks"].items()
    )
    return cpu, memory, resources["Shared"]["DiskMB"]


def shared_maximum(tasks: Iterable[tuple[Record | None, int, int]]) -> tuple[int, int]:
    """Returns what tasks (lifecycle, cpu, memory) need together. Prestart, main and poststop take turns; prestart
    sidecars run throughout. Poststart tasks count for nothing, as in Nomad 1.6."""
    sums: dict[str, list[int]] = {}
    for hook, cpu, memory in tasks:
        total = sums.setdefault("main" if hook is None else hook["Hook"] + ("+" if hook["Sidecar"] else ""), [0, 0])
        total[0] += cpu
        total[1] += memory
    turns = [sums.get(kind, [0, 0]) for kind in ("prestart", "main", "poststop")]
    sidecars = sums.get("prestart+", [0, 0])
    return max(turn[0] for turn in turns) + sidecars[0], max(turn[1] for turn in turns) + sidecars[1]
