"""Resolves a field as written (`metrics.auc`, `region`) to its type and the SQL of its value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Literal

from federation.index.columns import COLUMNS, FIELDS, Row, Type
from federation.index.query.tokens import WhereError
from federation.result import MetricValue
from jobs.frozen import frozen

_PART = re.compile(r'"(?:[^"]|"")*"|[^."]+')
_PLAIN = re.compile(r"[ !#-\[\]-~]+")
_NAN, _INF, _MINUS_INF = (f'\'{{"$float":"{name}"}}\'' for name in ("nan", "inf", "-inf"))
"""How the catalog's JSON writes what JSON lacks, as SQL literals."""

NUMBER = (
    "CASE {type} WHEN 'integer' THEN {value} WHEN 'real' THEN {value} WHEN 'object' THEN "
    f"CASE {{value}} WHEN {_INF.replace('{', '{{').replace('}', '}}')} THEN 9e999 "
    f"WHEN {_MINUS_INF.replace('{', '{{').replace('}', '}}')} THEN -9e999 END END"
)
"""A metric as a number, in SQL; NULL for one of another type."""


@frozen
class Sql:
    """SQL with `?` for each of `values`."""

    text: str
    values: tuple[object, ...] = ()


@frozen
class Field:
    """One field: `name` as it is written, its types (a metric may be a number in one result and a text in another)."""

    name: str
    kind: Literal["fixed", "metric", "param"]
    key: str
    """The column's name in `Row`, or the name of the metric or parameter."""
    types: frozenset[Type]

    def typed(self, wanted: Type) -> Sql:
        """Its value as that type; NULL where it is missing, of another type, or a NaN. The `+` keeps SQLite from choosing
        an index for it: `candidates` does."""
        if self.kind == "metric":
            return _metric(self.key, wanted)
        is_fixed = self.kind == "fixed"
        text = Sql(COLUMNS[self.key].compared) if is_fixed else _member("params", self.key, "CAST(VALUE AS TEXT)")
        if wanted == "number" and "text or number" in self.types:
            return Sql(f"fedml_number({text.text})", text.values)
        return text

    def of(self, row: Row) -> MetricValue | None:
        """Its value in a row; None where it is missing."""
        match self.kind:
            case "metric":
                return row.metrics.get(self.key)
            case "param":
                return row.params.get(self.key)
        if "tag" in self.types:
            return ", ".join(row.tags) or None
        value: MetricValue = getattr(row, self.key)
        return value

    def is_missing(self) -> Sql:
        """Whether the result lacks it."""
        if self.kind == "fixed":
            name = COLUMNS[self.key].sql_name
            return Sql(f"({name} IS NULL OR {name} = '')")
        text = _member("metrics" if self.kind == "metric" else "params", self.key, "TYPE")
        return Sql(f"({text.text} IS NULL)", text.values)

    def is_nan(self) -> Sql:
        """Whether it is a metric that is not a number; never NULL."""
        found = _member("metrics", self.key, f"TYPE = 'object' AND VALUE = {_NAN}")
        return Sql(f"IFNULL({found.text}, 0)", found.values)


@frozen
class Fields:
    """The fields that can be named: those of every result, and the metrics and parameters of some result."""

    metrics: Mapping[str, frozenset[Type]]
    params: frozenset[str]
    are_known: bool = True
    """False where there is no result yet: then any metric and parameter may be."""

    def field(self, written: str, *, text: str, place: int) -> Field:
        """The field. Raises WhereError for one that no result has, with the nearest that exists."""
        column = FIELDS.get(written)
        if column is not None and column.type is not None:
            return Field(written, "fixed", column.name, frozenset({column.type}))
        first, _, rest = written.partition(".")
        key = unquoted(rest)
        if first == "metrics" and key in self.metrics:
            return Field(written, "metric", key, self.metrics[key])
        if first == "metrics" and key and not self.are_known:
            return Field(written, "metric", key, frozenset[Type]({"number", "text", "bool"}))
        if first == "params" and key and (key in self.params or not self.are_known):
            return Field(written, "param", key, frozenset[Type]({"text or number"}))
        if first in ("metrics", "params") and rest:
            problem = f"no result has the {'metric' if first == 'metrics' else 'parameter'} {key!r}"
        else:
            problem = f"there is no field {written!r}"
        raise WhereError(problem, text=text, place=place, hint=self._hint(written, key))

    @property
    def names(self) -> list[str]:
        """All fields, as they are written."""
        metrics = [written_name("metric", name) for name in sorted(self.metrics)]
        params = [written_name("param", name) for name in sorted(self.params)]
        return [*FIELDS, *metrics, *params]

    def _hint(self, written: str, key: str) -> str:
        last = key or written
        exact = [written_name("metric", last)] if last in self.metrics else []
        exact += [written_name("param", last)] if last in self.params else []
        near = exact or difflib.get_close_matches(written, self.names, n=1, cutoff=0.7)
        near = near or difflib.get_close_matches(f"metrics.{written}", self.names, n=1, cutoff=0.8)
        if near:
            return f"did you mean {near[0]}?"
        some = [written_name("metric", name) for name in sorted(self.metrics)[:6]]
        some += [written_name("param", name) for name in sorted(self.params)[:6]]
        return f"fields: {', '.join([*FIELDS, *some])}" + (
            " …" if len(some) < len(self.metrics) + len(self.params) else ""
        )


def unquoted(written: str) -> str:
    """The name of a metric or parameter, from how it is written."""
    parts = (part[1:-1].replace('""', '"') if part.startswith('"') else part for part in _PART.findall(written))
    return ".".join(parts)


def written_name(kind: str, name: str) -> str:
    """A metric (`metric`) or parameter (`param`) as it must be written."""
    return f"{kind}s.{_quoted(name)}"


def _quoted(name: str) -> str:
    """The name of a metric as it must be written."""
    plain = all(part and all(char.isalnum() or char in "_-" for char in part) for part in name.split("."))
    return name if plain else '"' + name.replace('"', '""') + '"'


def _metric(name: str, wanted: Type) -> Sql:
    if wanted == "number":
        return _member("metrics", name, NUMBER.format(type="TYPE", value="VALUE"))
    if wanted == "bool":
        return _member("metrics", name, "CASE TYPE WHEN 'true' THEN 1 WHEN 'false' THEN 0 END")
    return _member("metrics", name, "CASE TYPE WHEN 'text' THEN VALUE END")


def _member(column: str, name: str, expression: str) -> Sql:
    """An expression over TYPE and VALUE of one member of a JSON column; the name is a parameter, never a part."""
    if not _PLAIN.fullmatch(name):  # SQLite's paths can't say every name
        inner = expression.replace("TYPE", "type").replace("VALUE", "value")
        return Sql(f"(SELECT {inner} FROM json_each({column}) WHERE key = ?)", (name,))  # noqa: S608
    text = expression.replace("TYPE", f"json_type({column}, ?)").replace("VALUE", f"json_extract({column}, ?)")
    return Sql(f"({text})", (f'$."{name}"',) * text.count("?"))
