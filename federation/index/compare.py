"""Compares results and their records: one line for each metric, parameter or fact, differing ones first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from federation.index.columns import Row
from federation.result import ResultRecord
from jobs.frozen import frozen

_RESOURCE = "task_"
"""What a record's environment tells of the size of the task begins so."""

Value = str | int | float | bool | None


@frozen
class Line:
    """One metric, parameter or fact; `values` are in the order of the results, None where one has it not."""

    section: str
    name: str
    values: tuple[Value, ...]
    differs: bool


def compare(rows: Sequence[Row], records: Sequence[ResultRecord]) -> list[Line]:
    """All lines, by section (metrics, parameters, environment, resources, place, artifact), differing ones first
    in each. Numbers are the same when they are equal; a NaN is the same as a NaN."""
    sections: dict[str, Sequence[Mapping[str, Value]]] = {
        "metrics": [row.metrics for row in rows],
        "parameters": [row.params for row in rows],
        "environment": [
            {name: value for name, value in record.environment.items() if not name.startswith(_RESOURCE)}
            for record in records
        ],
        "resources": [
            {name: _number(value) for name, value in record.environment.items() if name.startswith(_RESOURCE)}
            for record in records
        ],
        "place": [_place(row, record) for row, record in zip(rows, records, strict=True)],
        "artifact": [
            {file.path: f"{file.size_bytes} B, sha256 {file.sha256[:12]}" for file in r.files} for r in records
        ],
    }
    lines: list[Line] = []
    for section, members in sections.items():
        names = dict.fromkeys(name for member in members for name in sorted(member))
        found = [_line(section, name, tuple(member.get(name) for member in members)) for name in sorted(names)]
        lines += sorted(found, key=lambda line: not line.differs)
    return lines


def _line(section: str, name: str, values: tuple[Value, ...]) -> Line:
    return Line(section, name, values, differs=len({_comparable(value) for value in values}) > 1)


def _comparable(value: Value) -> object:
    if isinstance(value, float) and math.isnan(value):
        return "NaN", ""
    return (type(value) if isinstance(value, (bool, str)) or value is None else float, value)


def _number(text: str) -> Value:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text


def _place(row: Row, record: ResultRecord) -> dict[str, Value]:
    return {
        "job": row.job,
        "version": row.version,
        "run": row.run,
        "slot": row.slot,
        "attempt": row.attempt,
        "region": row.region,
        "datacenter": row.datacenter,
        "node": row.node or None,
        "spec": record.spec_hash,
        "state": row.state,
        "size_bytes": row.size_bytes,
        "created": row.created,
    }
