"""Writes moments, IDs and rows of tables as HTML. Rows not by templates: a page has thousands of cells. Escapes all text."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

from federation.charts.states import state
from federation.output.visible import visible
from federation.web.table import Cell, Column, Row, Table

ID_CHARS = 8
_PLAIN = re.compile(r"[A-Za-z0-9 _.,:;/+-]*")
"""What needs no escape: most cells."""


def when(moment: str | float | None) -> Markup:
    """A `<time>`, which the browser shows as local time; UTC without JavaScript. Takes ISO 8601 or seconds since the epoch."""
    if moment is None or moment == "":
        return Markup("")
    try:
        at = datetime.fromtimestamp(moment, UTC) if isinstance(moment, int | float) else datetime.fromisoformat(moment)
        at = at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return Markup("{}").format(visible(str(moment)))
    day, clock = f"{at:%Y-%m-%d}", f"{at:%H:%M:%S}"
    return Markup(f'<time datetime="{day}T{clock}Z" title="{day} {clock}Z">{day} {clock[:5]}Z</time>')  # noqa: S704 - digits


def short(name: str) -> Markup:
    """An ID: its beginning is shown, all of it is copied."""
    return Markup('<span class="id" title="{0}" data-copy="{0}">{1}</span>').format(
        visible(name), visible(name[:ID_CHARS])
    )


def row_html(rows: Table, row: Row) -> Markup:
    """One `<tr>`. Its first cell is a heading, which opens what the row is about."""
    key = _text(row.key)
    parts = [f'<tr id="{_text(rows.name)}-{key}" data-key="{key}"']
    parts.append(f' data-href="{_text(row.href)}"' if row.href else "")
    parts.append(' class="outside">' if row.is_outside else ">")
    if rows.is_selectable:
        parts.append(
            f'<td class="mark"><input type="checkbox" name="select" value="{key}" form="{_text(rows.name)}-selection" '
            f'aria-label="select {_text(row.cells[0].text)}"></td>'
        )
    for place, (column, cell) in enumerate(zip(rows.columns, row.cells, strict=False)):
        if place == 0 and row.href and not cell.href:
            inside = _id(cell) if column.kind == "id" else _text(cell.text)
            parts.append(f'<th scope="row" class="k-{column.kind}"><a href="{_text(row.href)}">{inside}</a></th>')
        else:
            title = f' title="{_text(cell.title)}"' if cell.title else ""
            parts.append(f'<td class="k-{column.kind}"{title}>{_inside(column, cell)}</td>')
    return Markup("".join([*parts, "</tr>"]))  # noqa: S704 - all of its texts are escaped


def _inside(column: Column, cell: Cell) -> str:
    if column.kind == "time":
        return when(cell.text)
    if column.kind == "state":
        look = state(cell.state or cell.text)
        return f'<span class="state {look.css_class}"><span aria-hidden="true">{look.sign}</span> {_text(cell.text)}</span>'
    shown = _id(cell) if column.kind == "id" and cell.text else _text(cell.text)
    return f'<a href="{_text(cell.href)}">{shown}</a>' if cell.href else shown


def _id(cell: Cell) -> str:
    whole = _text(str(cell.value or cell.text))
    return f'<span class="id" title="{whole}" data-copy="{whole}">{_text(cell.text)}</span>'


def _text(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else str(escape(visible(text)))
