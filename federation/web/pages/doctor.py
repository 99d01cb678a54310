"""The page of the doctor: its checks with what to do. They run when somebody first looks, and again by the button."""

from __future__ import annotations

import math

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from federation.check import Check, Outcome
from federation.checks.doctor import report
from federation.web.page import Live, Page, PageRoute
from federation.web.query import Query
from federation.web.site import Site
from federation.web.table import Cell, Column, Row, Table
from federation.workflows.examine_federation import examine_federation
from jobs.errors import FedmlError

KEY = ("doctor",)
WAIT_S = 3.0
PAUSE_S = 2.0
COLUMNS = (Column("what"), Column("state", "state"), Column("found"), Column("what to do"))


def view(site: Site, request: Request) -> Page | Response:
    """The last outcome. `run=1` lets the checks run again."""
    query = Query(request)
    if query.flag("run"):
        site.shared.renew(KEY)
        return RedirectResponse("/doctor", 303)
    outcome = query.choice("outcome", [str(one) for one in Outcome])

    def examine() -> tuple[tuple[Check, ...], str]:
        """The checks, or why there are none. An error is a value: only the button lets them run again."""
        try:
            return tuple(examine_federation(site.app, "", on_nodes=False, note=lambda text: None)), ""
        except FedmlError as error:
            return (), str(error)

    known = site.shared.soon(KEY, examine, max_age_s=math.inf, wait_s=WAIT_S)
    is_running = site.shared.is_being_read(KEY)
    checks, problem = known.value if known else ((), "")
    at = known.at if known else 0.0
    return Page(
        "doctor.html",
        "Doctor",
        {
            "outcomes": [str(one) for one in Outcome if any(check.outcome is one for check in checks)],
            "summary": report.summary(checks) if checks else "",
            "at": at,
            "took_s": known.took_s if known else 0.0,
            "is_running": is_running,
            "own_problem": problem,
        },
        section="Doctor",
        document=(lambda: report.as_json(checks)) if checks else None,
        table=_table(checks, outcome),
        command="fedml doctor",
        live=Live((at, is_running), PAUSE_S, "asks nobody until the button is pressed"),
        as_of=at,
    )


def _table(checks: tuple[Check, ...], outcome: str) -> Table:
    """What needs somebody comes first."""
    urgency = [str(one) for one in (Outcome.FAILED, Outcome.WARNING, Outcome.SKIPPED, Outcome.OK)]
    found_rows = sorted(report.rows(checks), key=lambda row: urgency.index(row[1]))
    rows = [
        Row(str(number), (Cell(what), Cell(state, state=state), Cell(found), Cell(remedy)))
        for number, (what, state, found, remedy) in enumerate(found_rows)
        if outcome in ("", state)
    ]
    return Table(COLUMNS, rows, name="checks", empty="No check has this outcome." if outcome else "")


ROUTES = (PageRoute("/doctor", view),)
