"""The page that plans while one types: where slots would go, and the dispatch of just that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.requests import Request

from federation.app import JobRequest
from federation.charts.bars import Bar, bars
from federation.charts.svg import Chart
from federation.errors import UsageError
from federation.plan import policy_names
from federation.ui.plan_view import NUMBERS, STORES, plan_columns, plan_document, plan_rows, why
from federation.web.actions import Intent
from federation.web.deeds import command_text, new_id
from federation.web.page import Page, PageRoute
from federation.web.query import Query
from federation.web.site import Site
from federation.web.table import Cell, Column, Row, Table
from federation.workflows.detach import coordinator_regions
from federation.workflows.plan import Preview, preview
from federation.workflows.request import Placing, RunRequest, deadline_s
from jobs.errors import FedmlError
from jobs.load import key_values
from jobs.params.file import read_asks

SWEEPS_MAX = 20
PLAN_AGE_S = 10.0
DETACH = "--detach"
ANY_WIDTH = 1_000


def view(site: Site, request: Request) -> Page:
    """Plans what the address asks for. What is wrong with it is shown beside the form."""
    query = Query(request)
    arguments = list(_arguments(site, query))
    made, problem, read_at = _planned(site, query, arguments)
    dispatched = dispatch_intent(site, query).arguments if made else ()
    values: dict[str, Any] = {
        "query": query,
        "regions": list(site.app.config.regions),
        "policies": policy_names(),
        "made": made,
        "problem": problem,
        "why": why(made) if made else [],
        "deed": new_id(),
        "detaches": DETACH in dispatched,
        "dispatch_command": command_text(dispatched),
        "sweeps": query.many("sweep") or ("",),
        "metas": query.many("meta") or ("",),
    }
    return Page(
        "plan.html",
        "Plan",
        values,
        section="Plan",
        table=_table(site, made) if made else None,
        document=(lambda: plan_document(made, site.app.config)) if made else None,
        command=command_text(["plan", *arguments]),
        charts={"slots": _picture(made)} if made else {},
        as_of=read_at,
    )


def dispatch_intent(site: Site, form: Query) -> Intent:
    """The command that dispatches what the form asks for: driven by jobs in Nomad where a region can host them, else by a
    process of this machine."""
    arguments = ["dispatch", *_arguments(site, form)]
    if _detaches(site):
        return Intent([*arguments, DETACH], [], "/runs")
    return Intent(arguments, [], "/runs")


def _planned(site: Site, query: Query, arguments: list[str]) -> tuple[Preview | None, FedmlError | None, float]:
    try:
        asked = _request(site, query)
        known = site.shared.get(
            ("plan", *arguments),
            lambda: preview(site.app, asked, goes_on=lambda *_: True),  # a page waits for no region that is slow
            max_age_s=PLAN_AGE_S,
        )
        known.value.require_an_answer()
    except FedmlError as error:
        return None, error, 0.0
    return known.value, known.problem, known.at


def _request(site: Site, query: Query) -> RunRequest:
    """The request, as `fedml plan` makes it of its options."""
    slots, deadline = query.text("n"), query.text("deadline")
    params, job = _project_file(site, query, "params"), _project_file(site, query, "job")
    placing = Placing(
        query.text("policy") or None,
        deadline_s=deadline_s(deadline, site.now()) if deadline else None,
        max_cost=_cost(query.text("max_cost")),
    )
    return RunRequest(
        JobRequest(str(site.app.config.root / job) if job.endswith(".hcl") else job, regions=query.many("region")),
        query.number("n", 1, low=1, high=1_000_000) if slots else None,
        query.text("version") or None,
        meta=key_values(query.many("meta"), "-meta"),
        asks=read_asks(query.many("sweep"), site.app.config.root / params if params else None),
        placing=placing,
    )


def _arguments(site: Site, query: Query) -> Iterator[str]:
    """The same as arguments of `fedml plan` and `fedml dispatch`. A value stands after `=`: none is an option."""
    if query.text("job"):
        yield f"--job={_project_file(site, query, 'job')}"
    if query.text("n"):
        yield f"-n{query.number('n', 1, low=1, high=1_000_000)}"
    if query.many("region"):
        yield f"--regions={','.join(query.many('region'))}"
    for name, option in (
        ("version", "--version"),
        ("policy", "--policy"),
        ("deadline", "--deadline"),
        ("max_cost", "--max-cost"),
    ):
        if query.text(name):
            yield f"{option}={query.text(name)}"
    sweeps = query.many("sweep")
    if len(sweeps) > SWEEPS_MAX:
        raise UsageError(f"more than {SWEEPS_MAX} sweeps")
    yield from (f"--sweep={sweep}" for sweep in sweeps)
    yield from (f"--meta={meta}" for meta in query.many("meta"))
    if query.text("params"):
        yield f"--params={_project_file(site, query, 'params')}"


def _project_file(site: Site, query: Query, field: str) -> str:
    """A file of the project's folder. Raises UsageError for any other file of this machine."""
    name = query.text(field)
    root = site.app.config.root.resolve()
    if name and not (root / name).resolve().is_relative_to(root):
        raise UsageError(f"{name!r} is not a file of the project's folder", hint=f"put it into {Path(root).name}/")
    return name


def _cost(text: str) -> float | None:
    if not text:
        return None
    try:
        cost = float(text)
    except ValueError:
        cost = -1.0
    if not 0 <= cost < float("inf"):
        raise UsageError(f"max cost {text!r} is not a valid amount")
    return cost


def _detaches(site: Site) -> bool:
    """Whether a region can host the coordinator."""

    def ask() -> bool:
        try:
            return bool(coordinator_regions(site.app, ()))
        except FedmlError:
            return False

    return site.shared.get("coordinator hosts", ask, max_age_s=300).value


def _picture(made: Preview) -> Chart:
    """The slots that each region gets now, of those that it has free."""
    rows = [
        Bar(one.region, one.now, max(one.now, made.snapshot.regions[one.region].free), kind="u-used")
        for one in made.plan.placements
    ]
    return bars(rows, label="Slots now, of the free ones")


def _table(site: Site, made: Preview) -> Table:
    rows = list(plan_rows(made, site.app.config))
    names = plan_columns(rows, ANY_WIDTH)
    columns = [Column(name, "number" if name in NUMBERS else "code" if name == STORES else "text") for name in names]
    lines = [
        Row(str(row["region"]), [Cell(str(row[name]), row[name]) for name in names], href=f"/regions/{row['region']}")
        for row in rows
    ]
    return Table(columns, lines, name="regions")


ROUTES = (PageRoute("/plan", view),)
