"""Results as a sequence, as a table in a notebook, and as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from html import escape
from importlib import import_module
from typing import Any, overload

from federation.errors import UsageError
from federation.index import Row
from jobs.params.columns import typed_column

ROWS_SHOWN = 50


class Results(Sequence[Row]):
    """Results, as of `revision` of the index."""

    def __init__(self, rows: Sequence[Row], revision: int) -> None:
        self._rows = tuple(rows)
        self.revision = revision

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> Results: ...

    def __getitem__(self, place: int | slice) -> Row | Results:
        return Results(self._rows[place], self.revision) if isinstance(place, slice) else self._rows[place]

    def __repr__(self) -> str:
        return f"<{len(self)} results, revision {self.revision}>"

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat dictionary for each result: its fields, with `metrics.NAME` and `params.NAME`."""
        return [_flat(row) for row in self._rows]

    def to_pandas(self) -> Any:
        """A DataFrame with the columns of `to_dicts`, each of one type: times are times, a parameter whose values are all
        numbers (or all true and false) is a number (or a bool). Raises UsageError if pandas isn't installed."""
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise UsageError("to_pandas() needs pandas", hint="add pandas to the environment of this Python") from None
        rows = self.to_dicts()
        names = {name: None for row in rows for name in row}
        return pandas.DataFrame({name: _typed(name, [row.get(name) for row in rows]) for name in names})

    def _repr_html_(self) -> str:
        from federation.ui.index_table import cells

        if not self._rows:
            return escape(repr(self))
        heading, *lines = cells(self._rows[:ROWS_SHOWN])
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
        more = f"<p>… and {len(self) - ROWS_SHOWN} more</p>" if len(self) > ROWS_SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


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
