"""Scales: values to positions from 0 to 1, with round ticks. A scale is logarithmic where values span over two decades."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

T = TypeVar("T")
LOG_SPAN = 100.0
"""Values that span a larger ratio are drawn on a log axis, unless the caller says otherwise."""
_SEED = 20_240_229


@dataclass(frozen=True)
class Scale:
    """Positions between the lowest and the highest value."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    def holds(self, value: float) -> bool:
        """Whether the value has a position."""
        return math.isfinite(value) and (value > 0 or not self.log)

    def at(self, value: float) -> float:
        """The position of the value, within 0 and 1."""
        if self.log:
            low, high, value = math.log10(self.low), math.log10(self.high), math.log10(value)
        else:
            low, high, value = self.low / 2, self.high / 2, value / 2  # the difference of huge values is finite
        return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5


def number_of(value: object) -> float | None:
    """A value of a result as a float, also one that isn't finite; NaN for a whole number beyond floats, None for no number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.nan


def or_nan(value: object) -> float:
    """The same for a mark, which must have a place: NaN, which no chart draws, for no number."""
    number = number_of(value)
    return math.nan if number is None else number


def scale(values: Iterable[float], *, log: bool | None = None, zero: bool = False, count: int = 5) -> Scale:
    """The scale of these values; those that aren't finite are ignored. `zero` makes it begin at zero, so never log.
    `log` None decides by the values."""
    finite = [value for value in values if math.isfinite(value)]
    if log is None:
        log = bool(finite) and min(finite) > 0 and max(finite) / min(finite) > LOG_SPAN
    if log and not zero and (positive := [value for value in finite if value > 0]):
        return _log_scale(min(positive), max(positive), count)
    if zero:
        finite.append(0.0)
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    if low == high:  # a single value is in the middle
        return Scale(low, high, False, tuple(finite[:1]))
    return _even_scale(low, high, count)


def _even_scale(low: float, high: float, count: int) -> Scale:
    rough = high / count - low / count
    if not 1e-300 < rough < 1e300:
        return Scale(low, high, False, (low, high))
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((factor * power for factor in (1, 2, 2.5, 5) if factor * power >= rough * 0.999), 10 * power)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if last - first > 4 * count:  # beyond the precision of numbers
        return Scale(low, high, False, (low, high))
    ticks = tuple(float(f"{tick * step:.12g}") for tick in range(first, last + 1))
    return Scale(min(low, ticks[0]), max(high, ticks[-1]), False, ticks)


def _log_scale(low: float, high: float, count: int) -> Scale:
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    if first >= last:
        last = first + 1
    last = min(last, 308)
    first = max(min(first, last - 1), -323)
    stride = max(1, math.ceil((last - first) / count))
    ticks = [float(f"1e{power}") for power in range(first, last + 1, stride)]
    bottom, top = min(float(f"1e{first}"), low), max(float(f"1e{last}"), high)
    if last - first == 1:
        ticks = [ticks[0], 2 * ticks[0], 5 * ticks[0], ticks[-1]]
    return Scale(bottom, top, True, tuple(ticks))


def readable(value: float, digits: int = 4) -> str:
    """`12,345`, `0.8731`, `1.2M`, `3e-5`: a value for people."""
    if not math.isfinite(value):
        return "no number" if math.isnan(value) else "∞" if value > 0 else "−∞"
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    elif size >= 1e6:
        text = _trimmed(next(f"{value / unit:.3g}{name}" for unit, name in _UNITS if size >= unit * 0.9995))
    elif size >= 1000:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{digits}g}"
    return text.replace("-", "−") if text.startswith("-") else text


_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def _trimmed(text: str) -> str:
    return text if "e" not in text else f"{float(text[:-1]):.0f}{text[-1]}"


def sampled(items: Sequence[T], limit: int) -> list[T]:
    """The items, or `limit` of them in their order, chosen at random but always alike."""
    if len(items) <= limit:
        return list(items)
    chosen = Random(_SEED).sample(range(len(items)), limit)  # noqa: S311 - draws a picture
    return [items[index] for index in sorted(chosen)]
