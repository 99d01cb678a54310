"""Lines of `metrics.jsonl` as points, and the curves that they make. Pure.

A task writes the file, so every line is foreign text: a line that isn't a JSON object with a step is skipped and counted, and
what is kept of a file is limited, however large it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.errors import UsageError
from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_object
from jobs.frozen import frozen
from jobs.json_limits import Limits

LINE_BYTES_MAX = 16 * 1024
METRICS_MAX = 200
"""Names in one line, and curves of one file. Further ones are left out."""
NAME_CHARS_MAX = 200
POINTS_MAX = 500
"""Points that are kept of one curve."""
_BUCKETS = (POINTS_MAX - 2) // 3
STEP_MAX = 1e15
_STEP = "step"
_LIMITS = Limits(size_bytes_max=LINE_BYTES_MAX, depth_max=8, whole_max=2**64, is_python=True)
MODES = ("min", "max")

Point = tuple[float, float]
"""(step, value). The value may be a NaN or infinite."""


Rung = tuple[float, int]
"""(step, how many slots go on from there)."""


@frozen
class KeepBest:
    """The rule of `--keep-best`, successive halving: at step `after`, at twice that, at four times that … the better half of
    the slots by `metric` goes on, until `count` are left. Raises UsageError for numbers that make no rule."""

    count: int
    after: float
    metric: str = "loss"
    mode: str = "min"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"--keep-best {self.count} keeps no slot", hint="write  --keep-best 1  or more")
        if not 0 <= self.after <= STEP_MAX:
            raise UsageError(f"--after {self.after:g} is not a step", hint="write  --after 5")
        if self.mode not in MODES:
            raise UsageError(f"--mode {self.mode!r} is neither min nor max", hint="write  --mode min")

    def rungs(self, slots: int) -> tuple[Rung, ...]:
        """Where a run of that many slots is halved. Step 0 can't be doubled: there all but `count` are stopped at once."""
        found: list[Rung] = []
        step, left = self.after, slots
        while left > self.count:
            left = max(self.count, (left + 1) // 2) if step else self.count
            found.append((step, left))
            step *= 2
        return tuple(found)

    def stopped(self, reached: Mapping[int, Mapping[int, float]], slots: int) -> dict[int, int]:
        """Slot → the rung that stops it: so many others as go on from there are better. `reached` has the values of each slot
        by rung. A slot that a rung stops has no place at later ones. Of equals the slot with the lower number is better.

        No slot waits for another one. Where curves don't cross, the order in which slots reach a rung makes no difference.
        """
        stopped: dict[int, int] = {}
        for rung, (_, left) in enumerate(self.rungs(slots)):
            there = [
                (self.order(values[rung]), slot)
                for slot, values in reached.items()
                if rung in values and slot not in stopped
            ]
            stopped |= {slot: rung for _, slot in sorted(there)[left:]}
        return stopped

    def order(self, value: float) -> tuple[bool, float]:
        """A sort key: the best value comes first, a NaN after all others."""
        return (True, 0.0) if math.isnan(value) else (False, -value if self.mode == "max" else value)

    @classmethod
    def read(cls, data: Members) -> KeepBest:
        """The rule as a manifest has it. Raises ForeignTextError."""
        mode = data.text("mode")
        if mode not in MODES:
            raise data.wrong("mode", "is neither min nor max")
        return cls(data.whole("count", least=1), data.number("after", least=0), data.text("metric"), mode)


@frozen
class Line:
    """The numbers of one line."""

    step: float
    values: Mapping[str, float]


class LineReader:
    """Reads one file piece by piece: a line that the end of a piece cuts is completed by the next piece."""

    def __init__(self) -> None:
        self.skipped = 0
        """Lines that can't be used."""
        self._rest = b""
        self._is_passing = False
        """The rest of the line that began before is passed over."""
        self._step = 0.0

    def feed(self, data: bytes, *, is_end: bool = False) -> Iterator[Line]:
        """The lines that this piece completes. At the end of a file, its last line needs no line feed."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if is_end:
            whole, self._rest = [*whole, self._rest], b""
        for text in whole:
            if self._is_passing:
                self._is_passing = False
            elif text.strip() and (line := self._line(text)) is not None:
                yield line
        if len(self._rest) > LINE_BYTES_MAX:
            self.skipped += not self._is_passing
            self.jump()

    def jump(self) -> None:
        """Goes on at another place of the file: what comes up to the next line feed is passed over."""
        self._rest, self._is_passing = b"", True

    def _line(self, text: bytes) -> Line | None:
        try:
            values = parse_object(text, source="the line", limits=_LIMITS)
        except ForeignTextError:
            self.skipped += 1
            return None
        step = values.pop(_STEP, None)
        step = self._step + 1 if step is None else _number(step)
        if step is None or not abs(step) <= STEP_MAX:
            self.skipped += 1
            return None
        self._step = step
        return Line(step, dict(_numbers(values)))


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The members that are numbers. Others are ignored, and so are names beyond the limits."""
    for name, value in list(values.items())[:METRICS_MAX]:
        number = _number(value)
        if number is not None and 0 < len(name) <= NAME_CHARS_MAX and name.isprintable():
            yield name, number


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


@dataclass(slots=True)
class Newest:
    """The newest value of each metric of one file, and the first value of `metric` at each of `steps` or later."""

    metric: str = ""
    steps: Sequence[float] = ()
    step: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    reached: list[float] = field(default_factory=list)

    def take(self, lines: Iterable[Line]) -> bool:
        """Takes the next lines. Returns whether there were any."""
        has_news = False
        for line in lines:
            has_news, self.step = True, line.step
            for name, value in line.values.items():
                if name in self.values or len(self.values) < METRICS_MAX:
                    self.values[name] = value
            if self.metric in line.values:
                passed = sum(line.step >= step for step in self.steps[len(self.reached) :])
                self.reached += [line.values[self.metric]] * passed
        return has_news


class Curves:
    """The curves of one file: at most `POINTS_MAX` points of each metric, by step.

    Where a step goes back (a task goes on from a checkpoint), it replaces what the metric has from that step on. Where there
    are too many points, each part of the steps keeps its least and its greatest value and one that isn't finite.
    """

    def __init__(self) -> None:
        self.by_metric: dict[str, list[Point]] = {}
        self.lines = 0

    def take(self, lines: Iterable[Line]) -> None:
        """Takes the next lines."""
        for line in lines:
            self.lines += 1
            for name, value in line.values.items():
                if name in self.by_metric or len(self.by_metric) < METRICS_MAX:
                    self._add(self.by_metric.setdefault(name, []), line.step, value)

    def kept(self) -> dict[str, tuple[Point, ...]]:
        """The points of each metric."""
        return {name: tuple(thinned(points)) for name, points in self.by_metric.items()}

    def _add(self, points: list[Point], step: float, value: float) -> None:
        while points and points[-1][0] >= step:
            points.pop()
        points.append((step, value))
        if len(points) > 2 * POINTS_MAX:
            points[:] = thinned(points)


def thinned(points: list[Point]) -> list[Point]:
    """At most `POINTS_MAX` of the points: the first, the last, and the extremes of equal parts of the steps between."""
    if len(points) <= POINTS_MAX:
        return points
    first, last = points[0][0], points[-1][0]
    kept: dict[int, dict[str, Point]] = {}
    for point in points[1:-1]:
        step, value = point
        part = kept.setdefault(min(_BUCKETS - 1, int((step - first) / (last - first) * _BUCKETS)), {})
        if not math.isfinite(value):
            part.setdefault("other", point)
        elif "least" not in part:
            part["least"] = part["most"] = point
        elif value < part["least"][1]:
            part["least"] = point
        elif value > part["most"][1]:
            part["most"] = point
    between = sorted({point for part in kept.values() for point in part.values()}, key=lambda point: point[0])
    return [points[0], *between, points[-1]]
