"""Formats compared results as text or JSON: first the differences, then what is the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from federation.index import Row
from federation.index.compare import Line, Value
from federation.result import json_value
from federation.ui.index_table import Short, aligned, indented, number_text, when_text
from federation.workflows.result_code import MetricPair


def comparison_text(names: Sequence[str], rows: Sequence[Row], lines: Sequence[Line], short: Short) -> str:
    """A table of the differences, with the difference of two numbers, and a list of what is the same."""
    is_pair = len(rows) == 2
    heading = ["", *(_heading(name, row, short[row.alloc_id]) for name, row in zip(names, rows, strict=True))]
    parts = []
    for section in dict.fromkeys(line.section for line in lines if line.differs):
        cells = [
            [line.name, *map(value_text, line.values), *([change_text(*line.values)] if is_pair else [])]
            for line in lines
            if line.section == section and line.differs
        ]
        table = [
            [section, *heading[1:], *([""] if is_pair else [])],
            *([f"  {first}", *rest] for first, *rest in cells),
        ]
        parts.append(aligned(table))
    same = [
        [line.name, value_text(line.values[0])] for line in lines if not line.differs and line.values[0] is not None
    ]
    if not parts:
        parts.append("nothing differs")
    if same:
        parts.append("the same in all\n" + indented(aligned(same)))
    return "\n\n".join(parts)


def comparison_json(rows: Sequence[Row], lines: Sequence[Line]) -> dict[str, Any]:
    """`alloc_ids`, `differences`, `same`. Floats that JSON lacks become `{"$float": "nan"}`."""

    def document(line: Line) -> dict[str, Any]:
        return {"section": line.section, "name": line.name, "values": [json_value(value) for value in line.values]}

    return {
        "alloc_ids": [row.alloc_id for row in rows],
        "differences": [document(line) for line in lines if line.differs],
        "same": [document(line) for line in lines if not line.differs],
    }


def pairs_text(pairs: Sequence[MetricPair]) -> str:
    """A table of the metrics of a result and of its repetition, with the differences."""
    cells = [
        [
            pair.name,
            value_text(pair.first),
            value_text(pair.again),
            change_text(pair.first, pair.again),
            "" if pair.agrees else "differs",
        ]
        for pair in pairs
    ]
    return aligned([["metric", "first", "again", "", ""], *cells])


def _heading(name: str, row: Row, short: str) -> str:
    return short if row.alloc_id.startswith(name) else f"{name} ({short})"


def value_text(value: Value) -> str:
    """A value as it is shown."""
    return when_text(value) if isinstance(value, str) and value else number_text(value)


def change_text(before: Value, after: Value) -> str:
    """The difference of two numbers as `+0.0123`. Empty for other values."""
    numbers = [value for value in (before, after) if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) < 2 or not all(math.isfinite(number) for number in numbers):
        return ""
    return f"{numbers[1] - numbers[0]:+.4g}"
