"""Draws results against their parameters and metrics: bars of one metric, a scatter of two, parallel coordinates of more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from federation.charts.bars import Bar, bars
from federation.charts.parallel import Row as Coordinates
from federation.charts.parallel import Value, parallel
from federation.charts.plane import Mark, scatter
from federation.charts.scale import number_of, or_nan
from federation.charts.states import REGION_CLASSES, region_class
from federation.charts.svg import Chart
from federation.errors import UsageError
from federation.index import Row
from federation.index.query.fields import Field
from federation.ui.index_table import IN_FULL, Short, headlines, number_text, param_columns
from jobs.params.columns import typed_column

AXES_MAX = 8


def picture(rows: Sequence[Row], fields: Sequence[Field] | None = None, *, short: Short = IN_FULL) -> Chart:
    """Draws these rows by `fields`, or by the parameters that differ and the foremost metrics, in the colours of their
    regions. Raises UsageError where there is nothing to draw by."""
    columns = axis_values(rows, fields)
    if not columns:
        raise UsageError(
            "nothing to draw: no result has a metric that is a number, and no parameter differs",
            hint="--plot draws parameters and metrics (fedml index list --columns params.lr,metrics.auc --plot FILE.svg)",
        )
    names = list(columns)
    regions = list(dict.fromkeys(row.region for row in rows))
    kinds = [region_class(regions.index(row.region)) for row in rows]
    keys = {region_class(order): name for order, name in enumerate(regions[:REGION_CLASSES])}
    titles = [
        f"{short.get(row.alloc_id, row.alloc_id)}, {row.region}: "
        + ", ".join(f"{name} {number_text(columns[name][place])}" for name in names)
        for place, row in enumerate(rows)
    ]
    if len(names) == 1:
        return bars(
            [
                Bar(f"{short.get(row.alloc_id, row.alloc_id)} {row.region}", number, kind=kind, title=title)
                for row, value, kind, title in zip(rows, columns[names[0]], kinds, titles, strict=True)
                if (number := number_of(value)) is not None
            ],
            label=names[0],
        )
    if len(names) == 2 and all(_is_numeric(values) for values in columns.values()):
        places = zip(*columns.values(), kinds, titles, strict=True)
        marks = [Mark(or_nan(x), or_nan(y), str(kind), str(title)) for x, y, kind, title in places]
        return scatter(marks, x_label=names[0], y_label=names[1], label=f"{names[1]} against {names[0]}", names=keys)
    lines = [
        Coordinates(row.alloc_id, {name: columns[name][place] for name in names}, kinds[place], titles[place])
        for place, row in enumerate(rows)
    ]
    return parallel(lines, names, label="results", names=keys)


def axis_values(rows: Sequence[Row], fields: Sequence[Field] | None) -> Mapping[str, Sequence[Value]]:
    """The values of each axis. Parameters come back from the index as texts; a column of numbers becomes numbers."""
    if fields is not None:
        return {field.name: _values(field, rows) for field in fields if field.key != "alloc_id"}
    params = {
        column.heading: typed_column([row.params.get(column.field.removeprefix("params.")) for row in rows])
        for column in param_columns(rows)
    }
    metrics = {name: [row.metrics.get(name) for row in rows] for name in headlines(rows)}
    kept = dict(list(params.items())[: AXES_MAX - len(metrics)])
    return {**kept, **{f"metrics.{name}" if name in kept else name: values for name, values in metrics.items()}}


def _values(field: Field, rows: Sequence[Row]) -> Sequence[Value]:
    if field.kind == "param":
        return typed_column([row.params.get(field.key) for row in rows])
    return [field.of(row) for row in rows]


def _is_numeric(values: Sequence[Value]) -> bool:
    return all(value is None or number_of(value) is not None for value in values)
