"""The page of all runs."""

from __future__ import annotations

from starlette.requests import Request

from federation.web.page import Live, Page, PageRoute
from federation.web.query import Query
from federation.web.site import Site
from federation.web.table import Cell, Column, Row, Table
from federation.workflows.run_list import list_runs

COLUMNS = (
    Column("run", "id"),
    Column("job"),
    Column("version"),
    Column("state", "state"),
    Column("slots", "number"),
    Column("results", "number"),
    Column("opened", "time"),
    Column("author"),
)
RUNS_SHOWN = 100


def view(site: Site, request: Request) -> Page:
    """Reads the runs that match the address."""
    query = Query(request)
    found = list_runs(
        site.runs,
        site.app.index,
        job=query.text("job") or None,
        state=query.text("state") or None,
        author=query.text("author") or None,
        limit=RUNS_SHOWN,
    )
    rows = [
        Row(
            row.run,
            (
                Cell(row.run[:8], row.run),
                Cell(row.job),
                Cell(row.version),
                Cell(row.state, state=row.state),
                Cell(str(row.slots), row.slots),
                Cell(f"{row.committed}/{row.expected_keys}", row.committed),
                Cell(row.opened, row.opened),
                Cell(row.author),
            ),
            href=f"/runs/{row.run}",
        )
        for row in found.rows
    ]
    table = Table(COLUMNS, rows, name="runs", empty=found.remark or "No runs yet.", empty_command="fedml dispatch")
    return Page(
        "runs.html",
        "Runs",
        {"remark": found.remark},
        section="Runs",
        table=table,
        command="fedml runs list",
        live=Live(version=tuple(found.rows), pause_s=2.0),
    )


ROUTES = (PageRoute("/runs", view),)
