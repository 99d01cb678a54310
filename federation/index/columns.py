"""Declares each column of a result once: its SQL type, its value in a record, its use in `--where`, its place in tables.

The catalog's table `result`, INSERT and SELECT, `Row`, the fields of `--where`, `--json` and the columns of `fedml index list`
follow from the lines of `Row`. A new line changes the table, so it needs a new `SCHEMA` in `federation.index.catalog.catalog`.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal, NamedTuple

from federation.log import Entry
from federation.result import CODE_SHA256, Key, MetricValue, ResultRecord, store_name

Type = Literal["text", "number", "bool", "text or number", "time", "tag"]


class Entered(NamedTuple):
    """A result as it enters the index: its record, the entry that holds it, and its state then."""

    record: ResultRecord
    entry: Entry
    state: str


class Shown(NamedTuple):
    """Where the table of `fedml index list` has a column. On a narrow terminal the lowest ranks stay."""

    place: int
    rank: int
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `value` reads it from a record; None for one that the catalog computes."""

    name: str
    value: Callable[[Entered], object] | None
    sql_type: str
    sql_name: str
    selected: str
    """What SELECT reads."""
    read: Callable[[Any], Any] | None
    """Makes the value of `Row` from what SELECT gave; None where that is the value."""
    type: Type | None
    """How `--where` compares it; None where it isn't a field."""
    compared: str
    """The SQL that `--where` compares."""
    aliases: tuple[str, ...]
    """Further names of the field."""
    shown: Shown | None


def to_json(value: object) -> str:
    """The JSON of the catalog's columns: sorted and without spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _metrics(text: str) -> dict[str, MetricValue]:
    """Metrics from their JSON, where `{"$float": "nan"}` stands for a value that JSON lacks."""
    metrics = json.loads(text)
    if "$float" in text:
        return {name: float(value["$float"]) if isinstance(value, dict) else value for name, value in metrics.items()}
    return dict(metrics)


def _column(
    value: Callable[[Entered], object] | None,
    sql_type: str = "TEXT",
    *,
    where: Type | None = "text",
    sql: str = "",
    selected: str = "",
    compared: str = "",
    read: Callable[[Any], Any] | None = None,
    aliases: tuple[str, ...] = (),
    shown: Shown | None = None,
    default: Any = MISSING,
) -> Any:
    def named(name: str) -> Column:
        own = sql or name
        return Column(name, value, sql_type, own, selected or own, read, where, compared or f"+{own}", aliases, shown)

    return field(default=default, metadata={"column": named})


_TAGS = "(SELECT json_group_array(name) FROM tag WHERE tag.alloc_id = result.alloc_id)"


@dataclass(frozen=True, slots=True)
class Row:
    """One result in the index. Times are RFC 3339 in UTC; `created` is the node's, `committed` the log entry's.

    `url` is where the artifact lies (ending in `/`), `store` the URL of its store; neither holds a secret. `revision` is the
    number of the log entry that committed it, `state` one of RESULT_STATES, `tags` those that point to it now, sorted.
    """

    job: str = _column(lambda new: new.record.job, shown=Shown(1, 1))
    version: str = _column(lambda new: new.record.version, where="text or number", shown=Shown(0, 0))
    run: str = _column(lambda new: new.record.key.run, shown=Shown(2, 9))
    slot: int = _column(lambda new: new.record.key.slot, "INTEGER", where="number", shown=Shown(3, 2))
    group: str = _column(lambda new: new.record.key.group, sql="grp")
    index: int = _column(lambda new: new.record.key.index, "INTEGER", where="number", sql="idx")
    attempt: int = _column(lambda new: new.record.attempt, "INTEGER", where="number")
    region: str = _column(lambda new: new.record.region, shown=Shown(4, 1))
    datacenter: str = _column(lambda new: new.record.datacenter, shown=Shown(5, 8))
    node: str = _column(lambda new: new.record.node)
    alloc_id: str = _column(
        lambda new: new.record.alloc_id, "TEXT UNIQUE", aliases=("allocation",), shown=Shown(6, 3, "allocation")
    )
    state: str = _column(lambda new: new.state, shown=Shown(7, 5))
    metrics: Mapping[str, MetricValue] = _column(
        lambda new: to_json(new.record.written_metrics), where=None, read=_metrics
    )
    params: Mapping[str, str] = _column(lambda new: to_json(new.record.params), where=None, read=json.loads)
    size_bytes: int = _column(lambda new: new.record.size_bytes, "INTEGER", where="number", shown=Shown(10, 7, "size"))
    store: str = _column(lambda new: new.record.store)
    url: str = _column(lambda new: f"{store_name(new.record.store)}/{new.record.artifact_prefix}", shown=Shown(12, 20))
    code: str = _column(lambda new: new.record.environment.get(CODE_SHA256, ""))
    """The name of the code that made it (`fedml run`), else empty."""
    created: str = _column(lambda new: new.record.created, where="time", compared="fedml_time(created)")
    committed: str = _column(lambda new: new.entry.time, where="time", shown=Shown(11, 6, "when"))
    revision: int = _column(lambda new: new.entry.number, "INTEGER", where="number")
    tags: tuple[str, ...] = _column(
        None,
        where="tag",
        selected=_TAGS,
        read=lambda text: tuple(sorted(json.loads(text))),
        aliases=("tag",),
        shown=Shown(8, 3),
        default=(),
    )

    @property
    def key(self) -> Key:
        """What exists exactly once in the index."""
        return Key(self.run, self.slot, self.group, self.index)


METRICS_PLACE = 9
"""Where tables have the metrics, among the places of `Shown`."""
COLUMNS: Mapping[str, Column] = {each.name: each.metadata["column"](each.name) for each in fields(Row)}
"""By name, in the order of `Row`."""
FIELDS: Mapping[str, Column] = {
    name: column for column in COLUMNS.values() if column.type for name in (*column.aliases, column.name)
}
"""The fields of `--where`, `--sort` and `--columns` that every result has, by each of their names."""
SELECTED = ", ".join(column.selected for column in COLUMNS.values())
"""What a SELECT has to name for `row_of`."""

_READ = [(place, column.read) for place, column in enumerate(COLUMNS.values()) if column.read is not None]
_LINE_CHARS = 112
"""Checkpoints hold the text of the table and are compared with it: the same columns give the same lines."""
_STORED = [column for column in COLUMNS.values() if column.value]
_NAMES = [*(column.sql_name for column in _STORED), "entered"]
INSERT = f"INSERT OR IGNORE INTO result ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608
_DEFINITIONS = [f"{column.sql_name} {column.sql_type}" for column in _STORED] + ["entered TEXT"]
_LINES = textwrap.wrap(", ".join(each.replace(" ", "\0") for each in _DEFINITIONS), width=_LINE_CHARS)
TABLE = f"CREATE TABLE result (\n{textwrap.indent(chr(10).join(_LINES), ' ' * 4)})".replace("\0", " ")
"""`entered` is the state with which a result entered; `state` may change."""


def values_of(new: Entered) -> tuple[object, ...]:
    """The values for INSERT."""
    return (*(column.value(new) for column in _STORED if column.value), new.state)


def row_of(values: Sequence[Any]) -> Row:
    """A row from the values of SELECTED, which are in the order of `Row`."""
    found = [*values]
    for place, read in _READ:
        found[place] = read(found[place])
    return Row(*found)
