"""Writes the results of an index as JSON Lines or CSV, and imports such a file into an index.

Each line holds a result's columns for people, and its whole `record`. Only the record counts when the file is imported. The
index decides whether a result is the first of its key, superseded or late. Artifacts stay where they lie.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from federation.errors import PublishError, UsageError
from federation.index.catalog.changes import RECORD_CHANGES
from federation.index.columns import Row
from federation.index.index import Index
from federation.index.validation import checked_record
from federation.output.visible import visible_json, visible_line
from federation.result import ResultRecord
from jobs.errors import FedmlError
from jobs.foreign import parse_object
from jobs.json_limits import Limits

Format = Literal["jsonl", "csv"]

_BATCH = 200
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_FIELD_CHARS_MAX = 1 << 27


def export(index: Index, target: TextIO, kind: Format) -> int:
    """Writes every result that isn't removed, oldest first, and returns their number. Reads each log entry once."""
    _, rows = index.ask(lambda catalog: catalog.rows("state != 'removed'", (), order="rowid"))
    if kind == "jsonl":
        for row, record in _with_records(index, rows):
            line = {**_columns(row), "metrics": record["metrics"], "params": record["params"], "record": record}
            target.write(_json(line) + "\n")
        return len(rows)
    metrics = sorted({name for row in rows for name in row.metrics})
    params = sorted({name for row in rows for name in row.params})
    plain = list(_columns(rows[0])) if rows else []
    table = csv.writer(target, lineterminator="\n")
    names = [*(f"metrics.{name}" for name in metrics), *(f"params.{name}" for name in params)]
    table.writerow([*map(_cell, [*plain, *names]), "record"])
    for row, record in _with_records(index, rows):
        values = [*_columns(row).values(), *(row.metrics.get(name, "") for name in metrics)]
        values += [row.params.get(name, "") for name in params]
        table.writerow([*map(_cell, values), _json(record)])
    return len(rows)


_LIMITS = Limits(size_bytes_max=64 * 1024 * 1024, text_chars_max=64 * 1024 * 1024, whole_max=10**308)
"""Of a line: a record, and in CSV nothing but."""


@dataclass(frozen=True, slots=True)
class Imported:
    """How many became what: `added`, `superseded`, `late`, `known` (see `Index.commit`)."""

    outcomes: dict[str, str]

    def count(self, outcome: str) -> int:
        """How many had that outcome."""
        return sum(1 for one in self.outcomes.values() if one == outcome)


def import_results(index: Index, source: TextIO, kind: Format, *, name: str) -> Imported:
    """Commit what was exported. All lines are checked before anything is written; `name` is the file's, for errors.

    Raises UsageError naming the first line that holds no whole record. After a crash some batches are in the index; doing
    it again is right.
    """
    records = list(_records(source, kind, name))
    outcomes: dict[str, str] = {}
    for start in range(0, len(records), _BATCH):
        outcomes |= index.commit(records[start : start + _BATCH], reason=f"import of {name}")
    return Imported(outcomes)


def _records(source: TextIO, kind: Format, name: str) -> Iterator[ResultRecord]:
    csv.field_size_limit(_FIELD_CHARS_MAX)
    lines: Iterable[tuple[int, Any]] = (
        ((number, line) for number, line in enumerate(source, start=1) if line.strip())
        if kind == "jsonl"
        else enumerate(csv.DictReader(source), start=2)
    )
    while True:
        number = 0
        try:
            number, line = next(iter(lines), (0, None))
            if line is None:
                return
            text = line if isinstance(line, str) else str(line["record"] or "")
            data = parse_object(text, source=f"{name}, line {number}", limits=_LIMITS)
            data = data["record"] if kind == "jsonl" else data
            record = checked_record(ResultRecord.from_dict(data, source=f"{name}, line {number}"))
            if not record.has_its_manifest:
                raise PublishError("its files don't have its manifest's hash")
        except (ValueError, KeyError, TypeError, AttributeError, csv.Error, FedmlError) as error:
            raise UsageError(
                f"{name}, line {number}: not an exported result ({error}); nothing was entered",
                hint="it must be what fedml index export wrote, with the record",
            ) from error
        yield record


def _with_records(index: Index, rows: Sequence[Row]) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Each row (in order of revisions) with its record as the log has it."""
    revision, records = 0, {}
    for row in rows:
        if row.revision != revision:
            revision = row.revision
            entry = index.entry(revision)
            found = [change["record"] for change in entry.changes if change["type"] in RECORD_CHANGES]
            records = {record["alloc_id"]: record for record in found}
        record = records[row.alloc_id]
        yield row, {"metrics": {}, "params": {}, **record}


def _columns(row: Row) -> dict[str, Any]:
    skipped = ("metrics", "params")
    values = {field.name: getattr(row, field.name) for field in dataclasses.fields(Row) if field.name not in skipped}
    return {name: " ".join(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _cell(value: object) -> object:
    """A text as one line without hidden characters. One that a spreadsheet would take for a formula gets an apostrophe
    before it: people open such files. Numbers stay numbers; the exact texts stand in the record."""
    if not isinstance(value, str):
        return value
    is_formula = value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)
    return ("'" if is_formula else "") + visible_line(value)


def _json(document: Any) -> str:
    return visible_json(json.dumps(document, ensure_ascii=False, allow_nan=False))
