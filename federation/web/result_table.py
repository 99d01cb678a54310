"""The table of results as pages show it: the columns of `fedml index list`, with links."""

from __future__ import annotations

from collections.abc import Sequence

from federation.index import Row
from federation.index.query.fields import Field, written_name
from federation.text import shortened
from federation.ui.index_table import Column as TextColumn
from federation.ui.index_table import Short, shown_columns
from federation.web.table import Cell, Column, Kind, Table
from federation.web.table import Row as TableRow
from federation.web.templates import segment

TEXT_CHARS = 40
_KINDS: dict[str, Kind] = {"state": "state", "alloc_id": "id", "run": "id", "committed": "time", "created": "time"}


def result_table(
    rows: Sequence[Row],
    fields: Sequence[Field] | None = None,
    *,
    short: Short,
    sorted_by: Sequence[Field] = (),
    revision: str = "",
) -> Table:
    """The rows in the columns of the command; the result's ID comes first. `revision`: that of the page's address, which links
    keep."""
    columns = shown_columns(rows, fields, short=short, sorted_by=sorted_by)
    own = next((column for column in columns if column.field == "alloc_id"), None)
    if own is not None:
        columns = [own, *(column for column in columns if column is not own)]
    heads = [
        Column(
            column.heading, _KINDS.get(column.field, "number" if column.is_number else "text"), written(column.field)
        )
        for column in columns
    ]
    at = f"?revision={segment(revision)}" if revision else ""
    cells = zip(*(_cells(column, rows) for column in columns), strict=True)
    lines = [
        TableRow(row.alloc_id, own_cells, href=f"/results/{segment(row.alloc_id)}{at}")
        for row, own_cells in zip(rows, cells, strict=False)
    ]
    return Table(heads, lines, name="results", is_selectable=True)


def written(field: str) -> str:
    """A column's field as `--sort` and `--where` write it."""
    kind, _, name = field.partition(".")
    return written_name(kind.removesuffix("s"), name) if kind in ("metrics", "params") and name else field


def _cells(column: TextColumn, rows: Sequence[Row]) -> list[Cell]:
    """The cells of one column."""
    kind, _, name = column.field.partition(".")
    texts = [column.cell(row) for row in rows]
    if kind in ("metrics", "params") and name:
        values = [(row.metrics if kind == "metrics" else row.params).get(name, "") for row in rows]
        return [
            Cell("" if text == "-" else shortened(text, TEXT_CHARS), value, title=str(value))
            for text, value in zip(texts, values, strict=True)
        ]
    own = [getattr(row, column.field, text) for row, text in zip(rows, texts, strict=True)]
    match column.field:
        case "run":
            return [
                Cell(text, row.run, href=f"/runs/{segment(row.run)}") for text, row in zip(texts, rows, strict=True)
            ]
        case "created" | "committed":
            return [Cell(str(value), value) for value in own]
        case "state":
            return [Cell(row.state, state=row.state) for row in rows]
        case "tags":
            return [Cell(text, text) for text in texts]
    return [Cell(text, value) for text, value in zip(texts, own, strict=True)]
