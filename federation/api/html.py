"""HTML for notebooks."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

from federation.charts.svg import Chart
from federation.output.visible import visible_line


def table_html(heading: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table. The first line is its heading."""
    head = "".join(f"<th>{text_html(cell)}</th>" for cell in heading)
    body = "".join("<tr>" + "".join(f"<td>{text_html(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def picture_html(chart: Chart) -> str:
    """A chart as an image, so that its style stays its own."""
    data = b64encode(chart.standalone().encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{text_html(chart.note)}" style="max-width: 100%">'


def text_html(text: object) -> str:
    """A text in which nothing is markup."""
    return escape(visible_line(str(text)))
