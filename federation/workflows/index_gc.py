"""Frees the bytes of results that no rule keeps, and of files that broken publishes left (`fedml index gc`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from federation.app import App
from federation.errors import UsageError
from federation.home import read_manifest
from federation.index.maintenance.gc import GcOutcome, Orphan, orphans, plan_gc, remove_orphans, run_gc
from federation.index.maintenance.retention import Retention, parse_retention
from federation.index.rows import OPEN
from federation.text import duration_s
from jobs.frozen import frozen
from regions.storage.errors import NotFound


@frozen
class GcRequest:
    """What to free. `rule` None: no results; `orphan_age` None: no files without a record; `job`: only of that job."""

    rule: Retention | None
    grace: timedelta
    orphan_age: timedelta | None
    job: str = ""


@frozen
class GcReport:
    """What was done, or (not `is_done`) would be."""

    is_done: bool
    results: GcOutcome
    orphans: list[Orphan]


def parse_gc(keep: Sequence[str], grace: str, orphan_age: str, job: str = "") -> GcRequest:
    """The request of `--keep`, `--grace`, `--orphans` and `--job`. Raises UsageError for one that says nothing, or nothing
    known."""
    if not keep and not orphan_age:
        raise UsageError("neither --keep nor --orphans says what to do", hint="see: fedml index gc --help")
    rule = parse_retention(keep, job) if keep else None
    age = timedelta(seconds=duration_s(orphan_age, "--orphans", least_s=0)) if orphan_age else None
    return GcRequest(rule, timedelta(seconds=duration_s(grace, "--grace", least_s=0)), age, job)


def gc(app: App, request: GcRequest, now: datetime, *, is_dry: bool) -> GcReport:
    """Mark, remove and delete what the request says; with `is_dry` only look."""
    stores, index = app.result_stores(), app.index
    found: list[Orphan] = []
    if request.orphan_age is not None:
        found = orphans(stores, index, now, request.orphan_age, request.job, open_code=lambda: _open_code(app))
    outcome = GcOutcome()
    if request.rule and is_dry:
        plan = plan_gc(index, stores, request.rule, now)
        outcome = GcOutcome(plan=plan, removed=plan.remove, problems=plan.skipped)
    elif request.rule:
        outcome = run_gc(index, stores, request.rule, now, grace=request.grace)
    if not is_dry:
        outcome.freed_bytes += remove_orphans(stores, found)
    return GcReport(not is_dry, outcome, found)


def _open_code(app: App) -> set[str]:
    """The code of open runs, which have no result yet. Raises IndexCorrupt, StoreError: then nothing is removed."""
    found: set[str] = set()
    for run in app.index.runs():
        if run.state == OPEN:
            with suppress(NotFound):  # it has dispatched nothing
                found.add(read_manifest(app.home, run.run).code_sha256)
    return found
