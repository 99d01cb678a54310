"""Parallel coordinates: an axis for each parameter and metric, a line for each result."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from federation.charts import svg
from federation.charts.bars import key
from federation.charts.scale import Scale, number_of, readable, sampled, scale
from federation.charts.states import css_class
from federation.charts.svg import Chart, element, label_text, linked, percent
from federation.text import shortened

ROWS_MAX = 1000
HEIGHT = 220
_MISSING = HEIGHT + 16
"""Where lines pass an axis for which they have no value."""
_NAMES_MAX = 12
"""An axis of more different texts shows only the first and the last."""
_LEFT, _RIGHT = 0.03, 0.91

Value = float | str | bool | None


@dataclass(frozen=True)
class Row:
    """A line. `values` by the names of axes; what isn't there has no value."""

    id: str
    values: Mapping[str, Value]
    kind: str = ""
    title: str = ""
    href: str = ""


@dataclass(frozen=True)
class _Axis:
    name: str
    scale: Scale
    texts: Mapping[str, int] = field(default_factory=dict)

    def at(self, value: Value) -> float | None:
        """From 0 (bottom) to 1, or None where the value has no place."""
        if self.texts:
            order = self.texts.get(_text(value)) if value is not None else None
            return None if order is None else self.scale.at(order)
        number = _finite(value)
        return self.scale.at(number) if number is not None and self.scale.holds(number) else None

    def number(self, value: Value) -> float | None:
        """What a brush compares: the value, or the place of a text."""
        return self.texts.get(_text(value)) if self.texts and value is not None else _finite(value)


def parallel(
    rows: Sequence[Row],
    axes: Sequence[str],
    *,
    label: str = "",
    log: Mapping[str, bool] | bool | None = None,
    brush: Mapping[str, tuple[float, float]] | None = None,
    names: Mapping[str, str] | None = None,
    limit: int = ROWS_MAX,
    of: int = 0,
) -> Chart:
    """Draws rows over axes. Numbers get a scale, texts a place each in order. `brush` maps an axis to the (low, high) that is
    selected; other lines are dimmed. `names` maps kinds to what they mean, for the key. For a script each line has
    `data-id`, each axis `data-name`, `data-min`, `data-max`, `data-log`, and in pixels `data-top` and `data-bottom`. On an
    axis of texts a value is its place, from 0."""
    kept, of = sampled(rows, limit), max(of, len(rows))
    scales = [_axis(name, rows, log) for name in axes]
    top = 52.0 if label else 34.0
    parts = [label_text(label, 0, 12, "h")] if label else []
    note = svg.counted_of(len(kept), of)
    if not scales or not rows:
        parts.append(label_text("nothing to draw yet", 0, top, "m"))
        return svg.chart(parts, top + 12, label or "parallel coordinates", drawn=0, of=of)
    spots = [_across(order, len(scales)) for order in range(len(scales))]
    chosen = [row for row in kept if _is_chosen(row, scales, brush or {})]
    ids = {id(row) for row in chosen}
    lines = [_line(row, scales, spots, dim=id(row) not in ids) for row in sorted(kept, key=lambda row: id(row) in ids)]
    parts.append(svg.stretched("".join(lines), top, HEIGHT + 20))
    parts += [
        _drawn_axis(axis, spot, order, len(scales), top, (brush or {}).get(axis.name))
        for order, (axis, spot) in enumerate(zip(scales, spots, strict=True))
    ]
    y = top + HEIGHT + 14
    if any(axis.at(row.values.get(axis.name)) is None for row in kept for axis in scales):
        parts.append(label_text("no value", 0, top + _MISSING + 4, "m small halo"))
    if brush:
        note += f", {len(chosen):,} selected"
    kinds = {row.kind for row in kept}
    legend, y = key([(css_class(kind), name, "") for kind, name in (names or {}).items() if kind in kinds], y + 16)
    parts.append(legend)
    parts.append(label_text(note, 0, y + 14, "m small"))
    return svg.chart(parts, y + 20, label or "parallel coordinates", drawn=len(kept), of=of, note=note)


def within(rows: Sequence[Row], axes: Sequence[str], brush: Mapping[str, tuple[float, float]]) -> set[str]:
    """The IDs of the rows that a brush selects."""
    scales = [_axis(name, rows, None) for name in axes]
    return {row.id for row in rows if _is_chosen(row, scales, brush)}


