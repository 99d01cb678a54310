"""Results as a sequence, as a table in a notebook, and as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from federation.api.html import picture_html
from federation.api.table import Table
from federation.charts.svg import Chart
from federation.errors import UsageError
from federation.index import Row
from federation.text import counted
from jobs.params.columns import typed_column


class Results(Table[Row]):
    """Results, as of `revision` of the index."""

    def __init__(self, rows: Sequence[Row], revision: int) -> None:
        super().__init__(rows)
        self.revision = revision

    @property
    def _title(self) -> str:
        return f"{counted(len(self), 'result')}, revision {self.revision}"

    def _cells(self, rows: Sequence[Row]) -> Sequence[Sequence[str]]:
        from federation.ui.index_table import cells

        return cells(rows)

    def chart(self) -> Chart:
        """Draws these results by the parameters that differ and the foremost metrics: bars, a scatter, or parallel
        coordinates. A notebook shows the picture; `standalone()` is its SVG. Raises UsageError where there are none."""
        from federation.ui.index_chart import picture

        return picture(self._rows)

    def _picture_html(self) -> str:
        with suppress(UsageError):
            return picture_html(self.chart()) if len(self) > 1 else ""
        return ""

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat dictionary for each result: its fields, with `metrics.NAME` and `params.NAME`."""
        return [_flat(row) for row in self._rows]

    def to_pandas(self) -> Any:
        """A DataFrame with the columns of `to_dicts`, each of one type: times are times, a parameter whose values are all
        numbers (or all true and false) is a number (or a bool). Raises UsageError if pandas isn't installed."""
        rows = self.to_dicts()
        names = {name: None for row in rows for name in row}
        return pandas().DataFrame({name: _typed(name, [row.get(name) for row in rows]) for name in names})


def pandas() -> Any:
    """The package pandas. Raises UsageError if it isn't installed."""
    try:
        return import_module("pandas")
    except ImportError:
        raise UsageError("to_pandas() needs pandas", hint="add pandas to the environment of this Python") from None


def _typed(name: str, values: list[Any]) -> list[Any]:
    if name.startswith("params."):
        return typed_column(values)
    return [_time(value) for value in values] if name in ("created", "committed") else values


def _time(text: str) -> datetime | None:
    """The time in UTC. A node may have written anything: None where that is no time."""
    with suppress(ValueError, OverflowError):
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return None


def _flat(row: Row) -> dict[str, Any]:
    flat = {field.name: getattr(row, field.name) for field in fields(Row) if field.name not in ("metrics", "params")}
    flat |= {f"metrics.{name}": value for name, value in row.metrics.items()}
    return flat | {f"params.{name}": value for name, value in row.params.items()}
