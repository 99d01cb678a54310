"""Fills templates. Every value is escaped, and hidden characters of foreign text are shown as escapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from federation.charts.states import state
from federation.output.visible import visible
from federation.text import counted
from federation.web.markup import row_html, short, when
from federation.web.table import Table

FOLDER = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
FRAGMENTS = "fragments_of_page"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page as HTML, and the parts of it that a viewer's page takes over when they change: element ID → HTML."""

    html: str
    fragments: Mapping[str, str]


def environment(**globals_: object) -> Environment:
    """The templates of this package. An unknown name in a template is an error."""
    env = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    env.filters |= {
        "when": when,
        "short": short,
        "picture": picture,
        "segment": segment,
        "format_of": format_of,
        "look_of": state,
        "counted": counted,
        "singular": singular,
    }
    env.globals |= {"fragment": fragment, "rows_html": rows_html, **globals_}
    return env


def render(env: Environment, template: str, values: Mapping[str, object]) -> Rendered:
    """Fills one template."""
    fragments: dict[str, str] = {}
    html = env.get_template(template).render({**values, FRAGMENTS: fragments})
    return Rendered(html, fragments)


def _shown(value: Any) -> Any:
    if value is None:
        return ""
    return value if isinstance(value, Markup) else visible(str(value))  # an error's text is foreign too


@pass_context
def fragment(context: Context, name: str, caller: Callable[[], Markup]) -> Markup:
    """`{% call fragment("row-1") %}<tr id="row-1">…</tr>{% endcall %}`: an element that viewers take over when it changes.

    Its ID must be `name`. Fragments inside of it are parts of it: they aren't sent by themselves."""
    fragments = context[FRAGMENTS]
    before = set(fragments)
    html = caller()
    for inner in set(fragments) - before:
        del fragments[inner]
    fragments[name] = str(html).strip()
    return html


@pass_context
def rows_html(context: Context, rows: Table) -> Markup:
    """The rows of a table, each of which is a fragment."""
    written = {f"{rows.name}-{row.key}": row_html(rows, row) for row in rows.rows}
    context[FRAGMENTS].update(written)
    return Markup("\n").join(written.values())


def picture(chart: Any) -> Markup:
    """The SVG of a chart, which has escaped its texts itself."""
    return Markup(chart.svg)  # noqa: S704


def format_of(address: str, form: str, chart: str = "") -> str:
    """The address of a page in another form."""
    joined = f"{address}{'&' if '?' in address else '?'}format={form}"
    return f"{joined}&chart={quote(chart, safe='')}" if chart else joined


def singular(name: str) -> str:
    """`entry` for `entries`, `node` for `nodes`: what one row of a table is called."""
    return f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")


def segment(text: str) -> str:
    """A text as one segment of an address."""
    return quote(text, safe="")
