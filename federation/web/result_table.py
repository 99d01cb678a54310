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
    lines = [
        TableRow(row.alloc_id, [_cell(column, row) for column in columns], href=f"/results/{segment(row.alloc_id)}{at}")
        for row in rows
    ]
    return Table(heads, lines, name="results", is_selectable=True)


def written(field: str) -> str:
    """A column's field as `--sort` and `--where` write it."""
    kind, _, name = field.partition(".")
    return written_name(kind.removesuffix("s"), name) if kind in ("metrics", "params") and name else field


def _cell(column: TextColumn, row: Row) -> Cell:
    kind, _, name = column.field.partition(".")
    text = column.cell(row)
    if kind in ("metrics", "params") and name:
        value = (row.metrics if kind == "metrics" else row.params).get(name, "")
        return Cell("" if text == "-" else shortened(text, TEXT_CHARS), value, title=str(value))
    value = getattr(row, column.field, text)
    match column.field:
        case "run":
            return Cell(text, value, href=f"/runs/{segment(row.run)}")
        case "created" | "committed":
            return Cell(str(value), value)
        case "state":
            return Cell(text, value, state=row.state)
    return Cell(text, ", ".join(value) if isinstance(value, tuple) else value)
