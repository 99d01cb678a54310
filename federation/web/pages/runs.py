"""The page of all runs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from starlette.requests import Request

from federation.index.rows import OPEN, RunRow
from federation.run.attempt_times import seconds
from federation.text import in_words
from federation.ui.run_view import runs_document
from federation.web.page import Live, Page, PageRoute
from federation.web.query import Query, changed, with_query
from federation.web.site import Site
from federation.web.table import Cell, Column, Row, Table
from federation.workflows.run_glance import RunGlance, glance
from federation.workflows.run_list import STATES, UNDRIVEN, RunFilter, list_runs
from jobs.errors import FedmlError

COLUMNS = (
    Column("run", "id"),
    Column("name"),
    Column("job"),
    Column("version"),
    Column("state", "state"),
    Column("slots", "number"),
    Column("results", "number"),
    Column("why slots failed"),
    Column("time", "number", title="that it took; of an open run: that is left, if results go on coming as until now"),
    Column("cost", "number", title="of what was computed, by the prices in fedml.toml"),
    Column("opened", "time"),
    Column("author"),
)
FILTERS = ("job", "version", "name", "author", "region")
RUNS_SHOWN = 100
GLANCES_MAX = 20
"""So many of the shown runs that are open or have failed are read themselves; the others are shown from the index."""
GLANCE_EVERY_S = 10.0


def view(site: Site, request: Request) -> Page:
    """Reads the runs that match the address."""
    query = Query(request)
    asked = {name: query.text(name) or None for name in FILTERS}
    state = query.choice("state", STATES)
    wanted, after = RunFilter(**asked), query.text("after")
    found = list_runs(site.runs, site.app.index, wanted, state=state or None, after=after or None, limit=RUNS_SHOWN)
    revision = site.app.index.revision
    short = site.app.index.short_runs(row.run for row in found.rows)
    glances = _glances(site, found.rows)
    rows = [
        _row(row, short[row.run], glances.get(row.run), is_undriven=row.run in found.undriven) for row in found.rows
    ]
    command = "fedml runs list" + "".join(
        f" --{name} {shlex.quote(value)}" for name, value in {**asked, "state": state}.items() if value
    )
    table = Table(
        COLUMNS,
        rows,
        name="runs",
        total=found.total,
        next_href=changed(request, {"after": found.next_after}) if found.next_after else "",
        empty=found.remark or "No older runs.",
        empty_command="" if found.total or state or any(asked.values()) else site.first_command,
    )
    view = {"states": [(name, found.states.get(name, 0)) for name in STATES if name != UNDRIVEN], "asked": asked,
            "regions": tuple(site.app.config.regions), "state": state}  # fmt: skip
    return Page(
        "runs.html",
        "Runs",
        view,
        section="Runs",
        document=lambda: runs_document(found, revision),
        table=table,
        command=command,
        live=Live(version=(tuple(found.rows), tuple(found.undriven), repr(glances)), pause_s=2.0),
    )


def _row(row: RunRow, short: str, seen: RunGlance | None, *, is_undriven: bool) -> Row:
    causes = ", ".join(f"{count} {cause}" for cause, count in seen.causes.items()) if seen else ""
    return Row(
        row.run,
        (
            Cell(short, row.run),
            Cell(row.name),
            Cell(row.job, href=with_query("/runs", {"job": row.job})),
            Cell(row.version),
            Cell(UNDRIVEN if is_undriven else row.state, state=UNDRIVEN if is_undriven else row.state),
            Cell(f"{row.slots:,}", row.slots),
            Cell(row.results, row.committed),
            Cell(causes or row.reason, title=row.reason),
            Cell(_time(row, seen)),
            Cell(f"{seen.cost:.2f}" if seen and seen.cost is not None else "", seen.cost if seen else ""),
            Cell(row.opened, row.opened),
            Cell(row.author),
        ),
        href=f"/runs/{row.run}",
    )


def _time(row: RunRow, seen: RunGlance | None) -> str:
    if row.state == OPEN:
        return f"{in_words(seen.left_s)} left" if seen and seen.left_s is not None else ""
    try:
        return in_words(max(0.0, seconds(row.closed) - seconds(row.opened)))
    except ValueError:
        return ""


def _glances(site: Site, rows: Sequence[RunRow]) -> Mapping[str, RunGlance]:
    """The newest of these runs that are open or have failed, each read once for all viewers. What can't be read is left out."""
    wanted = [row for row in rows if row.state in (OPEN, "failed")][:GLANCES_MAX]
    found = {}
    for row in wanted:
        every_s = GLANCE_EVERY_S if row.state == OPEN else float("inf")
        with suppress(FedmlError):
            key = ("glance", row.run, row.state, row.committed if row.state != OPEN else 0)
            found[row.run] = site.shared.get(key, lambda row=row: _glance(site, row), max_age_s=every_s).value  # type: ignore[misc]
    return found


def _glance(site: Site, row: RunRow) -> RunGlance:
    runs = site.runs
    story = runs.story_of(row, runs.manifest(row.run), runs.log_of(row.run).refresh())
    return glance(story, runs.timeline(story, {}), time.time())


ROUTES = (PageRoute("/runs", view),)
