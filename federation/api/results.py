"""Results as a sequence, as a table in a notebook, and as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from html import escape
from importlib import import_module
from typing import Any, overload

from federation.errors import UsageError
from federation.index import Row

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
        """A DataFrame with the columns of `to_dicts`. Raises UsageError if pandas isn't installed."""
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise UsageError("to_pandas() needs pandas, which isn't installed", hint="pip install pandas") from None
        return pandas.DataFrame(self.to_dicts())

    def _repr_html_(self) -> str:
        from federation.ui.index_table import cells

        if not self._rows:
            return escape(repr(self))
        heading, *lines = cells(self._rows[:ROWS_SHOWN])
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
        more = f"<p>… and {len(self) - ROWS_SHOWN} more</p>" if len(self) > ROWS_SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _flat(row: Row) -> dict[str, Any]:
    flat = {field.name: getattr(row, field.name) for field in fields(Row) if field.name not in ("metrics", "params")}
    flat |= {f"metrics.{name}": value for name, value in row.metrics.items()}
    return flat | {f"params.{name}": value for name, value in row.params.items()}
