"""Draws compared results: parallel coordinates with ranges, a scatter of two fields, bars, and a metric over versions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from federation.charts.bars import Bar, bars
from federation.charts.parallel import Row as Coordinates
from federation.charts.parallel import Value, parallel, within
from federation.charts.plane import Mark, Series, line, scatter
from federation.charts.scale import or_nan
from federation.charts.states import region_class
from federation.charts.svg import Chart
from federation.index import Row
from federation.index.query.fields import Field
from federation.index.query.functions import number_of
from federation.text import shortened
from federation.ui.index_chart import axis_values
from federation.ui.index_table import number_text

BARS_MAX = 24
Brush = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Charts by name, and the IDs of the results within the ranges."""

    charts: Mapping[str, Chart] = field(default_factory=dict)
    inside: frozenset[str] = frozenset()


def compare_charts(
    rows: Sequence[Row],
    axes: Sequence[Field],
    *,
    brush: Brush,
    x: Field | None,
    y: Field | None,
    regions: Sequence[str],
    href: Callable[[Row], str],
) -> Drawn:
    """Draws results by these fields, in the colours of their regions. `y` alone is drawn as bars and over versions."""
    if not rows:
        return Drawn()
    colours = {name: region_class(order) for order, name in enumerate([*regions, *(row.region for row in rows)])}
    colours |= {name: region_class(order) for order, name in enumerate(regions)}
    wanted = dict.fromkeys([*axes, *filter(None, (x, y))])
    values = axis_values(rows, [*wanted])
    titles = [_title(row, values, place) for place, row in enumerate(rows)]
    names = [field.name for field in axes]
    lines = [
        Coordinates(row.alloc_id, {name: values[name][place] for name in names}, colours[row.region], title, href(row))
        for place, (row, title) in enumerate(zip(rows, titles, strict=True))
    ]
    inside = frozenset(within(lines, names, brush))
    charts = {"parallel coordinates": parallel(lines, names, brush=brush, limit=len(rows))}
    shown = [place for place, row in enumerate(rows) if row.alloc_id in inside]
    if x is not None and y is not None:
        marks = [
            Mark(
                or_nan(values[x.name][place]),
                or_nan(values[y.name][place]),
                colours[rows[place].region],
                titles[place],
                href(rows[place]),
            )
            for place in shown
        ]
        keys = {colours[name]: name for name in regions}
        charts["scatter"] = scatter(marks, x_label=x.name, y_label=y.name, names=keys, limit=len(rows))
    if y is not None:
        of_y = [(rows[place], or_nan(values[y.name][place]), titles[place]) for place in shown]
        finite = sorted((one for one in of_y if math.isfinite(one[1])), key=lambda one: -one[1])
        charts["bars"] = bars(
            [
                Bar(f"{row.alloc_id[:8]} {row.region}", value, kind=colours[row.region], title=title, href=href(row))
                for row, value, title in finite
            ],
            label=y.name,
            limit=BARS_MAX,
        )
        charts |= _over_versions(of_y, y, href)
    return Drawn(charts, inside)


def _over_versions(
    found: Sequence[tuple[Row, float, str]], y: Field, href: Callable[[Row], str]
) -> Mapping[str, Chart]:
    """The best-known picture of progress: the metric of each result over its version, one line a job. Only where there are
    several versions that are numbers."""
    series: dict[str, list[Mark]] = {}
    for row, value, title in found:
        version = number_of(row.version)
        if version is not None and math.isfinite(value):
            series.setdefault(row.job, []).append(Mark(float(version), value, title=title, href=href(row)))
    if not any(len({mark.x for mark in marks}) > 1 for marks in series.values()):
        return {}
    lines = [Series(job, sorted(marks, key=lambda mark: mark.x)) for job, marks in series.items()]
    return {"over versions": line(lines, x_label="version", y_label=y.name, x_format=lambda value: f"{value:g}")}


def _title(row: Row, values: Mapping[str, Sequence[Value]], place: int) -> str:
    told = ", ".join(f"{name} {shortened(number_text(values[name][place]), 40)}" for name in values)
    return f"{row.alloc_id[:8]}, {row.region}: {told}"
