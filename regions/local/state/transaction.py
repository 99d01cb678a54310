"""Changes enter one by one, the next snapshot leaves, with all that follows from them: job status, summaries, usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regions.local.state.snapshot import TERMINAL_EVAL, Record, Snapshot, is_terminal, version_key
from regions.local.state.table import Table

TRACKED_VERSIONS = 6
_SUMMARY_OF = {
    "pending": "Starting",
    "running": "Running",
    "complete": "Complete",
    "failed": "Failed",
    "lost": "Lost",
    "unknown": "Unknown",
}
Change = tuple[str, Any, Record | None, Record | None]
"""(table, key, old, new); new is None for a deletion."""


class Transaction:
    """Builds one entry of the log. Nothing is seen by anybody before the store commits it."""

    def __init__(self, before: Snapshot) -> None:
        self.state = before.copy()
        self.state.index += 1
        self.index = self.state.index
        self.changes: list[Change] = []
        self.freed_room = False
        self._touched: dict[tuple[str, str], None] = {}

    # -- what operations call ------------------------------------------------------------------------------------------

    def put_job(self, job: Record) -> None:
        """Adds or replaces a job, its version, and (when it is new) its summary. Its status is set at the end."""
        key = (job["Namespace"], job["ID"])
        is_new = key not in self.state.jobs
        self._put("jobs", key, job)
        summary = self.state.summaries.get(key)
        groups = {} if summary is None else summary["Summary"]
        if summary is None or any(group["Name"] not in groups for group in job["TaskGroups"]):
            self._put_summary(
                key, {group["Name"]: groups.get(group["Name"], _EMPTY) for group in job["TaskGroups"]} | groups
            )
        if is_new and job["ParentID"]:
            self._count_child(job, None, "pending")
        self._touched[key] = None

    def delete_job(self, job: Record) -> None:
        key = (job["Namespace"], job["ID"])
        if job["ParentID"] and job["Status"] != "dead":
            self._count_child(job, job["Status"], "dead")
        self._delete("jobs", key)
        self._delete("summaries", key)
        self._touched.pop(key, None)

    def put_eval(self, evaluation: Record) -> None:
        """Adds or replaces an evaluation; one that placed everything cancels its job's blocked ones."""
        key = (evaluation["Namespace"], evaluation["JobID"])
        evaluation = {**evaluation, "ModifyIndex": self.index}
        evaluation.setdefault("CreateIndex", self.index)
        self._put("evals", evaluation["ID"], evaluation)
        queued = evaluation.get("QueuedAllocations")
        summary = self.state.summaries.get(key)
        if queued and summary is not None:
            self._put_summary(
                key,
                {
                    name: {**counts, "Queued": queued[name]}
                    if counts["Queued"] != queued.get(name, 0) and name in queued
                    else counts
                    for name, counts in summary["Summary"].items()
                },
            )
        if evaluation["Status"] == "complete" and not evaluation.get("FailedTGAllocs"):
            for other in self.state.job_evals(*key):
                if other["Status"] == "blocked":
                    self._put(
                        "evals",
                        other["ID"],
                        {
                            **other,
                            "Status": "canceled",
                            "StatusDescription": f'evaluation "{evaluation["ID"]}" successful',
                            "ModifyIndex": self.index,
                        },
                    )
        self._touched[key] = None

    def put_alloc(self, alloc: Record) -> None:
        """Adds or replaces an allocation; sets its indexes, and keeps its job's counters and its node's usage."""
        old = self.state.allocs.get(alloc["ID"])
        alloc = {**alloc, "ModifyIndex": self.index}
        if old is None:
            alloc["CreateIndex"] = alloc["AllocModifyIndex"] = self.index
        self._put("allocs", alloc["ID"], alloc)
        key = (alloc["Namespace"], alloc["JobID"])
        summary = self.state.summaries.get(key)
        group = alloc["TaskGroup"]
        if summary is not None and group in summary["Summary"]:
            counts = summary["Summary"][group]
            was = old and _SUMMARY_OF[old["ClientStatus"]]
            now = _SUMMARY_OF[alloc["ClientStatus"]]
            if was != now:
                counts = {**counts, now: counts[now] + 1}
                if was:
                    counts[was] = max(0, counts[was] - 1)
                else:
                    counts["Queued"] = max(0, counts["Queued"] - 1)
                self._put_summary(key, {**summary["Summary"], group: counts})
        self._touched[key] = None

    def put_node(self, node: Record) -> None:
        node = {**node, "ModifyIndex": self.index}
        node.setdefault("CreateIndex", self.index)
        self._put("nodes", node["ID"], node)

    def put_variable(self, variable: Record) -> None:
        self._put("variables", (variable["Namespace"], variable["Path"]), variable)

    def delete_variable(self, variable: Record) -> None:
        self._delete("variables", (variable["Namespace"], variable["Path"]))

    def delete_eval(self, evaluation: Record) -> None:
        self._delete("evals", evaluation["ID"])

    def delete_alloc(self, alloc: Record) -> None:
        self._delete("allocs", alloc["ID"])

    def finish(self) -> None:
        """Sets the status of every job that was touched, from its allocations and evaluations."""
        for key in self._touched:
            job = self.state.jobs.get(key)
            if job is None:
                continue
            status = job_status(self.state, job)
            if status != job["Status"]:
                old = job["Status"] or None
                job = {**job, "Status": status, "ModifyIndex": self.index}
                self._put("jobs", key, job)
                if job["ParentID"]:
                    self._count_child(job, old or "pending", status)

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _put_summary(self, key: tuple[str, str], groups: dict[str, Any]) -> None:
        old = self.state.summaries.get(key) or {
            "Children": {"Dead": 0, "Pending": 0, "Running": 0},
            "CreateIndex": self.index,
            "JobID": key[1],
            "Namespace": key[0],
        }
        if old.get("Summary") != groups:
            self._put("summaries", key, {**old, "ModifyIndex": self.index, "Summary": groups})

    def _count_child(self, job: Record, was: str | None, now: str) -> None:
        key = (job["Namespace"], job["ParentID"])
        summary = self.state.summaries.get(key)
        if summary is None or was == now:
            return
        children = dict(summary["Children"])
        if was:
            children[was.capitalize()] = max(0, children[was.capitalize()] - 1)
        children[now.capitalize()] += 1
        self._put("summaries", key, {**summary, "Children": children, "ModifyIndex": self.index})

    def _put(self, table: str, key: Any, new: Record) -> None:
        old = getattr(self.state, table).get(key)
        self.changes.append((table, key, old, new))
        self.freed_room |= apply(self.state, table, key, old, new)

    def _delete(self, table: str, key: Any) -> None:
        old = getattr(self.state, table).get(key)
        if old is not None:
            self.changes.append((table, key, old, None))
            self.freed_room |= apply(self.state, table, key, old, None)


