"""Formats rows of the index: a table that fits a terminal, aligned text for pipes, JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from federation.index import Row, RunRow
from federation.index.columns import COLUMNS, METRICS_PLACE
from federation.index.columns import Column as IndexColumn
from federation.index.query.fields import Field
from federation.output.visible import visible_line
from federation.result import MetricValue, json_value
from federation.text import shortened, size_text
from jobs.params.columns import is_numeric

if TYPE_CHECKING:
    from federation.ui.console import ScreenedConsole

_HEADLINES = ("auc", "accuracy", "f1", "score", "loss", "error")
"""Metrics with one of these in their names are shown first when there isn't room for all."""
_MEASURES = ("_seconds", "_s", "_ms", "_mb", "_bytes", "_count")
_METRIC_COLUMNS = 3
_PARAM_COLUMNS = 3
"""Parameters beyond these are left out first on a narrow terminal."""
_PARAM_CHARS = 24
_COLUMN_GAP = 2
ALWAYS = -1
"""Rank of a column that stays at every width."""
Short = Mapping[str, str]
"""Short ids of runs and allocations, alike on a terminal and in a pipe. An id that it lacks is shown in full."""
IN_FULL: Short = {}
_STATE_STYLES = {"committed": "green", "superseded": "dim", "late": "yellow", "retired": "dim", "removed": "dim"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: heading, cell of a row, and rank. The lowest ranks stay on a narrow terminal."""

    heading: str
    cell: Callable[[Row], str]
    rank: int
    field: str = ""
    """The field that it shows."""
    is_number: bool = False
    is_state: bool = False


def result_json(row: Row) -> dict[str, Any]:
    """A row as JSON. Floats that JSON lacks become `{"$float": "nan"}`."""
    data = {field.name: getattr(row, field.name) for field in fields(Row)}
    data["metrics"] = {name: json_value(value) for name, value in row.metrics.items()}
    return data


def run_json(run: RunRow) -> dict[str, Any]:
    """A run as JSON."""
    return {field.name: getattr(run, field.name) for field in fields(RunRow)}


def plain_table(
    rows: Sequence[Row],
    fields: Sequence[Field] | None = None,
    *,
    short: Short = IN_FULL,
    sorted_by: Sequence[Field] = (),
) -> str:
    """All columns except the URL, or those of `fields`, aligned by spaces."""
    return aligned(cells(rows, fields, short=short, sorted_by=sorted_by))


def cells(
    rows: Sequence[Row],
    fields: Sequence[Field] | None = None,
    *,
    short: Short = IN_FULL,
    sorted_by: Sequence[Field] = (),
) -> list[list[str]]:
    """The headings, then the cells of each row."""
    columns = shown_columns(rows, fields, short=short, sorted_by=sorted_by)
    return [[column.heading for column in columns], *([column.cell(row) for column in columns] for row in rows)]


def shown_columns(
    rows: Sequence[Row],
    fields: Sequence[Field] | None = None,
    *,
    short: Short = IN_FULL,
    sorted_by: Sequence[Field] = (),
) -> list[Column]:
    """All columns except the URL, or those of `fields`."""
    return columns_of(rows, short, sorted_by=sorted_by)[:-1] if fields is None else _field_columns(fields)


def print_table(
    rows: Sequence[Row],
    console: ScreenedConsole,
    fields: Sequence[Field] | None = None,
    *,
    short: Short = IN_FULL,
    sorted_by: Sequence[Field] = (),
) -> tuple[str, ...]:
    """Prints the columns, or those of `fields`, that fit, and returns the headings of those that don't."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    columns = (
        columns_of(rows, short, param_chars=_PARAM_CHARS, sorted_by=sorted_by)
        if fields is None
        else _field_columns(fields)
    )
    texts = [[visible_line(text) for text in (column.heading, *map(column.cell, rows))] for column in columns]
    room = console.width
    shown: list[int] = []
    for place in sorted(range(len(columns)), key=lambda place: columns[place].rank):
        width = max(map(cell_len, texts[place])) + _COLUMN_GAP
        if width <= room or not shown:
            shown.append(place)
            room -= width
    shown.sort()
    table = Table(box=None, padding=(0, _COLUMN_GAP, 0, 0), pad_edge=False, header_style="bold")
    for place in shown:
        justify: Literal["left", "right"] = "right" if columns[place].is_number else "left"
        table.add_column(Text(texts[place][0]), justify=justify, no_wrap=True)
    for number, row in enumerate(rows, start=1):
        cells = [Text(texts[place][number], style=_style(columns[place], row)) for place in shown]
        table.add_row(*cells, style="" if row.state == "committed" else _STATE_STYLES[row.state])
    console.print(table)
    return tuple(texts[place][0] for place in range(len(columns)) if place not in shown)


def _style(column: Column, row: Row) -> str:
    return _STATE_STYLES[row.state] if column.is_state else ""


