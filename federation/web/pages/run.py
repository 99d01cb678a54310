"""The page of one run: how it stands, where its time went, its slots, attempts and results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from federation.charts.states import STATES
from federation.charts.svg import Chart
from federation.index.rows import OPEN
from federation.run.attempt_times import seconds
from federation.text import counted, in_words
from federation.ui.run_story_view import longest_line, story_document, timeline_document
from federation.ui.slot_failures import by_reason, params_text, shared_params
from federation.web.page import Link, Live, Page, PageRoute
from federation.web.pages import run_charts as charts
from federation.web.pages.run_attempts import attempts_table, chips, href_of, wanted_of
from federation.web.query import Query, changed, with_query
from federation.web.run_now import LOOK_S, RunNow, run_meant, run_now
from federation.web.site import Site
from federation.workflows.run_curves import RunCurves, curves

REASONS_SHOWN = 10
SLOTS_NAMED = 8
CURVES_EVERY_S = 10.0
BEGINS_S = 60.0
"""So long a coordinator may take to begin."""
CRUMBS = (Link("Runs", "/runs"),)


def view(site: Site, request: Request) -> Page | Response:
    """Reads the run as it stands, once for all viewers."""
    named, query = request.path_params["run"], Query(request)
    run = run_meant(site, named)
    if run != named:
        return RedirectResponse(with_query(f"/runs/{run}", dict(request.query_params)), 303)
    known = run_now(site, run)
    now = known.value
    story = now.story
    wanted = wanted_of(query, len(story.slots))
    pictures: dict[str, Chart] = {
        "where the time went": now.once("spent", lambda: charts.spent_chart(now)),
        "regions": now.once("regions", lambda: charts.regions_chart(now)),
        "slots": now.once(("grid", wanted.slots), lambda: charts.grid_chart(now, wanted.slots)),
        "attempts": now.once("gantt", lambda: charts.gantt_chart(now)),
    }
    results = _results(now, query, pictures)
    found = _curves(site, now) if query.flag("curves") else None
    lines = charts.curve_charts(found, run) if found is not None else {}
    pictures |= lines
    drawn = sum(task.lines for task in found.tasks) if found is not None else 0
    counts = Counter(now.states)
    table = attempts_table(now, request, wanted)
    view = {
        "now": now,
        "is_abandoned": is_abandoned(now),
        "counts": [(name, counts[name]) for name in STATES if counts[name]],
        "facts": _facts(now),
        "longest": longest_line(now.spent),
        "failures": _failures(now, story.failures) + _failures(now, story.failing, is_open=True),
        "results": results,
        "wanted": wanted,
        "chips": chips(now, wanted),
        "curves": lines,
        "curves_href": changed(request, {"curves": "" if found else "1"}) + "#curves",
        "curve_problems": found.problems if found is not None else (),
        "actions": () if site.settings.read_only else _actions(now),
    }
    return Page(
        "run.html",
        f"Run {run[-8:]}",
        view,
        section="Runs",
        crumbs=CRUMBS,
        document=lambda: {**story_document(story), "timeline": timeline_document(now.timeline, now.spent)},
        table=table,
        charts=pictures,
        command=f"fedml runs show {run}",
        live=Live((now.version, known.problem is not None, drawn), LOOK_S, _cost(now)),
        as_of=known.at,
        problem=known.problem.message if known.problem is not None else "",
    )


def _facts(now: RunNow) -> Sequence[tuple[str, str]]:
    story, glance = now.story, now.glance
    facts = [("job", f"{story.manifest.job}, version {story.manifest.version}")]
    if now.row.name:
        facts.append(("name", now.row.name))
    if now.row.state == OPEN and glance.left_s is not None:
        facts.append(("time left", f"{in_words(glance.left_s)}, if results go on coming as until now"))
    if now.timeline.efficiency is not None and now.row.state != OPEN:
        best = in_words(now.timeline.bound_s)
        facts.append(("took", f"{in_words(now.timeline.took_s)}; the shortest possible in the same room is {best}"))
    if glance.cost is not None:
        facts.append(("cost", f"{glance.cost:.2f}, of what was computed, by the prices in fedml.toml"))
    if story.cancelled is not None:
        facts.append(("cancelled by", f"{story.cancelled.by}{f' ({story.reason})' if story.reason else ''}"))
    elif story.reason:
        facts.append(("ended", story.reason))
    return facts


def _failures(now: RunNow, failures: Mapping[int, str], *, is_open: bool = False) -> list[dict[str, object]]:
    """The reasons with their slots, the most frequent first."""
    shown = []
    for reason, slots in by_reason(failures)[:REASONS_SHOWN]:
        params = [now.story.parameters(slot) for slot in slots[:1000]]
        shared = params_text(shared_params(params)) if len(slots) > 1 else params_text(params[0])
        links = []
        for slot in slots[:SLOTS_NAMED]:
            last = now.story.slots[slot].last
            links.append((slot, href_of(now.row.run, slot, last.number) if last is not None else ""))
        shown.append(
            {
                "reason": reason,
                "count": len(slots),
                "shared": shared,
                "slots": links,
                "is_open": is_open,
                "more": max(0, len(slots) - SLOTS_NAMED),
            }
        )
    return shown


def _results(now: RunNow, query: Query, pictures: dict[str, Chart]) -> dict[str, object] | None:
    """What is chosen for the charts of results, which are added to `pictures`. None where no result has metrics."""
    given = charts.given_of(now)
    names = charts.metrics_of(given)
    if not names:
        return None
    metric = query.text("metric") if query.text("metric") in names else names[0]
    default = "min" if charts.is_smaller_better(metric) else "max"
    best = query.choice("best", ("min", "max"), default)
    varied = charts.params_of(given)
    numbers = [name for name in varied if any(charts.as_number(one.params.get(name)) is not None for one in given)]
    pictures["best so far"] = now.once(
        ("best", metric, best), lambda: charts.best_chart(now, metric, is_least=best == "min")
    )
    param = query.text("x") if query.text("x") in numbers else next(iter(numbers), "")
    if varied:
        pictures["parallel"] = now.once(("parallel", metric), lambda: charts.parallel_chart(now, given, metric))
    if param:
        pictures["scatter"] = now.once(
            ("scatter", param, metric), lambda: charts.scatter_chart(now, given, param, metric)
        )
    return {"metric": metric, "metrics": names, "best": best, "param": param, "params": numbers}


def _curves(site: Site, now: RunNow) -> RunCurves:
    """What tasks log while they train. Of a run that is over it doesn't change, once all of it could be read."""
    is_open = now.row.state == OPEN
    return site.shared.get(
        ("curves", now.row.run, now.row.state),
        lambda: curves(site.app, now.story),
        max_age_s=lambda found: CURVES_EVERY_S if is_open or found.problems else float("inf"),
    ).value


