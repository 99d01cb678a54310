"""A table of a page: the same columns and rows as HTML (`_table.html`), as CSV, and as the order of its links."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from federation.output.visible import visible_line

T = TypeVar("T")
Kind = Literal["text", "number", "id", "time", "state", "code"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `sort` is the name by which the address sorts it; empty where it can't."""

    name: str
    kind: Kind = "text"
    sort: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One value. `text` is shown, `value` goes into CSV (None: the text). For an id, `value` is the whole id."""

    text: str
    value: object = None
    href: str = ""
    title: str = ""
    state: str = ""
    """The name of a state, which gives sign and colour."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `key` is unique in its table and stays the same over time. `href` opens what the row is about."""

    key: str
    cells: Sequence[Cell]
    href: str = ""
    is_outside: bool = False
    """Not of those that are looked at: shown in grey."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as they are shown. `total` counts all that match, None where that isn't known. `next_href` shows older ones."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    total: int | None = None
    sort: str = ""
    """As in the address: `name` or `name:desc`."""
    next_href: str = ""
    is_selectable: bool = False
    """Rows can be marked (key `x`); what is marked is `select=KEY` in the address of the link that uses it."""
    empty: str = "Nothing here."
    empty_command: str = ""
    name: str = "rows"
    hidden: Mapping[str, str] = field(default_factory=dict)


def part_after(found: Sequence[T], key: Callable[[T], str], after: str, size: int) -> tuple[Sequence[T], str]:
    """A page of what was found: those after the one of this key ("" or an unknown one: the first), and the key of the last
    where there are more, else ""."""
    begin = next((place + 1 for place, one in enumerate(found) if key(one) == after), 0) if after else 0
    part = found[begin : begin + size]
    return part, key(part[-1]) if begin + size < len(found) else ""


def sorted_by(column: Column, current: str) -> str:
    """What the address sorts by after a click on the heading: first up, then down."""
    return f"{column.sort}:desc" if current == column.sort else column.sort


def csv_text(table: Table) -> str:
    """The table as CSV. A cell that a spreadsheet would compute begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    for row in table.rows:
        writer.writerow([_plain(cell) for cell in row.cells])
    return out.getvalue()


def _plain(cell: Cell) -> object:
    value = cell.text if cell.value is None else cell.value
    if isinstance(value, bool | int | float):
        return value
    text = visible_line(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
