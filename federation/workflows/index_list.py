"""Finds results by what a person asks for (`fedml index list`, `fedml index show`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.app import App
from federation.errors import UnknownName, UsageError
from federation.index import RESULT_STATES, Row, RunRow
from federation.index.catalog.catalog import Catalog
from federation.index.lookup import require_region, require_tag, run_named
from federation.index.query.fields import Field
from federation.index.reader import Reader
from federation.log import Change


@dataclass(frozen=True, slots=True)
class Listed:
    """Results, and what the answer rests on. `has_more`: further ones match. `fields`: those to show, None for the usual.
    `sorted_by`: the fields that `--sort` names. `filters`: those that were asked for, the run by its ID."""

    rows: list[Row]
    has_more: bool
    revision: int
    unknown: Sequence[tuple[int, Change]]
    fields: list[Field] | None
    sorted_by: Sequence[Field] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)


def list_results(
    app: App,
    index: Reader,
    filters: dict[str, Any],
    *,
    sort: str | None,
    columns: str | None,
    limit: int | None,
    after: str | None = None,
) -> Listed:
    """At most `limit` results that match all `filters` (see `Reader.query`). Raises UsageError for a state, run, region or
    tag that doesn't exist."""
    filters = named_filters(app, index, filters)
    asked = None if limit is None else limit + 1
    rows = index.query(**filters, sort=sort, limit=asked, after=after)
    fields = index.columns(columns) if columns is not None else None
    sorted_by = index.sort_fields(sort) if sort is not None else ()
    has_more = len(rows) == asked
    return Listed(rows[:limit], has_more, index.revision, index.unknown_changes(), fields, sorted_by, filters)


def named_filters(app: App, index: Reader, filters: dict[str, Any]) -> dict[str, Any]:
    """The filters with the ID of the run that they name. Raises UsageError for a state, run, region or tag that doesn't
    exist."""
    state, run, region, tag = (filters.get(name) for name in ("state", "run", "region", "tag"))
    if state is not None and state not in RESULT_STATES:
        raise UsageError(f"--state {state}: a result is {', '.join(RESULT_STATES[:-1])} or {RESULT_STATES[-1]}")
    if run is not None:
        filters = filters | {"run": run_named(index, run)}
    if region is not None:
        require_region(index, region, app.config.regions)
    if tag is not None:
        require_tag(index, tag)
    return filters


@dataclass(frozen=True, slots=True)
class Choices:
    """What results can be filtered by: their jobs, the newest versions (of the job, where one is named), states, tags."""

    job: Sequence[str]
    version: Sequence[str]
    region: Sequence[str]
    tag: Sequence[str]
    state: Sequence[str] = RESULT_STATES


def choices(app: App, index: Reader, job: str | None, *, limit: int) -> Choices:
    """At most `limit` of each, as of the last answer."""

    def ask(catalog: Catalog) -> Choices:
        jobs = catalog.values("SELECT DISTINCT job FROM version ORDER BY job LIMIT ?", limit)
        own = job or (jobs[0] if len(jobs) == 1 else "")
        versions = "SELECT version FROM version WHERE job = ? ORDER BY number DESC LIMIT ?"
        tags = catalog.values("SELECT name FROM tag ORDER BY name LIMIT ?", limit)
        return Choices(jobs, catalog.values(versions, own, limit), [*app.config.regions][:limit], tags)

    return index.ask_again(ask)


def short_ids(index: Reader, rows: Sequence[Row]) -> dict[str, str]:
    """The short ids of these results and of their runs."""
    return index.short_results(row.alloc_id for row in rows) | index.short_runs({row.run for row in rows})


def find_version(index: Reader, ref: str, job: str | None) -> tuple[list[Row], list[RunRow]]:
    """The results that `ref` may mean, with their runs; else the runs that reserved that version. Raises UsageError where
    there are neither."""
    rows = index.find(ref, job=job)
    if rows:
        return rows, [known for run in dict.fromkeys(row.run for row in rows) for known in index.runs(run=run)]
    runs = [known for known in index.runs(job=job) if known.version == ref]
    if not runs:
        raise UnknownName(f"the index has no result, version or tag {ref!r}", hint="fedml index list shows what it has")
    return [], runs
