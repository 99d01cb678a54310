"""The page of the index: results by any condition, as they are now or were at a revision."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from federation.errors import UsageError
from federation.ui.index_history import without_effect
from federation.ui.index_table import result_json
from federation.web.index_reading import COST, LIVE_PAUSE_S, Reading, reading
from federation.web.page import Live, Page, PageRoute
from federation.web.query import Query, changed, with_query
from federation.web.result_table import result_table
from federation.web.site import Site
from federation.web.table import Table
from federation.workflows import index_list
from federation.workflows.index_list import Listed

FILTERS = ("job", "version", "region", "run", "state", "tag", "where")
ROWS_SHOWN = 100
CHIPS_MAX = 8
FIELDS_MAX = 200
"""More fields than this aren't offered: people write them."""


def view(site: Site, request: Request) -> Page:
    """Reads the results that match the address."""
    query = Query(request)
    now = reading(site, query)
    asked: dict[str, Any] = {name: query.text(name) or None for name in FILTERS}
    sort, columns = query.text("sort") or None, ",".join(query.many("columns")) or None
    problem: UsageError | None = None
    try:
        found = index_list.list_results(
            site.app,
            now.index,
            asked,
            sort=sort,
            columns=columns,
            limit=ROWS_SHOWN,
            after=query.text("after") or None,
        )
    except UsageError as error:
        if query.text("format"):
            raise
        found, problem = Listed([], False, now.index.revision, (), None), error
    table = _table(site, request, query, now, found)
    names = now.index.field_names()
    view = {
        "problem": problem,
        "asked": asked,
        "choices": _chips(site, now, asked),
        "fields": names[:FIELDS_MAX],
        "fields_left": max(0, len(names) - FIELDS_MAX),
        "chosen": [field.name for field in found.fields or ()],
        "columns": columns,
        "reading": now,
        "total_is_open": table.total is None and bool(found.rows),
        "compare_all": with_query("/index/compare", {**asked, "revision": now.at or None}),
        "unknown": without_effect(found.unknown) if found.unknown else (),
    }
    document = {"revision": found.revision}
    return Page(
        "index.html",
        f"Index at revision {now.at}" if now.at else "Index",
        view,
        section="Index",
        document=lambda: document | {"results": [result_json(row) for row in found.rows]},
        table=table,
        command=command_of("fedml index list", asked | {"sort": sort, "columns": columns}) + now.option,
        live=None if now.at else Live((now.head, now.problem), LIVE_PAUSE_S, COST),
        as_of=now.as_of,
        problem=now.problem,
        status=400 if problem else 200,
    )


def command_of(command: str, options: Mapping[str, str | None]) -> str:
    """A command line with these options."""
    return command + "".join(f" --{name} {shlex.quote(value)}" for name, value in options.items() if value)


def _table(site: Site, request: Request, query: Query, now: Reading, found: Listed) -> Table:
    short = index_list.short_ids(now.index, found.rows)
    revision = str(now.at) if now.at else ""
    table = result_table(found.rows, found.fields, short=short, sorted_by=found.sorted_by, revision=revision)
    further = changed(request, {"after": found.rows[-1].alloc_id}) if found.has_more else ""
    is_known_empty = not found.rows and not (any(found.filters.values()) and now.head)
    return Table(
        table.columns,
        table.rows,
        total=_total(site, query, now, found),
        sort=query.text("sort"),
        next_href=further,
        is_selectable=True,
        empty="The index is empty." if is_known_empty else "Nothing in the index matches.",
        empty_command=site.first_command if is_known_empty else "",
        name="results",
    )


def _total(site: Site, query: Query, now: Reading, found: Listed) -> int | None:
    """How many match; None where counting them would take much longer than finding these, unless the address wants it."""
    if not (found.has_more or query.text("after")):
        return len(found.rows)
    filters = dict(found.filters)
    is_exact = query.flag("count")
    key = (
        "index count",
        now.index.revision,
        is_exact,
        tuple(sorted((name, value or "") for name, value in filters.items())),
    )
    return site.shared.get(key, lambda: now.index.count(is_exact=is_exact, **filters), max_age_s=float("inf")).value


def _chips(site: Site, now: Reading, asked: Mapping[str, str | None]) -> dict[str, list[str]]:
    """The values that can be clicked, by the name of the filter; that which is chosen is always among them."""
    known = index_list.choices(site.app, now.index, asked["job"], limit=CHIPS_MAX)
    chips = {}
    for name in ("job", "version", "region", "state", "tag"):
        values = [*getattr(known, name)]
        own = asked[name]
        if own and own not in values:
            values.append(own)
        if len(values) > 1 or own or name == "tag":
            chips[name] = values
    return chips


ROUTES = (PageRoute("/index", view),)