def _axis(name: str, rows: Sequence[Row], log: Mapping[str, bool] | bool | None) -> _Axis:
    values = [value for row in rows if (value := row.values.get(name)) is not None]
    if any(isinstance(value, str | bool) for value in values):
        texts = sorted({_text(value) for value in values})
        return _Axis(name, Scale(0, len(texts) - 1, False, ()), {text: order for order, text in enumerate(texts)})
    wanted = log.get(name) if isinstance(log, Mapping) else log
    return _Axis(
        name, scale([number for value in values if (number := _finite(value)) is not None], log=wanted, count=4)
    )


def _line(row: Row, axes: Sequence[_Axis], spots: Sequence[float], *, dim: bool) -> str:
    points = []
    for axis, spot in zip(axes, spots, strict=True):
        at = axis.at(row.values.get(axis.name))
        points.append(f"{svg.number(1000 * spot)} {svg.number(_MISSING if at is None else (1 - at) * HEIGHT)}")
    if len(points) == 1:
        points = [f"0 {points[0].split()[1]}", f"1000 {points[0].split()[1]}"]
    css = f"{css_class(row.kind)} l line thin{' dim' if dim else ''}"
    path = element("path", svg.title(row.title or row.id), class_=css, data_id=row.id, d="M" + "L".join(points))
    return linked(path, row.href)


def _drawn_axis(axis: _Axis, spot: float, order: int, count: int, top: float, brush: tuple[float, float] | None) -> str:
    x, bottom = percent(spot), top + HEIGHT
    anchor = "" if order == 0 and count > 1 else "end" if order == count - 1 and count > 1 else "middle"
    edge = {"": "0", "end": "100%", "middle": x}[anchor]
    crowded = count > 3
    room = int(svg.NARROW / max(1, count - 1) * (2 if crowded else 1) / svg.CHAR_WIDTH) - 1
    name = shortened(f"{axis.name} (log)" if axis.scale.log else axis.name, max(6, room))
    parts = [svg.title(axis.name), label_text(name, edge, top - (24 if crowded and order % 2 else 10), anchor=anchor)]
    parts.append(element("line", class_="axis", x1=x, x2=x, y1=top, y2=bottom))
    digits = max(5, int(svg.NARROW / max(1, count) / svg.CHAR_WIDTH) - 1)
    for at, text in _ticks(axis, digits):
        parts.append(label_text(text, x, top + (1 - at) * HEIGHT + 4, "small halo", dx=4))
    if brush is not None and (span := _brushed(axis, brush)):
        low, high = span
        box = {"y": top + (1 - high) * HEIGHT, "height": max(2.0, (high - low) * HEIGHT)}
        shown = f"{axis.name}: {readable(brush[0])} to {readable(brush[1])}"
        inner = element("rect", svg.title(shown), class_="brush", x=-7, y=0, width=14, height=box["height"])
        parts.append(f'<svg x="{x}" y="{svg.number(box["y"])}" overflow="visible">{inner}</svg>')
    data = {
        "data_name": axis.name, "data_min": f"{axis.scale.low:.17g}", "data_max": f"{axis.scale.high:.17g}",
        "data_log": "true" if axis.scale.log else "false", "data_x": percent(spot), "data_top": top, "data_bottom": bottom,
    }  # fmt: skip
    return element("g", "".join(parts), class_="parallel-axis", **data)


def _ticks(axis: _Axis, digits: int) -> list[tuple[float, str]]:
    if not axis.texts:
        return [(axis.scale.at(tick), readable(tick, 3)) for tick in axis.scale.ticks]
    named = [(axis.scale.at(order), shortened(text, digits)) for text, order in axis.texts.items()]
    return named if len(named) <= _NAMES_MAX else [named[0], named[-1]]


def _brushed(axis: _Axis, brush: tuple[float, float]) -> tuple[float, float] | None:
    low, high = sorted(brush)
    if math.isnan(low) or math.isnan(high) or (axis.scale.log and high <= 0):
        return None
    inside = [min(max(edge, axis.scale.low), axis.scale.high) for edge in (low, high)]
    return axis.scale.at(inside[0]), axis.scale.at(inside[1])


def _is_chosen(row: Row, axes: Sequence[_Axis], brush: Mapping[str, tuple[float, float]]) -> bool:
    for axis in axes:
        if axis.name in brush:
            number = axis.number(row.values.get(axis.name))
            low, high = sorted(brush[axis.name])
            if number is None or not low <= number <= high:
                return False
    return True


def _across(order: int, count: int) -> float:
    return 0.5 if count == 1 else _LEFT + (_RIGHT - _LEFT) * order / (count - 1)


def _finite(value: Value) -> float | None:
    number = number_of(value)
    return number if number is not None and math.isfinite(number) else None


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