def is_abandoned(now: RunNow) -> bool:
    """Whether nobody drives the run, and its coordinator has had time to begin."""
    driver = now.story.driver
    if driver is None or driver.is_driving:
        return False
    with suppress(ValueError):
        return now.at_s - seconds(now.story.manifest.created) > BEGINS_S
    return True


def _actions(now: RunNow) -> Sequence[tuple[str, str]]:
    """What can be done with the run."""
    run, found = now.row.run, []
    if now.row.state == OPEN:
        if is_abandoned(now):
            found.append(("Continue…", with_query("/do/resume", {"run": run})))
        found.append(("Cancel…", with_query("/do/cancel", {"run": run})))
        found += [
            (f"Move out of {region}…", with_query("/do/rebind", {"run": run, "region": region}))
            for region in now.silent
            if len(now.story.manifest.regions) > 1
        ]
    if "failed" in now.states and now.row.state != "cancelled":
        found.append(("Retry failed…", with_query("/do/retry", {"run": run})))
    return found


def _cost(now: RunNow) -> str:
    home = f"While anybody looks: two requests to the home store each {LOOK_S:g} s, more when something has changed"
    if now.row.state != OPEN:
        return f"{home}. This run is over: no region is asked."
    return f"{home}; one to each of {counted(len(now.story.manifest.regions), 'region')} each 5 s."


ROUTES = (PageRoute("/runs/{run}", view),)
