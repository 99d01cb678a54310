"""Builds the next snapshot change by change, with all consequences: job status, summaries, usage."""

from __future__ import annotations

from typing import Any

from regions.local.nomad_version import REFERENCES, NomadVersion
from regions.local.state.derived import derive
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.table import Table

_SUMMARY_OF = {
    "pending": "Starting",
    "running": "Running",
    "complete": "Complete",
    "failed": "Failed",
    "lost": "Lost",
    "unknown": "Unknown",
}
Change = tuple[str, Any, Record | None, Record | None]
"""(table, key, old, new). new is None for a deletion."""


class Transaction:
    """Builds one entry of the log, as Nomad of the version `answers_as` does. Nobody sees it before the store commits it."""

    def __init__(self, before: Snapshot, answers_as: NomadVersion = REFERENCES[0]) -> None:
        self.answers_as = answers_as
        self.state = before.copy()
        self.state.index += 1
        self.index = self.state.index
        self.changes: list[Change] = []
        self.freed_room = False
        self._touched: dict[tuple[str, str], None] = {}

    # -- called by operations ------------------------------------------------------------------------------------------

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
        """Adds or replaces an evaluation. One that placed everything cancels its job's blocked ones."""
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
        """Adds or replaces an allocation. Sets its indexes, and updates its job's counters and its node's usage."""
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

    def delete_node(self, node: Record) -> None:
        self._delete("nodes", node["ID"])

    def put_variable(self, variable: Record) -> None:
        self._put("variables", (variable["Namespace"], variable["Path"]), variable)

    def delete_variable(self, variable: Record) -> None:
        self._delete("variables", (variable["Namespace"], variable["Path"]))

    def delete_eval(self, evaluation: Record) -> None:
        self._delete("evals", evaluation["ID"])

    def delete_alloc(self, alloc: Record) -> None:
        self._delete("allocs", alloc["ID"])

    def finish(self) -> None:
        """Sets the status of every changed job from its allocations and evaluations."""
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

    # -- internals ---------------------------------------------------------------------------------------------------------

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
    """Returns the job's status by Nomad's rules: pending, running or dead."""
    if job["ParameterizedJob"] is not None and not job["Dispatched"]:
        return "dead" if job["Stop"] else "running"
    live, allocs, open_evals, evals = state.activity.get((job["Namespace"], job["ID"])) or (0, 0, 0, 0)
    if live:
        return "running"
    if open_evals:
        return "pending"
    return "dead" if allocs or evals else "pending"


def apply(state: Snapshot, table: str, key: Any, old: Record | None, new: Record | None) -> bool:
    """Applies one change to a snapshot under construction and its derived tables. Returns whether room became free."""
    current: Table = getattr(state, table)
    setattr(state, table, current.delete(key) if new is None else current.put(key, new))
    state.table_index[table] = state.index
    return derive(state, table, old, new)
