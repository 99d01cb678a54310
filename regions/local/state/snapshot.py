"""One moment of a region's state: immutable tables of Nomad's own JSON objects, and queries on them.

Objects in it are replaced, never changed. So a snapshot shows its moment for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from regions.local.state.table import Table

Record = dict[str, Any]

PRIMARY = ("jobs", "summaries", "evals", "allocs", "nodes", "variables")
"""Tables that the journal keeps. The others are derived from them."""
DERIVED = (
    "versions",
    "allocs_by_age",
    "allocs_by_job",
    "allocs_by_node",
    "evals_by_age",
    "evals_by_job",
    "activity",
    "usage",
    "tokens",
    "blocked",
)

TERMINAL_CLIENT = ("complete", "failed", "lost")
TERMINAL_EVAL = ("complete", "failed", "canceled")


def is_terminal(alloc: Record) -> bool:
    """Returns whether the allocation no longer counts: it was told to stop, or ended."""
    return alloc["DesiredStatus"] in ("stop", "evict") or alloc["ClientStatus"] in TERMINAL_CLIENT


def is_client_terminal(alloc: Record) -> bool:
    """Returns whether the allocation's tasks have ended."""
    return alloc["ClientStatus"] in TERMINAL_CLIENT


class Snapshot:
    """All tables at one index.

    jobs, summaries: (namespace, id) · versions: (namespace, id, zero-padded version) · evals, allocs, nodes: id ·
    variables: (namespace, path) · allocs_by_age, evals_by_age: (create index, id) ·
    allocs_by_job, evals_by_job: (namespace, job, id) · allocs_by_node: (node, id), live ones only ·
    activity: (namespace, job) → (live allocs, allocs, open evals, evals) · usage: node → (cpu, memory, disk) ·
    tokens: (namespace, parent, idempotency token) → child id ·
    blocked: (−priority, create index, id) → (evaluation id, what it asks for), in the order in which they are woken
    """

    __slots__ = (*PRIMARY, *DERIVED, "index", "table_index")

    def __init__(self) -> None:
        self.index = 0
        self.table_index: dict[str, int] = {}
        for name in (*PRIMARY, *DERIVED):
            setattr(self, name, Table())

    jobs: Table
    versions: Table
    summaries: Table
    evals: Table
    allocs: Table
    nodes: Table
    variables: Table
    allocs_by_age: Table
    allocs_by_job: Table
    allocs_by_node: Table
    evals_by_age: Table
    evals_by_job: Table
    activity: Table
    usage: Table
    tokens: Table
    blocked: Table

    def copy(self) -> Snapshot:
        """Copies the snapshot, for the writer to change before anybody sees it."""
        other = Snapshot.__new__(Snapshot)
        for name in (*PRIMARY, *DERIVED):
            setattr(other, name, getattr(self, name))
        other.index = self.index
        other.table_index = self.table_index.copy()
        return other

    def job_allocs(self, namespace: str, job_id: str) -> list[Record]:
        return [self.allocs.get(key[2]) for key, _ in self.allocs_by_job.prefixed((namespace, job_id))]

    def job_evals(self, namespace: str, job_id: str) -> list[Record]:
        return [self.evals.get(key[2]) for key, _ in self.evals_by_job.prefixed((namespace, job_id))]

    def job_versions(self, namespace: str, job_id: str) -> list[Record]:
        """Returns the job's versions, newest first."""
        return [job for _, job in self.versions.prefixed((namespace, job_id))][::-1]

    def live_allocs(self, node_id: str) -> Iterator[Record]:
        for key, _ in self.allocs_by_node.prefixed((node_id,)):
            yield self.allocs.get(key[1])

    def last(self, *tables: str) -> int:
        """Returns the index of the last change to any of these tables."""
        return max((self.table_index.get(name, 0) for name in tables), default=0)


def version_key(job: Record) -> tuple[str, str, str]:
    return (job["Namespace"], job["ID"], f"{job['Version']:010d}")
