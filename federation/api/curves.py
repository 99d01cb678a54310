"""Points of a run's curves as a sequence, as a table in a notebook, and as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation.api.results import pandas
from federation.api.table import Table
from federation.text import counted
from federation.workflows.run_curves import RunCurves
from jobs.params.values import Value


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One value that a task logged in its `metrics.jsonl`."""

    slot: int
    attempt: int
    region: str
    state: str
    params: Mapping[str, Value]
    metric: str
    step: float
    value: float


class CurvePoints(Table[CurvePoint]):
    """Points by slot, metric and step, at most 500 of one curve. `problems` says what couldn't be read, and why."""

    def __init__(self, rows: Sequence[CurvePoint], problems: Sequence[str]) -> None:
        super().__init__(rows)
        self.problems = tuple(problems)

    @classmethod
    def of(cls, curves: RunCurves) -> CurvePoints:
        """The points of these curves."""
        return cls(tuple(_points(curves)), curves.problems)

    @property
    def _title(self) -> str:
        curves = {(point.slot, point.metric) for point in self}
        return f"{counted(len(self), 'point')} of {counted(len(curves), 'curve')}"

    def _cells(self, rows: Sequence[CurvePoint]) -> Sequence[Sequence[str]]:
        from federation.ui.slot_failures import params_text

        heading = ["slot", "parameters", "state", "metric", "step", "value"]
        shown = ((row, params_text(row.params)) for row in rows)
        return [
            heading,
            *([str(row.slot), text, row.state, row.metric, f"{row.step:g}", f"{row.value:.4g}"] for row, text in shown),
        ]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat dictionary for each point, with `params.NAME`."""
        names = ("slot", "attempt", "region", "state", "metric", "step", "value")
        return [
            {name: getattr(row, name) for name in names}
            | {f"params.{name}": value for name, value in row.params.items()}
            for row in self._rows
        ]

    def to_pandas(self) -> Any:
        """A DataFrame with the columns of `to_dicts`. Raises UsageError if pandas isn't installed."""
        return pandas().DataFrame(self.to_dicts())


def _points(curves: RunCurves) -> Iterator[CurvePoint]:
    for task in curves.tasks:
        for metric, points in sorted(task.metrics.items()):
            for step, value in points:
                yield CurvePoint(task.slot, task.attempt, task.region, task.state, task.params, metric, step, value)