_EMPTY = {"Complete": 0, "Failed": 0, "Lost": 0, "Queued": 0, "Running": 0, "Starting": 0, "Unknown": 0}


def job_status(state: Snapshot, job: Record) -> str:
    """pending, running or dead, by Nomad's rules."""
    if job["ParameterizedJob"] is not None and not job["Dispatched"]:
        return "dead" if job["Stop"] else "running"
    live, allocs, open_evals, evals = state.activity.get((job["Namespace"], job["ID"])) or (0, 0, 0, 0)
    if live:
        return "running"
    if open_evals:
        return "pending"
    return "dead" if allocs or evals else "pending"


def apply(state: Snapshot, table: str, key: Any, old: Record | None, new: Record | None) -> bool:
    """Puts one change into a snapshot under construction, derived tables included. True when room became free.

    Derived tables follow from the records alone, so they are never stored.
    """
    current: Table = getattr(state, table)
    setattr(state, table, current.delete(key) if new is None else current.put(key, new))
    state.table_index[table] = state.index
    return derive(state, table, old, new)


def derive(state: Snapshot, table: str, old: Record | None, new: Record | None) -> bool:
    """Brings the derived tables in line with one change. True when room became free."""
    follow: Callable[[Snapshot, Record | None, Record | None], bool] | None = _DERIVE.get(table)
    return follow(state, old, new) if follow else False


def _derive_alloc(state: Snapshot, old: Record | None, new: Record | None) -> bool:
    alloc = new or old
    assert alloc is not None
    job_key = (alloc["Namespace"], alloc["JobID"])
    was_live, is_live = old is not None and not is_terminal(old), new is not None and not is_terminal(new)
    if old is None:
        state.allocs_by_job = state.allocs_by_job.put((*job_key, alloc["ID"]), None)
        state.allocs_by_age = state.allocs_by_age.put((alloc["CreateIndex"], alloc["ID"]), None)
    elif new is None:
        state.allocs_by_job = state.allocs_by_job.delete((*job_key, alloc["ID"]))
        state.allocs_by_age = state.allocs_by_age.delete((alloc["CreateIndex"], alloc["ID"]))
    _count(state, job_key, (is_live - was_live, (new is not None) - (old is not None), 0, 0))
    if was_live == is_live:
        return False
    node_key = (alloc["NodeID"], alloc["ID"])
    sign = 1 if is_live else -1
    state.allocs_by_node = (
        state.allocs_by_node.put(node_key, None) if is_live else state.allocs_by_node.delete(node_key)
    )
    cpu, memory, disk = state.usage.get(alloc["NodeID"]) or (0, 0, 0)
    more_cpu, more_memory, more_disk = alloc_size(alloc)
    state.usage = state.usage.put(
        alloc["NodeID"], (cpu + sign * more_cpu, memory + sign * more_memory, disk + sign * more_disk)
    )
    return was_live


