"""The page that compares results: what differs, where they lie among parameters and metrics, their pictures side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request

from federation.errors import UsageError
from federation.index import Row
from federation.index.compare import compare
from federation.index.query.fields import Field, written_name
from federation.ui.compare_charts import Brush, Drawn, compare_charts
from federation.ui.index_compare import change_text, comparison_json, value_text
from federation.ui.index_table import headlines, param_columns, result_json
from federation.web.index_reading import Reading, reading
from federation.web.page import Link, Page, PageRoute
from federation.web.pages.index import FILTERS, command_of
from federation.web.pages.result import file_href, is_picture, known_record, result_named
from federation.web.pages.run_charts import is_smaller_better
from federation.web.query import Query, with_query
from federation.web.result_table import result_table, written
from federation.web.site import Site
from federation.web.table import Table
from federation.web.templates import segment
from federation.workflows import index_list

SELECTED_MAX = 100
DRAWN_MAX = 1_000
"""Of a filter that more results meet, so many are drawn, chosen at random but always alike."""
ROWS_SHOWN = 100
SIDE_BY_SIDE_MAX = 8
"""So many results have a column each in the table of differences."""
PICTURES_OF_MAX = 24
AXES_MAX = 8
NAMES_MAX = 200


@dataclass(frozen=True, slots=True)
class _Subject:
    """The results that are compared: those selected, or all (a sample of `total`) that match."""

    rows: list[Row]
    total: int
    filters: Mapping[str, Any]
    is_selection: bool


def view(site: Site, request: Request) -> Page:
    """Reads the results of the address."""
    query = Query(request)
    now = reading(site, query)
    subject = _subject(site, query, now)
    rows, brush = subject.rows, _brush(request)
    names = _names(rows)
    axes = _axes(now, query, rows, brush)
    x, y = (_axis(now, query, name, names, rows) for name in ("x", "y"))
    at = {"revision": now.at or None}
    drawn = compare_charts(
        rows,
        axes,
        brush=brush,
        x=x,
        y=y,
        regions=[*site.app.config.regions],
        href=lambda row: with_query(f"/results/{segment(row.alloc_id)}", at),
    )
    table = _table(now, query, rows, drawn, y)
    if subject.is_selection:
        ids = [row.alloc_id[:8] for row in rows]
        command = f"fedml index compare {' '.join(ids)}" if len(ids) > 1 else f"fedml index show {ids[0]}"
    else:
        command = command_of("fedml index list", {**subject.filters}) + now.option
    view = {
        "subject": subject,
        "filters": {name: value for name, value in subject.filters.items() if value},
        "differences": _differences(site, now, rows) if subject.is_selection else None,
        "pictures": _pictures(site, now, rows) if subject.is_selection else {},
        "axes": [field.name for field in axes],
        "brush": {name: f"{low:g}..{high:g}" for name, (low, high) in brush.items()},
        "brush_names": [f"brush.{field.name}" for field in axes],
        "inside": len(drawn.inside),
        "names": names,
        "x": x.name if x else "",
        "y": y.name if y else "",
        "reading": now,
    }
    return Page(
        "compare.html",
        f"Compare {len(rows)} results",
        view,
        section="Index",
        crumbs=(Link("Index", with_query("/index", {**subject.filters, **at})),),
        document=lambda: _document(site, now, subject),
        table=table,
        charts=drawn.charts,
        command=command,
        as_of=now.as_of,
        problem=now.problem,
    )


def _subject(site: Site, query: Query, now: Reading) -> _Subject:
    selected = tuple(dict.fromkeys(query.many("select")))
    if len(selected) > SELECTED_MAX:
        raise UsageError(
            f"{len(selected)} results are selected; at most {SELECTED_MAX} are compared",
            hint="a filter draws more: /index/compare?where=…",
        )
    if selected:
        rows = list({row.alloc_id: row for row in (result_named(now.index, ref) for ref in selected)}.values())
        return _Subject(rows, len(rows), {}, is_selection=True)
    asked = {name: query.text(name) or None for name in FILTERS}
    filters = index_list.named_filters(site.app, now.index, asked)
    key = ("index sample", now.index.revision, tuple(sorted((name, value or "") for name, value in filters.items())))
    total, rows = site.shared.get(key, lambda: now.index.sample(DRAWN_MAX, **filters), max_age_s=float("inf")).value
    return _Subject(rows, total, asked, is_selection=False)


def _brush(request: Request) -> Brush:
    """The ranges of the address: `brush.metrics.auc=0.7..0.8`; either end may be left out. Raises UsageError."""
    found = {}
    for name, value in request.query_params.multi_items():
        field = name.removeprefix("brush.")
        if field == name or not value.strip():
            continue
        low, dots, high = value.partition("..")
        try:
            found[field] = (float(low or "-inf"), float(high or "inf"))
        except ValueError:
            dots = ""
        if not dots or any(map(math.isnan, found[field])):
            raise UsageError(f"{name}={value!r} in the address is not a range", hint="write LOW..HIGH, as 0.7..0.8")
    return found


def _names(rows: Sequence[Row]) -> list[str]:
    """The parameters and metrics of these results, as they are written."""
    params = sorted({name for row in rows for name in row.params})
    metrics = sorted({name for row in rows for name in row.metrics})
    return [*(written_name("metric", name) for name in metrics), *(written_name("param", name) for name in params)][
        :NAMES_MAX
    ]


def _axes(now: Reading, query: Query, rows: Sequence[Row], brush: Brush) -> list[Field]:
    """The axes of the address; else the parameters that differ and the foremost metrics. Those with a range are among them."""
    if query.many("axes"):
        usual = ",".join(query.many("axes"))
    else:
        metrics = [written_name("metric", name) for name in headlines(rows)]
        params = [written(column.field) for column in param_columns(rows)][: AXES_MAX - len(metrics)]
        usual = ",".join([*params, *metrics])
    fields = now.index.columns(usual) if usual else []
    known = {field.name for field in fields}
    return [*fields, *(field for name in brush if name not in known for field in now.index.columns(name))]


def _axis(now: Reading, query: Query, which: str, names: Sequence[str], rows: Sequence[Row]) -> Field | None:
    """The field of an axis: of the address, else the foremost metric against the first parameter that differs."""
    text = query.text(which)
    if not text:
        metrics = [written_name("metric", name) for name in headlines(rows)]
        params = [written(column.field) for column in param_columns(rows) if column.is_number]
        text = next(iter(metrics), "") if which == "y" else next(iter([*params, *metrics[1:]]), "")
    return now.index.columns(text)[0] if text else None


def _table(now: Reading, query: Query, rows: Sequence[Row], drawn: Drawn, y: Field | None) -> Table:
    """Those within the ranges first, each part in the wanted order, which is by the metric of the y axis at first."""
    by = query.text("sort") or (f"{y.name}{'' if is_smaller_better(y.name) else ':desc'}" if y else "")
    sort_fields = now.index.sort_fields(by) if by else []
    ordered = sorted(rows, key=lambda row: _sort_key(sort_fields[0].of(row)) if sort_fields else (0, 0.0, ""))
    if by.endswith(":desc"):
        ordered = [*reversed(ordered)]
        ordered.sort(key=lambda row: sort_fields[0].of(row) is None)
    ordered.sort(key=lambda row: row.alloc_id not in drawn.inside)
    shown = ordered[:ROWS_SHOWN]
    revision = str(now.at) if now.at else ""
    table = result_table(
        shown, short=index_list.short_ids(now.index, shown), sorted_by=sort_fields[:1], revision=revision
    )
    marked = [replace(row, is_outside=row.key not in drawn.inside) for row in table.rows]
    return replace(
        table, rows=marked, total=len(rows), sort=by, is_selectable=True, empty="Nothing in the index matches.",
        empty_command="fedml index list",
    )  # fmt: skip


def _sort_key(value: object) -> tuple[int, float, str]:
    if isinstance(value, bool) or value is None or (isinstance(value, float) and math.isnan(value)):
        return (2, 0.0, str(value))
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value))


def _differences(site: Site, now: Reading, rows: Sequence[Row]) -> Mapping[str, object] | None:
    """What differs, as `fedml index compare` shows it; None for more results than there is room for."""
    if not 2 <= len(rows) <= SIDE_BY_SIDE_MAX:
        return None
    lines = compare(rows, [known_record(site, now, row) for row in rows])
    differing = [line for line in lines if line.differs]
    sections = {
        section: [
            (
                line.name,
                [value_text(value) for value in line.values],
                change_text(*line.values) if len(rows) == 2 else "",
            )
            for line in differing
            if line.section == section
        ]
        for section in dict.fromkeys(line.section for line in differing)
    }
    same = [
        (line.name, value_text(line.values[0])) for line in lines if not line.differs and line.values[0] is not None
    ]
    return {"sections": sections, "same": same}


def _pictures(site: Site, now: Reading, rows: Sequence[Row]) -> dict[str, list[tuple[Row, str]]]:
    """The pictures in the artifacts of the first results: by path, the same one of each side by side."""
    found: dict[str, list[tuple[Row, str]]] = {}
    for row in rows[:PICTURES_OF_MAX]:
        for file in known_record(site, now, row).files:
            if is_picture(file.path) and row.state != "removed":
                found.setdefault(file.path, []).append((row, file_href(row.alloc_id, file.path, "picture")))
    return dict(sorted(found.items(), key=lambda each: -len(each[1]))[:SIDE_BY_SIDE_MAX])


def _document(site: Site, now: Reading, subject: _Subject) -> dict[str, Any]:
    head = {"revision": now.index.revision}
    if not subject.is_selection:
        return head | {"results": [result_json(row) for row in subject.rows]}
    records = [known_record(site, now, row) for row in subject.rows]
    return head | comparison_json(subject.rows, compare(subject.rows, records))


ROUTES = (PageRoute("/index/compare", view),)
