"""Attempts over time: each as a bar in its lane, or, for many, how many there were at each moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from federation.charts import svg
from federation.charts.scale import Scale, readable, scale
from federation.charts.states import css_class, sign
from federation.charts.svg import Chart, element, label_text, linked, percent
from federation.text import counted, in_words, shortened

BARS_MAX = 300
"""More spans than this are drawn as areas."""
_COLUMNS = 120
_AREA = 48
_LABEL = 18
_MARKED = ("failed", "lost")


@dataclass(frozen=True)
class Span:
    """One attempt: pale from `start_s` until it begins (`begun_s`), then in the colour of `kind` until `end_s` (None: not
    yet). `ended` is its state; failed and lost ones get a sign at their end."""

    start_s: float
    end_s: float | None
    kind: str = "done"
    begun_s: float | None = None
    ended: str = ""
    title: str = ""
    href: str = ""


@dataclass(frozen=True)
class Lane:
    """A line of the chart, as for a region, a node or a slot. Spans that overlap stand below one another."""

    label: str
    spans: Sequence[Span]
    title: str = ""
    href: str = ""


def gantt(lanes: Sequence[Lane], *, label: str = "", until_s: float | None = None, limit: int = BARS_MAX) -> Chart:
    """Draws lanes over seconds from the start of the run. Open spans end at `until_s` (default: the latest time known).
    More than `limit` spans are added up: an area for each lane says how many there were at each moment."""
    count = sum(len(lane.spans) for lane in lanes)
    until_s = _until(lanes, until_s)
    held = [Lane(lane.label, [span for span in lane.spans if _holds(span)], lane.title, lane.href) for lane in lanes]
    usable = sum(len(lane.spans) for lane in held)
    axis = _time_scale(until_s)
    parts: list[str] = []
    y = 0.0
    if label:
        parts.append(label_text(label, 0, 12, "h"))
        y = 20.0
    top = y
    bodies: list[str] = []
    draw = _bars if usable <= limit else _areas
    for order, lane in enumerate(held):
        told, body, height = draw(lane, order, y + _LABEL, axis, until_s)
        name = label_text(shortened(lane.label, 36), 0, y + 13)
        bodies.append(linked(f"<g>{svg.title(lane.title or lane.label)}{name}</g>", lane.href))
        bodies.append(label_text(told, "100%", y + 13, "m small", anchor="end"))
        bodies.append(body)
        y += _LABEL + height + 6
    parts += _time_axis(axis, top, y)
    parts += bodies
    y += 20
    how = "" if usable <= limit else "added up: how many at each moment"
    note = f"{usable:,} of {count:,}" + (f", {how}" if how else "" if usable == count else ", the others have no time")
    parts.append(label_text(note, 0, y + 12, "m small"))
    return svg.chart(parts, y + 18, label or "attempts over time", drawn=usable, of=count, note=note)


def _bars(lane: Lane, order: int, y: float, axis: Scale, until_s: float) -> tuple[str, str, float]:
    """Each span in the first row in which it has room."""
    ends: list[float] = []
    spans = sorted(lane.spans, key=lambda span: (span.start_s, _end(span, until_s)))
    rows = []
    for span in spans:
        row = next((row for row, end_s in enumerate(ends) if end_s <= span.start_s), len(ends))
        ends[row : row + 1] = [_end(span, until_s)]
        rows.append(row)
    step = 12 if len(ends) <= 8 else 8 if len(ends) <= 24 else 5
    body = "".join(
        _bar(span, order, y + row * step, step - 2, axis, until_s) for span, row in zip(spans, rows, strict=True)
    )
    return counted(len(spans), "attempt"), body, max(step, len(ends) * step)


def _bar(span: Span, order: int, y: float, height: float, axis: Scale, until_s: float) -> str:
    end_s = _end(span, until_s)
    begun_s = span.start_s if span.begun_s is None else min(end_s, max(span.start_s, span.begun_s))
    left, middle, right = axis.at(span.start_s), axis.at(begun_s), axis.at(end_s)
    css = css_class(span.kind, order)
    told = span.title or f"{in_words(span.start_s)} to {in_words(end_s) if span.end_s is not None else 'now'}"
    parts = [svg.title(told)]
    if middle > left:
        box: dict[str, str | float] = {"x": percent(left), "y": y, "width": percent(middle - left), "height": height}
        parts.append(element("rect", class_=f"{css} f pale", **box))
    share = max(right - middle, 0.002)
    parts.append(
        element("rect", class_=f"{css} f", x=percent(min(middle, 0.998)), y=y, width=percent(share), height=height)
    )
    if span.ended in _MARKED:
        anchor = "end" if right > 0.03 else "start"
        middle_y = y + height / 2 + 4
        parts.append(element("text", sign(span.ended), x=percent(right), y=middle_y, class_="halo", text_anchor=anchor))
    return linked(f"<g>{''.join(parts)}</g>", span.href)


def _areas(lane: Lane, order: int, y: float, axis: Scale, until_s: float) -> tuple[str, str, float]:
    """How many of each kind there were in each of many columns, stacked; waiting ones are pale and on top."""
    kinds = sorted({css_class(span.kind, order) for span in lane.spans})
    counts = {(kind, pale): [0] * (_COLUMNS + 1) for pale in (False, True) for kind in kinds}
    for span in lane.spans:
        end_s, kind = _end(span, until_s), css_class(span.kind, order)
        begun_s = span.start_s if span.begun_s is None else min(end_s, max(span.start_s, span.begun_s))
        for low, high, pale in ((span.start_s, begun_s, True), (begun_s, end_s, False)):
            if high > low:
                steps = counts[kind, pale]
                first = min(_COLUMNS - 1, int(axis.at(low) * _COLUMNS))
                steps[first] += 1
                steps[max(first + 1, math.ceil(axis.at(high) * _COLUMNS))] -= 1
    floor = [0] * _COLUMNS
    layers = []
    for (kind, pale), steps in counts.items():
        now, upper = 0, []
        for column in range(_COLUMNS):
            now += steps[column]
            upper.append(floor[column] + now)
        layers.append((kind, pale, floor, upper))
        floor = upper
    peak = max(floor, default=0) or 1
    scaled = [
        element("path", class_=f"{kind} f{' pale' if pale else ''}", d=_stairs(low, high, peak))
        for kind, pale, low, high in layers
        if low != high
    ]
    told = f"{len(lane.spans):,} attempts, at most {_most_at_once(lane.spans, until_s):,} at once"
    return told, svg.stretched(svg.title(f"{lane.label}: {told}") + "".join(scaled), y, _AREA), _AREA


def _most_at_once(spans: Sequence[Span], until_s: float) -> int:
    steps = sorted(step for span in spans for step in ((span.start_s, 1), (_end(span, until_s), -1)))
    return max(accumulate(step for _, step in steps), default=0)


def _stairs(low: Sequence[int], high: Sequence[int], peak: int) -> str:
    def level(count: int) -> str:
        return svg.number(_AREA - count / peak * _AREA)

    width = 1000 / _COLUMNS
    up = "".join(f"V{level(count)}H{svg.number((column + 1) * width)}" for column, count in enumerate(high))
    down = "".join(f"V{level(low[column])}H{svg.number(column * width)}" for column in reversed(range(_COLUMNS)))
    return f"M0 {level(low[0])}{up}{down}z"


def _time_axis(axis: Scale, top: float, bottom: float) -> list[str]:
    parts = []
    for tick in axis.ticks:
        at = axis.at(tick)
        anchor = "" if at < 0.05 else "end" if at > 0.95 else "middle"
        parts.append(element("line", class_="grid", x1=percent(at), x2=percent(at), y1=top, y2=bottom + 4))
        parts.append(label_text(_clock(tick), percent(at), bottom + 16, "m small", anchor=anchor))
    return parts


_STEPS_S: tuple[float, ...] = (
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14_400,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
)


_SECONDS_UNTIL_S = 240
"""Up to here the axis counts in seconds."""


def _time_scale(until_s: float) -> Scale:
    """From zero to the end, with ticks at whole seconds, minutes, hours or days."""
    if until_s <= _SECONDS_UNTIL_S or until_s > 4 * _STEPS_S[-1]:
        ticks = scale([0, until_s], zero=True, count=4).ticks
    else:
        step = next(step for step in _STEPS_S if step * 5 >= until_s or step == _STEPS_S[-1])
        ticks = tuple(step * order for order in range(math.floor(until_s / step) + 1))
    return Scale(0, until_s, False, tuple(tick for tick in ticks if tick <= until_s))


def _clock(seconds: float) -> str:
    """`0`, `150 s`, `12 min`, `1:30 h`, `2 d`."""
    if seconds <= _SECONDS_UNTIL_S:
        return f"{readable(seconds)} s" if seconds else "0"
    if seconds < 7200 and seconds % 60 == 0:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds // 3600:.0f}:{seconds % 3600 / 60:02.0f} h"
    return f"{readable(seconds / 86_400)} d"


def _holds(span: Span) -> bool:
    times = (span.start_s, span.end_s, span.begun_s)
    return all(time is None or (math.isfinite(time) and abs(time) < 1e12) for time in times)


def _until(lanes: Sequence[Lane], until_s: float | None) -> float:
    spans = [span for lane in lanes for span in lane.spans if _holds(span)]
    known = [time for span in spans for time in (span.start_s, span.begun_s, span.end_s) if time is not None]
    if until_s is not None and math.isfinite(until_s):
        known.append(until_s)
    return max(known, default=0.0) or 1.0


def _end(span: Span, until_s: float) -> float:
    return max(span.start_s, until_s if span.end_s is None else span.end_s)
