"""Chooses the index of the catalog by which the fewest results must be read (docs/adr/0012).

SQLite can't know that one job has a million results and another ten. So the candidates of each part of a question are
counted, up to `FEW`. The part with the fewest is answered by its index. Where each part has many, going through the table
newest first finds enough of them soon.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from federation.index.query.fields import Fields, Sql
from federation.index.query.syntax import Chain, Comparison, Operator, Tree

FEW = 20_000

_SIGNS: dict[Operator, str] = {
    "=": "= ?",
    "<": "< ?",
    "<=": "<= ?",
    ">": "> ?",
    ">=": ">= ?",
    "between": "BETWEEN ? AND ?",
}
_METRIC = (
    "SELECT result FROM metric WHERE field = "
    "(SELECT id FROM field WHERE kind = 'metric' AND name = ? AND type = 'number')"
)
_BY_COLUMNS = {
    ("alloc_id",): "alloc_id = ?",
    ("run",): "run = ?",
    ("job", "version"): "job = ? AND version = ?",
    ("version", "version"): "version = ? AND job IN (SELECT version.job FROM version WHERE version.version = ?)",
    ("job",): "job = ?",
}
"""What the catalog's indexes find, by the columns that have to be known."""


def of_columns(known: Mapping[str, str]) -> Iterator[Sql]:
    """Candidates by columns whose text is known."""
    for columns, asked in _BY_COLUMNS.items():
        if all(column in known for column in columns):
            sql = f"SELECT rowid FROM result WHERE {asked}"  # noqa: S608 - SQL of ours
            yield Sql(sql, tuple(known[column] for column in columns))


def of_condition(tree: Tree, fields: Fields) -> Iterator[Sql]:
    """Candidates by what a condition demands whatever its other parts say."""
    known: dict[str, str] = {}
    for one in _demanded(tree):
        field = fields.field(one.field, text="", place=one.place)
        values = tuple(literal.value for literal in one.literals)
        if field.kind == "fixed" and one.operator == "=" and isinstance(values[0], str):
            known.setdefault(field.key, values[0])
        elif field.kind == "metric" and all(type(value) in (int, float) for value in values):
            sign = f"IN ({', '.join('?' * len(values))})" if one.operator == "in" else _SIGNS.get(one.operator)
            if sign:
                yield Sql(f"{_METRIC} AND value {sign}", (field.key, *values))
    yield from of_columns(known)


def best_of(metric: str, direction: str) -> Sql:
    """The `FEW` results that come first by a metric, the newest of equals first. All others come after them."""
    return Sql(f"rowid IN ({_METRIC} ORDER BY value {direction}, result DESC LIMIT {FEW})", (metric,))


def fewest(candidates: Sequence[Sql], count: Callable[..., int]) -> Sql:
    """SQL that is true for results among the fewest candidates: for all, where there are many of each. `count` gives the
    first value of a query."""
    most, chosen = FEW, Sql("1")
    for one in candidates:
        found = count(f"SELECT COUNT(*) FROM ({one.text} LIMIT {most + 1})", *one.values)  # noqa: S608
        if found <= most:
            most, chosen = found, Sql(f"rowid IN ({one.text})", one.values)
    return chosen


def _demanded(tree: Tree) -> Iterator[Comparison]:
    """The comparisons that must be true for the whole to be."""
    match tree:
        case Chain("and", parts):
            for part in parts:
                yield from _demanded(part)
        case Comparison() if tree.literals and not tree.is_negated:
            yield tree
