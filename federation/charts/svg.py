"""Writes SVG: elements with escaped text, and the finished `Chart`.

A chart has no `viewBox` in a page: shapes are placed in percent of the width and in pixels of the height, so text keeps
its size at every width. Paths stand in an inner `<svg>` (`stretched`) that stretches in x alone. A file gets a `viewBox`.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from federation.output.visible import visible_line
from federation.text import shortened

FILE_WIDTH = 720
"""The width in pixels of a picture that stands alone, without its margin."""
_MARGIN = 12
NARROW = 340
"""Labels are laid out so that they fit a chart of this width."""
CHAR_WIDTH = 6.4
"""The width in pixels of a character of ordinary text, roughly."""
_TEXT_MAX = 300
_HREF = re.compile(r"(?:https?://|[?#]|/(?![/\\])|\Z)")
_LIGHT_DARK = re.compile(r"light-dark\(([^,()]*),\s*([^()]*)\)")


@dataclass(frozen=True)
class Chart:
    """A drawn chart. `svg` is for a page that includes `charts.css`; `note` says how many of how many are drawn."""

    svg: str
    drawn: int
    of: int
    note: str
    height: int
    width: int = 0
    """In pixels; 0 for a chart that is as wide as its place."""

    def standalone(self) -> str:
        """The picture as a file of its own: with a style sheet for light, dark and print, and a size."""
        width = self.width or FILE_WIDTH
        whole, high = width + 2 * _MARGIN, self.height + 2 * _MARGIN
        head, _, body = self.svg.partition(">")
        size = f'viewBox="0 0 {whole} {high}" width="{whole}" height="{high}"'
        head = head.replace(f'width="{self.width or "100%"}" height="{self.height}"', size, 1)
        head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        ground = '<rect class="ground" width="100%" height="100%"/>'
        inner = f'<svg x="{_MARGIN}" y="{_MARGIN}" width="{width}" height="{self.height}" overflow="visible">'
        return f"{head}><style>{_file_style()}</style>{ground}{inner}{body}</svg>"

    def _repr_svg_(self) -> str:
        return self.standalone()


def chart(parts: list[str], height: float, label: str, *, drawn: int, of: int, note: str = "") -> Chart:
    """Joins elements to a chart. One with links is a group for screen readers, because an image can't hold links."""
    body, whole = "".join(parts), round(height)
    note = note or counted_of(drawn, of)
    summary = attribute(f"{label}: {note}" if label else note)
    role = "group" if "<a " in body else "img"
    svg = f'<svg class="chart" role="{role}" aria-label="{summary}" width="100%" height="{whole}">{body}</svg>'
    return Chart(svg, drawn, of, note, whole)


def counted_of(drawn: int, of: int, *, how: str = "drawn by reservoir") -> str:
    """`1,200 of 1,200`, or `5,000 of 80,000, drawn by reservoir`."""
    return f"{drawn:,} of {of:,}{f', {how}' if drawn < of else ''}"


def attribute(text: str) -> str:
    """Foreign text, safe inside an element or an attribute: escaped, hidden characters shown, of limited length."""
    return html.escape(visible_line(shortened(text, _TEXT_MAX)), quote=True)


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def percent(fraction: float) -> str:
    """A coordinate as a share of the chart's width."""
    return f"{100 * fraction:.2f}".rstrip("0").rstrip(".") + "%"


def element(name: str, content: str = "", /, **attributes: str | float) -> str:
    """An element. `content` is markup already; attribute values are escaped here. `class_` and `text_anchor` become names."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(key, value)}"'
        for key, value in attributes.items()
        if value != ""
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def _value(key: str, value: str | float) -> str:
    if isinstance(value, str):
        return value if key == "d" else attribute(value)  # a path is long, and of our own making
    return number(value)


def label_text(text: str, x: str | float, y: float, class_: str = "", *, anchor: str = "", dx: float = 0) -> str:
    """A line of text. `anchor` is `middle` or `end`."""
    shift = {"dx": dx} if dx else {}
    return element("text", attribute(text), x=x, y=y, class_=class_, text_anchor=anchor, **shift) if text else ""


def title(text: str) -> str:
    return f"<title>{attribute(text)}</title>" if text else ""


def linked(shape: str, href: str) -> str:
    """The shape as a link, which the keyboard reaches. Other addresses than pages of ours and http(s) are left out."""
    return f'<a href="{html.escape(href, quote=True)}">{shape}</a>' if href and is_safe_href(href) else shape


def is_safe_href(href: str) -> bool:
    return _HREF.match(href) is not None and visible_line(href) == href


def stretched(content: str, y: float, height: float, *, x: str = "0", width: str = "100%") -> str:
    """An inner picture of 1,000 units in width that stretches to the chart's width. For paths and areas."""
    return (
        f'<svg x="{x}" y="{number(y)}" width="{width}" height="{number(height)}" viewBox="0 0 1000 {number(height)}"'
        f' preserveAspectRatio="none" overflow="visible">{content}</svg>'
    )


def clipped(content: str, x: str, y: float, width: str, height: float) -> str:
    """Content that is cut off at the edges of this box; its own coordinates begin at the box."""
    return f'<svg x="{x}" y="{number(y)}" width="{width}" height="{number(height)}">{content}</svg>'


def width_of(text: str) -> float:
    """The width of a text in pixels, roughly."""
    return len(text) * CHAR_WIDTH


@cache
def style() -> str:
    """The style sheet of charts (`charts.css`), as pages include it."""
    return files("federation.charts").joinpath("charts.css").read_text(encoding="utf-8")


@cache
def _file_style() -> str:
    """The style sheet with plain colours, which viewers without `light-dark()` understand too."""
    text = re.sub(r"/\*.*?\*/|\n\s*", "", style(), flags=re.DOTALL).replace(": ", ":").replace(" {", "{")
    screen, _, printed = text.partition("@media print")
    dark = "".join(rule for rule in re.findall(r"[^{}]+\{[^{}]*\}", screen) if "light-dark(" in rule)
    light, dark = _LIGHT_DARK.sub(r"\1", screen), _LIGHT_DARK.sub(r"\2", dark)
    return f"{light}@media screen and (prefers-color-scheme:dark){{{dark}}}@media print{printed}"
