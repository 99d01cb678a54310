"""Lines and points in a plane: curves, a metric over versions, a scatter of two quantities; and a sparkline."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from federation.charts import svg
from federation.charts.bars import key
from federation.charts.scale import Scale, readable, sampled, scale
from federation.charts.states import css_class, sign
from federation.charts.svg import Chart, element, label_text, linked, percent
from federation.text import shortened

MARKS_MAX = 5000
HEIGHT = 220
"""The height in pixels of the plane, without its labels."""
_POINTS_MAX = 200
"""Lines with more points are drawn without them."""
_LEFT, _RIGHT = 0.06, 0.98
_NAMED_MAX = 8
"""More lines than this are named in a key instead of at their ends."""
Format = Callable[[float], str]


@dataclass(frozen=True)
class Mark:
    """A point. `kind` is a state or a class of `states.py`."""

    x: float
    y: float
    kind: str = ""
    title: str = ""
    href: str = ""


@dataclass(frozen=True)
class Series:
    """A line through marks in their order. `step` draws stairs, as for the best so far."""

    name: str
    marks: Sequence[Mark]
    kind: str = ""
    step: bool = False
    href: str = ""


def line(
    series: Sequence[Series],
    *,
    label: str = "",
    x_label: str = "",
    y_label: str = "",
    log: bool | None = None,
    log_x: bool | None = False,
    x_format: Format = readable,
    y_format: Format = readable,
    limit: int = MARKS_MAX,
) -> Chart:
    """Curves on common axes, each named at its end. `log` None: the y axis is logarithmic where values span two decades."""
    marks = [mark for one in series for mark in one.marks]
    named = 1 < len(series) <= _NAMED_MAX
    names = [shortened(one.name, 16) for one in series]
    margin = (max(map(svg.width_of, names)) + 16) / svg.NARROW if named else 0.0
    frame = _frame(marks, log_x, log, _RIGHT - margin)
    kept, usable = _kept(series, frame, limit)
    parts, top = _axes(frame, label, x_label, y_label, x_format, y_format)
    points = sum(map(len, kept)) <= _POINTS_MAX
    radius = 3.5 if max(map(len, kept), default=0) <= 30 else 2
    dots, ends = [], []
    for order, (one, own) in enumerate(zip(series, kept, strict=True)):
        css = css_class(one.kind, order)
        if not own:
            continue
        path = element("path", svg.title(one.name), class_=f"{css} l line", d=_path(own, frame, one.step))
        parts.append(svg.stretched(linked(path, one.href), top, HEIGHT))
        if points or len(own) == 1:
            dots += [_dot(mark, frame, top, css, one.name, x_format, y_format, radius) for mark in own]
        ends.append((frame.place(own[-1])[1], css, names[order]))
    parts += dots
    drawn = sum(map(len, kept))
    height = top + HEIGHT + 34
    if named:
        parts += _end_names(sorted(ends), frame, top)
    elif len(series) > 1:
        legend, height = key([(css, name, "") for _, css, name in sorted(ends)[:30]], height)
        parts.append(legend)
    return _finished(parts, height, label or y_label or "line chart", drawn, len(marks), usable)


def _kept(series: Sequence[Series], frame: _Frame, limit: int) -> tuple[list[Sequence[Mark]], int]:
    """The marks of each series that are drawn, and how many could be."""
    held: list[Sequence[Mark]] = [[mark for mark in one.marks if frame.holds(mark)] for one in series]
    usable = sum(map(len, held))
    if usable <= limit:
        return held, usable
    return [sampled(own, max(2, limit * len(own) // usable)) for own in held], usable


def scatter(
    marks: Sequence[Mark],
    *,
    label: str = "",
    x_label: str = "",
    y_label: str = "",
    log_x: bool | None = None,
    log: bool | None = None,
    x_format: Format = readable,
    y_format: Format = readable,
    names: Mapping[str, str] | None = None,
    limit: int = MARKS_MAX,
    of: int = 0,
) -> Chart:
    """A point for each mark. `names` maps the kinds that occur to what they mean, for the key. `of`: how many there are, where
    `marks` are a sample of them."""
    frame = _frame(marks, log_x, log)
    usable = [mark for mark in marks if frame.holds(mark)]
    kept = sampled(usable, limit)
    parts, top = _axes(frame, label, x_label, y_label, x_format, y_format)
    parts += [_dot(mark, frame, top, css_class(mark.kind), "", x_format, y_format) for mark in kept]
    kinds = {mark.kind for mark in kept}
    items = [(css_class(kind), name, sign(kind)) for kind, name in (names or {}).items() if kind in kinds]
    legend, height = key(items, top + HEIGHT + 34)
    parts.append(legend)
    about = label or f"{y_label} against {x_label}"
    sample = max(0, of - len(marks))
    return _finished(parts, height, about, len(kept), len(marks) + sample, len(usable) + sample)


def sparkline(
    values: Sequence[float], *, label: str = "", kind: str = "r-0", width: int = 96, height: int = 20
) -> Chart:
    """A small curve without axes, its lowest value at the bottom. The width is in pixels."""
    kept = sampled([value for value in values if math.isfinite(value)], 200)
    axis = Scale(min(kept, default=0), max(kept, default=1), False, ())
    step = (width - 4) / max(1, len(kept) - 1)
    at = [(2 + order * step, 2 + (1 - axis.at(value)) * (height - 4)) for order, value in enumerate(kept)]
    css = css_class(kind)
    parts = []
    if at:
        told = f"{label + ': ' if label else ''}{readable(kept[0])} → {readable(kept[-1])}"
        path = "M" + "L".join(f"{svg.number(x)} {svg.number(y)}" for x, y in at)
        parts = [svg.title(told), element("path", class_=f"{css} l line", d=path)]
        parts.append(element("circle", class_=f"{css} f", cx=at[-1][0], cy=at[-1][1], r=2))
    how = svg.counted_of(len(kept), len(values))
    drawn = svg.chart(parts, height, label or "sparkline", drawn=len(kept), of=len(values), note=how)
    return Chart(
        drawn.svg.replace('width="100%"', f'width="{width}"', 1), drawn.drawn, drawn.of, drawn.note, height, width
    )


@dataclass(frozen=True)
class _Frame:
    x: Scale
    y: Scale
    right: float

    def holds(self, mark: Mark) -> bool:
        return self.x.holds(mark.x) and self.y.holds(mark.y)

    def place(self, mark: Mark) -> tuple[float, float]:
        """Where the mark is: a share of the width, and pixels from the top of the plane."""
        return self.across(mark.x), (1 - self.y.at(mark.y)) * HEIGHT

    def across(self, x: float) -> float:
        return _LEFT + self.x.at(x) * (self.right - _LEFT)


def _frame(marks: Sequence[Mark], log_x: bool | None, log_y: bool | None, right: float = _RIGHT) -> _Frame:
    whole = [mark for mark in marks if math.isfinite(mark.x) and math.isfinite(mark.y)]
    return _Frame(scale([mark.x for mark in whole], log=log_x), scale([mark.y for mark in whole], log=log_y), right)


def _axes(
    frame: _Frame, label: str, x_label: str, y_label: str, x_format: Format, y_format: Format
) -> tuple[list[str], float]:
    """Grid, ticks and names of the axes, and where the plane begins. Values of y stand on their grid lines."""
    parts, top = [], 20.0
    if label:
        parts.append(label_text(label, 0, 12, "h"))
        top += 20
    parts.append(label_text(_with_log(shortened(y_label, 48), frame.y), 0, top - 10, "m"))
    top += 10
    for tick in frame.y.ticks:
        y = top + (1 - frame.y.at(tick)) * HEIGHT
        parts.append(element("line", class_="grid", x1=0, x2="100%", y1=y, y2=y))
        parts.append(label_text(y_format(tick), 0, y - 3, "m small halo"))
    bottom = top + HEIGHT
    parts.append(element("line", class_="axis", x1=0, x2="100%", y1=bottom, y2=bottom))
    texts = [x_format(tick) for tick in frame.x.ticks]
    room = svg.NARROW / max(1, len(texts) - 1)
    every = max(1, math.ceil((max(map(len, texts), default=0) * svg.CHAR_WIDTH + 8) / room))
    for order, (tick, text) in enumerate(zip(frame.x.ticks, texts, strict=True)):
        at = frame.across(tick)
        parts.append(element("line", class_="axis", x1=percent(at), x2=percent(at), y1=bottom, y2=bottom + 4))
        if order % every == 0:
            parts.append(_centred(text, at, bottom + 16))
    parts.append(label_text(_with_log(shortened(x_label, 48), frame.x), "100%", bottom + 31, "m", anchor="end"))
    return parts, top


def _centred(text: str, at: float, y: float) -> str:
    """The text around a place, or at the edge of the chart where it would be cut off."""
    half = svg.width_of(text) / 2 / svg.NARROW
    if at < half:
        return label_text(text, 0, y, "m small")
    if at + half > 1:
        return label_text(text, "100%", y, "m small", anchor="end")
    return label_text(text, percent(at), y, "m small", anchor="middle")


def _end_names(ends: Sequence[tuple[float, str, str]], frame: _Frame, top: float) -> list[str]:
    """The name of each line beside its end, moved down where two would overlap."""
    parts, y = [], -99.0
    for order, (wanted, css, name) in enumerate(ends):
        y = min(max(wanted, y + 14), HEIGHT - 14 * (len(ends) - 1 - order))
        inside = element("rect", class_=f"{css} f", x=4, y=-3, width=6, height=6) + label_text(
            name, 14, 4, "small halo"
        )
        parts.append(f'<svg x="{percent(frame.right)}" y="{svg.number(top + y)}" overflow="visible">{inside}</svg>')
    return parts


def _with_log(name: str, axis: Scale) -> str:
    return f"{name} (log)".strip() if axis.log else name


def _path(marks: Sequence[Mark], frame: _Frame, step: bool) -> str:
    places = [(svg.number(1000 * x), svg.number(y)) for x, y in map(frame.place, marks)]
    first = f"M{places[0][0]} {places[0][1]}"
    return first + "".join(f"H{x}V{y}" if step else f"L{x} {y}" for x, y in places[1:])


def _dot(
    mark: Mark, frame: _Frame, top: float, css: str, name: str, x_format: Format, y_format: Format, radius: float = 3.5
) -> str:
    x, y = frame.place(mark)
    told = mark.title or f"{name} {x_format(mark.x)}: {y_format(mark.y)}".strip()
    css = css_class(mark.kind) if mark.kind else css
    return linked(element("circle", svg.title(told), class_=f"{css} f", cx=percent(x), cy=top + y, r=radius), mark.href)


def _finished(parts: list[str], height: float, label: str, drawn: int, of: int, usable: int) -> Chart:
    note = svg.counted_of(drawn, of, how="drawn by reservoir" if drawn < usable else "the others have no number here")
    parts.append(label_text(note, 0, height + 12, "m small"))
    return svg.chart(parts, height + 18, label, drawn=drawn, of=of, note=note)
