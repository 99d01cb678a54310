"""Values that the index gives: a result's row, a run's row, what `open_run` answers; and the SQL that reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federation.result import MetricValue

COMMITTED = "committed"
SUPERSEDED = "superseded"
LATE = "late"
RETIRED = "retired"
REMOVED = "removed"
RESULT_STATES = (COMMITTED, SUPERSEDED, LATE, RETIRED, REMOVED)

OPEN = "open"
RUN_STATES_CLOSED = ("done", "failed", "cancelled")
CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Row:
    """One result in the index. Times are RFC 3339 in UTC; `created` is the node's, `committed` the log entry's.

    `url` is where the artifact lies (ending in `/`), `store` the URL of its store; neither holds a secret. `revision`
    is the index's own number of the commit.
    """

    job: str
    version: str
    run: str
    slot: int
    group: str
    index: int
    attempt: int
    region: str
    datacenter: str
    node: str
    alloc_id: str
    state: str
    """committed, superseded, late, retired or removed"""
    metrics: Mapping[str, MetricValue]
    params: Mapping[str, str]
    size_bytes: int
    store: str
    url: str
    created: str
    committed: str
    revision: int
    tags: tuple[str, ...] = ()
    """Those that point to it now, sorted."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run as the index knows it. `opened` and `closed` are RFC 3339 in UTC, `closed` "" while it is open."""

    run: str
    job: str
    version: str
    spec_hash: str
    slots: int
    expected_keys: int
    state: str
    """open, done, failed or cancelled"""
    reason: str
    opened: str
    closed: str
    revision: int
    """Of the entry that opened it."""
    committed: int
    """How many of its keys have a result that won (it may be retired since)."""


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote to a result."""

    revision: int
    time: str
    author: str
    text: str


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run whose version is reserved. `is_new`: no run and no result had that version of the job before."""

    version: str
    is_new: bool
    existing_results: int
    """Committed results of that job and version, from other runs."""
    revision: int


ROW_COLUMNS = (
    "job, version, run, slot, grp, idx, attempt, region, datacenter, node, alloc_id, state, metrics, params, "
    "size_bytes, store, url, created, committed, revision, "
    "(SELECT json_group_array(name) FROM tag WHERE tag.alloc_id = result.alloc_id)"
)
RUN_COLUMNS = (
    "run, job, version, spec_hash, slots, expected_keys, state, reason, opened, closed, revision, "
    "(SELECT COUNT(*) FROM result WHERE result.run = run.run AND result.entered = 'committed')"
)


def row_of(values: tuple[Any, ...]) -> Row:
    """A row from the values of ROW_COLUMNS."""
    fields = [*values]
    fields[12] = metrics_of(values[12])
    fields[13] = json.loads(values[13])
    fields[20] = tuple(sorted(json.loads(values[20])))
    return Row(*fields)


def metrics_of(text: str) -> dict[str, MetricValue]:
    """Metrics from their JSON, where `{"$float": "nan"}` stands for what JSON lacks."""
    metrics = json.loads(text)
    if "$float" in text:
        return {name: float(value["$float"]) if isinstance(value, dict) else value for name, value in metrics.items()}
    return dict(metrics)
