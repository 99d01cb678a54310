"""Bars: one that is divided into segments, and rows of used of total or of a metric. All begin at zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from federation.charts import svg
from federation.charts.scale import Scale, readable, scale
from federation.charts.states import css_class, sign
from federation.charts.svg import Chart, element, label_text, linked, percent
from federation.text import in_words, shortened, size_text

ROWS_MAX = 100
_BAR = 14
_LINE = 16


@dataclass(frozen=True)
class Segment:
    """A part of a bar. `kind` is a state, a phase or a class of `states.py`; other kinds get colours by order."""

    name: str
    value: float
    kind: str = ""
    title: str = ""
    href: str = ""


@dataclass(frozen=True)
class Bar:
    """A row: `used` of `total`, or a value alone where `total` is None. `unit` `s` and `B` are shown as time and size."""

    label: str
    used: float
    total: float | None = None
    unit: str = ""
    href: str = ""
    kind: str = ""
    title: str = ""


def stacked_bar(
    segments: Sequence[Segment],
    *,
    label: str = "",
    total: float | None = None,
    unit: str = "",
    shares: bool = True,
    names: bool = True,
) -> Chart:
    """A bar divided into segments, with their names and shares (`shares` False: their values) below. With a `total` that
    is more than their sum, the rest stays empty. `names` False leaves the names out, for rows of a table."""
    usable = [(order, part) for order, part in enumerate(segments) if math.isfinite(part.value) and part.value > 0]
    largest = max((part.value for _, part in usable), default=1.0)
    whole = max(sum(part.value / largest for _, part in usable), _finite(total) / largest) or 1.0
    parts, y = [], 0.0
    if label:
        parts.append(label_text(label, 0, 12, "h"))
        y = 20.0
    parts.append(element("rect", class_="track", y=y, width="100%", height=_BAR))
    left, small, below = 0.0, [], []
    for order, part in usable:
        share = part.value / largest / whole
        value = percent_text(share) if shares else value_text(part.value, unit)
        css = css_class(part.kind, order)
        said = part.title or f"{part.name}: {value_text(part.value, unit)} ({percent_text(share)})"
        seg = " seg" if share > 0.01 else ""
        bar = element(
            "rect", svg.title(said), class_=f"{css} f{seg}", x=percent(left), y=y, width=percent(share), height=_BAR
        )
        parts.append(linked(bar, part.href))
        text, mark = f"{part.name} {value}", sign(part.kind)
        if svg.width_of(text) + (15 if mark else 0) <= share * svg.NARROW - 4:
            words = _swatch(css, mark, 0, -2) + label_text(text, 15, 12) if mark else label_text(text, 0, 12)
            below.append(svg.clipped(words, percent(left), y + _BAR + 2, percent(share), _LINE))
        else:
            small.append((css, text, mark))
        left += share
    y += _BAR
    if names:
        parts += below
        y += _LINE + 2 if below else 0
        legend, y = key(small, y)
        parts.append(legend)
    if not usable:
        parts.append(label_text("nothing yet", 4, y - 3, "m small"))
    summary = ", ".join(f"{part.name} {percent_text(part.value / largest / whole)}" for _, part in usable)
    heading = ": ".join(filter(None, (label, summary or "nothing yet")))
    return svg.chart(
        parts, y, heading, drawn=len(usable), of=len(segments), note=_parts_note(len(usable), len(segments))
    )


def bars(rows: Sequence[Bar], *, label: str = "", limit: int = ROWS_MAX) -> Chart:
    """Rows of bars. With a total, the whole width is the total; without, all rows share one scale that holds zero."""
    shown = rows[:limit]
    common = scale((row.used for row in rows if row.total is None), zero=True)
    parts, y = [], 0.0
    if label:
        parts.append(label_text(label, 0, 12, "h"))
        y = 20.0
    for order, row in enumerate(shown):
        parts.append(linked(_row(row, y, common, order), row.href))
        y += _LINE + _BAR + 8
    drawn = sum(math.isfinite(row.used) for row in shown)
    note = svg.counted_of(len(shown), len(rows), how="the first ones")
    if len(shown) < len(rows):
        parts.append(label_text(note, 0, y + 8, "m small"))
        y += 16
    if not rows:
        parts.append(label_text("nothing yet", 0, y + 12, "m"))
        y += 20
    return svg.chart(parts, y, label or "bars", drawn=drawn, of=len(rows), note=note)


def _row(row: Bar, y: float, common: Scale, order: int) -> str:
    total = row.total if row.total is not None and math.isfinite(row.total) else None
    if not math.isfinite(row.used):
        start, share, said = 0.0, 0.0, "no value"
    elif row.total is None:
        zero, end = common.at(0), common.at(row.used)
        start, share, said = min(zero, end), abs(end - zero), value_text(row.used, row.unit)
    else:
        start, share = 0.0, min(1.0, max(0.0, row.used / total)) if total else 0.0
        said = f"{value_text(row.used, row.unit)} of {value_text(row.total, row.unit)}"
    full = row.total is not None and share >= 0.95
    kind = row.kind or ("u-full" if full else "u-used")
    room = percent(max(0.2, 1 - (svg.width_of(said) + 12) / svg.NARROW))
    bar = element(
        "rect", class_=f"{css_class(kind, order)} f", x=percent(start), y=y + _LINE, width=percent(share), height=_BAR
    )
    track = element("rect", class_="track", y=y + _LINE, width="100%", height=_BAR)
    words = svg.clipped(label_text(row.label, 0, 12), "0", y, room, _LINE) + label_text(
        said, "100%", y + 12, anchor="end"
    )
    return f"<g>{svg.title(row.title or f'{row.label}: {said}')}{words}{track}{bar}</g>"


def key(items: Sequence[tuple[str, str, str]], y: float) -> tuple[str, float]:
    """A key of (class, text, sign) in lines that fit a narrow chart, and where it ends."""
    parts, x = [], 0.0
    for css, text, mark in items:
        text = shortened(text, 48)
        wide = svg.width_of(text) + 30
        if x and x + wide > svg.NARROW:
            x, y = 0.0, y + _LINE
        parts.append(_swatch(css, mark, x, y) + label_text(text, x + 15, y + 14))
        x += wide
    return "".join(parts), y + _LINE + 2 if items else y


def _swatch(css: str, mark: str, x: float, y: float) -> str:
    if mark:
        return element("text", mark, x=x, y=y + 14, class_=f"{css} sign")
    return element("rect", class_=f"{css} f", x=x, y=y + 5, width=10, height=10)


def value_text(value: float, unit: str = "") -> str:
    """`3 h 20 min` (unit `s`), `1.2 MB` (`B`), `4,000 MHz`."""
    if not math.isfinite(value):
        return readable(value)
    if unit == "s" and 0 <= value < 1e12:
        return in_words(value) if value >= 10 else f"{readable(value, 2)} s"
    if unit == "B" and 0 <= value < 1e18:
        return size_text(round(value))
    return f"{readable(value)} {shortened(unit, 12)}".strip()


def percent_text(share: float) -> str:
    """`41 %`; `<1 %` for a little."""
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) and value > 0 else 0.0


def _parts_note(drawn: int, of: int) -> str:
    return svg.counted_of(drawn, of, how="the others are zero or no numbers")