def columns_of(
    rows: Sequence[Row], short: Short, *, param_chars: int | None = None, sorted_by: Sequence[Field] = ()
) -> list[Column]:
    """The columns of a table of results, in their order. Those that the rows are sorted by are always among them, and stay
    on the narrowest terminal."""
    columns = [
        (METRICS_PLACE, column) for column in param_columns(rows, taken={*COLUMNS, *headlines(rows)}, chars=param_chars)
    ]
    columns += [
        (METRICS_PLACE, _metric_column(name, 4 if place == 0 else 10 + place))
        for place, name in enumerate(headlines(rows))
    ]
    for name, column in COLUMNS.items():
        is_shown = _IS_SHOWN.get(name)
        if column.shown is None or (is_shown is not None and not is_shown(rows)):
            continue
        place, rank, heading = column.shown
        cell = partial(_cell, column, short if name in ("run", "alloc_id") else IN_FULL)
        is_number = column.type == "number"
        columns.append(
            (place, Column(heading or name, cell, rank, name, is_number=is_number, is_state=name == "state"))
        )
    for field, sorting in zip(sorted_by, _field_columns(sorted_by), strict=True):
        found = next((n for n, (_, column) in enumerate(columns) if column.field == _name_of(field)), None)
        if found is None:
            columns.append((METRICS_PLACE, replace(sorting, rank=ALWAYS)))
        else:
            columns[found] = (columns[found][0], replace(columns[found][1], rank=ALWAYS))
    return [column for _, column in sorted(columns, key=lambda each: each[0])]


def _metric_column(name: str, rank: int) -> Column:
    return Column(name, partial(_metric_cell, name), rank, f"metrics.{name}", is_number=True)


def _name_of(field: Field) -> str:
    return field.key if field.kind == "fixed" else f"{field.kind}s.{field.key}"


def param_columns(rows: Sequence[Row], *, taken: Collection[str] = (), chars: int | None = None) -> list[Column]:
    """The parameters in which these rows differ. One whose name is `taken` is headed `params.NAME`. Longer
    texts than `chars` are cut."""
    names = sorted({name for row in rows for name in row.params})
    differing = [name for name in names if len({row.params.get(name) for row in rows}) > 1]
    return [
        Column(
            f"params.{name}" if name in taken else name,
            partial(_param_cell, name, chars),
            3 if place < _PARAM_COLUMNS else 20 + place,
            f"params.{name}",
            is_number=is_numeric([row.params[name] for row in rows if name in row.params]),
        )
        for place, name in enumerate(differing)
    ]


def _param_cell(name: str, chars: int | None, row: Row) -> str:
    text = row.params.get(name, "-")
    return text if chars is None else shortened(text, chars)


def _cell(column: IndexColumn, short: Short, row: Row) -> str:
    value = getattr(row, column.name)
    if column.type == "time":
        return when_text(value)
    if column.type == "tag":
        return ", ".join(value)
    return size_text(value) if column.name == "size_bytes" else short.get(str(value), str(value))


def _field_columns(fields: Sequence[Field]) -> list[Column]:
    """The requested columns. On a narrow terminal the last ones are left out first."""
    return [
        Column(field.name, partial(_field_cell, field), place, _name_of(field), is_number="number" in field.types)
        for place, field in enumerate(fields)
    ]


def _field_cell(field: Field, row: Row) -> str:
    value = field.of(row)
    if isinstance(value, str):
        return when_text(value) if "time" in field.types else value
    return size_text(row.size_bytes) if field.key == "size_bytes" else number_text(value)


def _metric_cell(name: str, row: Row) -> str:
    return number_text(row.metrics.get(name))


def headlines(rows: Sequence[Row]) -> list[str]:
    """The metrics to show, in the order of `ranked`."""
    values: dict[str, MetricValue] = {}
    for row in rows:
        values.update((name, value) for name, value in row.metrics.items() if isinstance(value, (int, float)))
    return ranked(values)[:_METRIC_COLUMNS]


def ranked(metrics: Mapping[str, MetricValue]) -> list[str]:
    """Names of metrics: well-known scores first, then other fractions, then counts, sizes and times."""

    def rank(name: str) -> tuple[int, str]:
        if name.endswith(_MEASURES):
            return len(_HEADLINES) + 2, name
        unknown = len(_HEADLINES) + (not isinstance(metrics[name], float))
        return next((place for place, word in enumerate(_HEADLINES) if word in name.lower()), unknown), name

    return sorted(metrics, key=rank)


def number_text(value: MetricValue | None) -> str:
    """A float with four significant digits, other values unchanged, `-` for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def when_text(moment: str) -> str:
    """`2026-11-24 10:02Z` from RFC 3339 in UTC. Other texts are unchanged."""
    try:
        return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%MZ}"
    except ValueError:
        return moment


_IS_SHOWN: dict[str, Callable[[Sequence[Row]], bool]] = {
    "job": lambda rows: len({row.job for row in rows}) > 1,
    "tags": lambda rows: any(row.tags for row in rows),
}
"""Columns that are left out where they say nothing."""


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Cells in columns two spaces apart, without trailing spaces."""
    table = [[visible_line(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table)
    return "\n".join(rows)


def indented(text: str) -> str:
    """Indents each line by two spaces."""
    return "\n".join(f"  {line}" for line in text.split("\n"))
