"""Rows that a program reads as a sequence and a person as a table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict
from typing import Any, Self, TypeVar, overload

from federation.api.html import table_html, text_html
from federation.index.compare import Line
from federation.index.rows import RunRow
from federation.text import counted

ROWS_SHOWN = 50

T = TypeVar("T")


class Table(Sequence[T]):
    """A sequence whose text, and HTML in a notebook, is a table of its first rows."""

    def __init__(self, rows: Sequence[T]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> T: ...

    @overload
    def __getitem__(self, place: slice) -> Self: ...

    def __getitem__(self, place: int | slice) -> T | Self:
        if not isinstance(place, slice):
            return self._rows[place]
        part = copy(self)
        part._rows = self._rows[place]
        return part

    @property
    @abstractmethod
    def _title(self) -> str:
        """The title: what the table shows, in a few words."""

    @abstractmethod
    def _cells(self, rows: Sequence[T]) -> Sequence[Sequence[str]]:
        """The heading, then a line for each of these rows."""

    def __repr__(self) -> str:
        from federation.ui.index_table import aligned

        if not self._rows:
            return f"<{self._title}>"
        return "\n".join([f"<{self._title}>", aligned(self._cells(self._rows[:ROWS_SHOWN])), *self._more])

    def _repr_html_(self) -> str:
        if not self._rows:
            return f"<p>{text_html(self._title)}</p>"
        heading, *lines = self._cells(self._rows[:ROWS_SHOWN])
        return table_html(heading, lines) + "".join(f"<p>{more}</p>" for more in self._more) + self._picture_html()

    def _picture_html(self) -> str:
        """A picture of the rows below the table; empty without."""
        return ""

    @property
    def _more(self) -> list[str]:
        return [f"… and {len(self) - ROWS_SHOWN} more"] if len(self) > ROWS_SHOWN else []


class RunList(Table[RunRow]):
    """Runs as the index knows them, newest first."""

    @property
    def _title(self) -> str:
        return counted(len(self), "run")

    def _cells(self, rows: Sequence[RunRow]) -> Sequence[Sequence[str]]:
        heading = ["run", "name", "job", "version", "author", "state", "results", "opened", "reason"]
        return [heading, *([str(getattr(row, name)) for name in heading] for row in rows)]

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary for each run: its fields."""
        return [asdict(row) for row in self._rows]


class Comparison(Table[Line]):
    """Results side by side: a line for each metric, parameter or fact, differing ones first in each section. A line has
    `section`, `name`, `values` (in the order of the results) and `differs`."""

    def __init__(self, lines: Sequence[Line], names: Sequence[str]) -> None:
        super().__init__(lines)
        self.names = tuple(names)

    @property
    def differences(self) -> Comparison:
        """Only the lines that differ."""
        return Comparison([line for line in self if line.differs], self.names)

    @property
    def _title(self) -> str:
        differing = sum(line.differs for line in self)
        return f"{len(self.names)} results compared: {differing} of {len(self)} facts differ"

    def _cells(self, rows: Sequence[Line]) -> Sequence[Sequence[str]]:
        from federation.ui.index_table import number_text

        values = ([line.section, line.name, *map(number_text, line.values)] for line in rows)
        return [["", "", *self.names], *values]