def _derive_eval(state: Snapshot, old: Record | None, new: Record | None) -> bool:
    evaluation = new or old
    assert evaluation is not None
    job_key = (evaluation["Namespace"], evaluation["JobID"])
    was_open = old is not None and old["Status"] not in TERMINAL_EVAL
    is_open = new is not None and new["Status"] not in TERMINAL_EVAL
    if old is None:
        state.evals_by_job = state.evals_by_job.put((*job_key, evaluation["ID"]), None)
        state.evals_by_age = state.evals_by_age.put((evaluation["CreateIndex"], evaluation["ID"]), None)
    elif new is None:
        state.evals_by_job = state.evals_by_job.delete((*job_key, evaluation["ID"]))
        state.evals_by_age = state.evals_by_age.delete((evaluation["CreateIndex"], evaluation["ID"]))
    for record, is_there in ((old, False), (new, True)):
        if record is not None and record["Status"] == "blocked":
            key = (-record["Priority"], record["CreateIndex"], record["ID"])
            state.blocked = state.blocked.put(key, record) if is_there else state.blocked.delete(key)
    _count(state, job_key, (0, 0, is_open - was_open, (new is not None) - (old is not None)))
    return False


def _derive_job(state: Snapshot, old: Record | None, new: Record | None) -> bool:
    job = new or old
    assert job is not None
    if new is None:
        for version in state.job_versions(job["Namespace"], job["ID"]):
            state.versions = state.versions.delete(version_key(version))
    elif new["ModifyIndex"] == new["JobModifyIndex"]:
        # A version shows the status of the moment it was registered, as Nomad's do.
        state.versions = state.versions.put(version_key(new), new)
        if old is not None and old["Version"] != new["Version"]:
            for version in state.job_versions(job["Namespace"], job["ID"])[TRACKED_VERSIONS:]:
                state.versions = state.versions.delete(version_key(version))
    token = job["DispatchIdempotencyToken"]
    if token:
        key = (job["Namespace"], job["ParentID"], token)
        state.tokens = state.tokens.delete(key) if new is None else state.tokens.put(key, job["ID"])
    return False


def _count(state: Snapshot, job_key: tuple[str, str], more: tuple[int, int, int, int]) -> None:
    if any(more):
        counts = state.activity.get(job_key) or (0, 0, 0, 0)
        counts = tuple(count + extra for count, extra in zip(counts, more, strict=True))
        state.activity = state.activity.put(job_key, counts) if any(counts) else state.activity.delete(job_key)


def alloc_size(alloc: Record) -> tuple[int, int, int]:
    """(cpu MHz, memory MB, disk MB) that the allocation holds on its node: lifecycle hooks share, they don't add up."""
    resources = alloc["AllocatedResources"]
    hooks: dict[str, list[int]] = {}
    for name, task in resources["Tasks"].items():
        hook = resources["TaskLifecycles"].get(name)
        kind = "main" if hook is None else hook["Hook"] + ("+" if hook["Sidecar"] else "")
        total = hooks.setdefault(kind, [0, 0])
        total[0] += task["Cpu"]["CpuShares"]
        total[1] += task["Memory"]["MemoryMB"]
    cpu, memory = shared_maximum(hooks)
    return cpu, memory, resources["Shared"]["DiskMB"]


def shared_maximum(hooks: dict[str, list[int]]) -> tuple[int, int]:
    """What tasks need together: prestart, main and poststop take turns, prestart sidecars run throughout.

    Poststart tasks count for nothing, as in Nomad 1.6.
    """
    none = [0, 0]
    turns = [hooks.get(kind, none) for kind in ("prestart", "main", "poststop")]
    sidecars = hooks.get("prestart+", none)
    return max(turn[0] for turn in turns) + sidecars[0], max(turn[1] for turn in turns) + sidecars[1]


_DERIVE: dict[str, Callable[[Snapshot, Record | None, Record | None], bool]] = {
    "allocs": _derive_alloc,
    "evals": _derive_eval,
    "jobs": _derive_job,
}
