"""Parse what should be kept (`last=3,age=30d,best=roc_auc:2`), and find the results that nothing keeps. No I/O.

A result is kept when any part keeps it. Whatever the rule says, kept are: results that hold a tag or held one before (a
rollback may go there), parents of other results, results of open runs, and artifacts that were adopted or published in place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches

from federation.errors import UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.columns import Row
from federation.index.maintenance.removal import prefix_of
from federation.index.rows import COMMITTED
from federation.log import timestamp
from federation.text import duration_s

_EXAMPLE = "write --keep last=3,age=30d,best=roc_auc:2 (best=-log_loss:2 where less is better)"


@dataclass(frozen=True, slots=True)
class Retention:
    """Per job: the committed results of the newest `last` versions, those committed within `age`, the best K by a metric
    (the least, with `is_least`). Superseded, late and retired results are kept by `age` only. A job of which no
    committed result has the metric keeps all that it has."""

    last: int = 0
    age: timedelta | None = None
    best: tuple[tuple[str, int, bool], ...] = ()
    """(metric, how many, is_least)"""
    job: str = ""
    """The only job whose results may go; empty: all jobs."""


def parse_retention(texts: Iterable[str], job: str = "") -> Retention:
    """The rule that these say together, for one job or for all.

    Raises UsageError for one that says nothing, or nothing that is known."""
    last, age = 0, None
    best: list[tuple[str, int, bool]] = []
    for part in (part.strip() for text in texts for part in text.split(",")):
        name, _, value = part.partition("=")
        if name == "last" and value.isdecimal() and int(value) > 0:
            last = max(last, int(value))
        elif name == "age" and value:
            given = timedelta(seconds=duration_s(value, "--keep age", least_s=0))
            age = given if age is None else max(age, given)
        elif name == "best" and (found := re.fullmatch(r"(-?)(.+):([1-9]\d*)", value)):
            best.append((found[2], int(found[3]), bool(found[1])))
        else:
            raise UsageError(f"--keep {part!r} isn't last=N, age=AGE or best=METRIC:K", hint=_EXAMPLE)
    if not (last or age or best):
        raise UsageError("nothing says what to keep", hint=_EXAMPLE)
    return Retention(last, age, tuple(best), job)


def unwanted(catalog: Catalog, rule: Retention, now: datetime) -> dict[str, Row]:
    """Results by allocation, oldest first, that nothing keeps; those that are removed already aren't among them. Raises
    UsageError for a job or a metric that no result ever had."""
    if rule.job:
        require_job(catalog, rule.job)
    _require_metrics(catalog, rule)
    asked, values = of_job(rule.job)
    present = "alloc_id NOT IN (SELECT alloc_id FROM removed)"
    _, rows = catalog.rows(f"{present} AND {asked}", values, order="rowid")
    for metric in (metric for metric, _, _ in rule.best if rule.job and rows):
        if not any(metric in row.metrics for row in rows):
            raise UsageError(f"--keep best={metric}: no result of the job {rule.job} has the metric {metric!r}")
    kept = _protected(catalog, rows) | _by_rule(rows, rule, now)
    return {row.alloc_id: row for row in rows if row.alloc_id not in kept}


def of_job(job: str) -> tuple[str, tuple[str, ...]]:
    """The condition of results of that job, and its values; of all results without one."""
    return ("job = ?", (job,)) if job else ("1", ())


def require_job(catalog: Catalog, job: str) -> None:
    """Raises UsageError for a job that has no result."""
    jobs = catalog.values("SELECT DISTINCT job FROM result ORDER BY job")
    if job not in jobs:
        near = get_close_matches(job, jobs, n=1)
        raise UsageError(
            f"the index has no result of a job {job!r}",
            hint=f"did you mean {near[0]!r}?" if near else f"jobs: {', '.join(jobs[:6]) or 'none'}",
        )


def _require_metrics(catalog: Catalog, rule: Retention) -> None:
    fields = catalog.fields()
    for metric in (metric for metric, _, _ in rule.best if fields.are_known and metric not in fields.metrics):
        near = get_close_matches(metric, fields.metrics, n=1)
        raise UsageError(
            f"--keep best={metric}: no result has the metric {metric!r}",
            hint=f"did you mean {near[0]!r}?"
            if near
            else f"metrics: {', '.join(sorted(fields.metrics)[:6]) or 'none'}",
        )


def _protected(catalog: Catalog, rows: Iterable[Row]) -> set[str]:
    kept = set(catalog.values("SELECT json_extract(change, '$.alloc_id') FROM event WHERE kind = 'tag'"))
    open_runs = set(catalog.values("SELECT run FROM run WHERE state = 'open'"))
    parents = tuple(set(catalog.values("SELECT parent FROM parent")))
    for row in rows:
        if row.run in open_runs or prefix_of(row) is None or (parents and row.alloc_id.startswith(parents)):
            kept.add(row.alloc_id)
    return kept


def _by_rule(rows: list[Row], rule: Retention, now: datetime) -> set[str]:
    kept: set[str] = set()
    if rule.age is not None:
        since = timestamp(now - rule.age)
        kept |= {row.alloc_id for row in rows if row.committed >= since}
    by_job: dict[str, list[Row]] = {}
    for row in rows:
        by_job.setdefault(row.job, []).append(row)
    for all_rows in by_job.values():
        committed = [row for row in all_rows if row.state == COMMITTED]
        kept |= _of_newest_versions(committed, rule.last)
        for metric, count, is_least in rule.best if committed else ():
            # a job that never measured it: nothing says which of its results are the best, so none is given up
            kept |= _best(committed, metric, count, is_least=is_least) or {row.alloc_id for row in all_rows}
    return kept


def _of_newest_versions(rows: Sequence[Row], count: int) -> set[str]:
    newest = {row.version: row.revision for row in rows}  # the last one wins: rows come oldest first
    versions = sorted(newest, key=lambda version: newest[version], reverse=True)[:count]
    return {row.alloc_id for row in rows if row.version in versions}


def _best(rows: Sequence[Row], metric: str, count: int, *, is_least: bool) -> set[str]:
    """The best `count` by a metric; empty where none has it as a number."""
    measured = [(_number(row.metrics.get(metric)), row.alloc_id) for row in rows]
    ranked = sorted((value if is_least else -value, alloc_id) for value, alloc_id in measured if value is not None)
    return {alloc_id for _, alloc_id in ranked[:count]}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return None
    return float(value)
