"""Compiles the text of a condition to SQL over the catalog's table of results. Every literal is a parameter."""

from __future__ import annotations

import difflib

from federation.index.columns import Type
from federation.index.query.candidates import of_condition
from federation.index.query.fields import Field, Fields, Sql
from federation.index.query.functions import time_of
from federation.index.query.syntax import Chain, Comparison, Constant, Not, Operator, Tree, parse
from federation.index.query.tokens import WhereError
from federation.index.rows import RESULT_STATES
from jobs.frozen import frozen

_PATTERN_CHARS_MAX = 1000
_LIKE = "LIKE ? ESCAPE '\\'"
_SIGNS: dict[Operator, str] = {
    "=": "= ?",
    "!=": "!= ?",
    "<": "< ?",
    "<=": "<= ?",
    ">": "> ?",
    ">=": ">= ?",
    "like": _LIKE,
    "between": "BETWEEN ? AND ?",
}


@frozen
class Condition:
    """SQL with `?` for each of `values`, the fields that it asks for, and queries for the rowids of results of which each
    has all that meet it (see `candidates`)."""

    sql: str
    values: tuple[object, ...]
    fields: tuple[Field, ...]
    candidates: tuple[Sql, ...] = ()

    @property
    def names_state(self) -> bool:
        """Whether the condition itself says which states it wants."""
        return any(_is_state(field) for field in self.fields)


def condition(text: str, fields: Fields, *, what: str = "--where") -> Condition:
    """The condition as SQL. `what` names the option or key that holds it, for errors. Raises WhereError for a text that isn't a
    condition, for a field that no result has, and for a comparison with a value of another type."""
    compiler = _Compiler(text, fields)
    try:
        tree = parse(text)
        sql = compiler.tree(tree)
    except WhereError as error:
        if what == "--where":
            raise
        raise WhereError(error.problem, text=error.text, place=error.place, hint=error.hint, what=what) from None
    return Condition(sql.text, sql.values, tuple(compiler.found), tuple(of_condition(tree, fields)))


class _Compiler:
    def __init__(self, text: str, fields: Fields) -> None:
        self._text = text
        self._fields = fields
        self.found: list[Field] = []

    def tree(self, tree: Tree) -> Sql:
        match tree:
            case Chain(word, parts):
                found = [self.tree(part) for part in parts]
                joined = f" {word.upper()} ".join(sql.text for sql in found)
                return Sql(f"({joined})", tuple(value for sql in found for value in sql.values))
            case Not(part):
                return _negated(self.tree(part))
            case Comparison():
                sql = self._comparison(tree)
                return _negated(sql) if tree.is_negated else sql

    def _comparison(self, one: Comparison) -> Sql:
        """Without the `not` that the comparison itself may hold."""
        field = self._fields.field(one.field, text=self._text, place=one.place)
        self.found.append(field)
        if "tag" in field.types:
            return self._tag(one)
        if one.operator == "is null":
            return field.is_missing()
        if one.operator == "is nan":
            if field.kind != "metric":
                raise self._error(f"{field.name} is never a NaN: only a metric may be one", one.place)
            return field.is_nan()
        wanted = self._wanted(field, one)
        value = field.typed(wanted)
        literals = [self._literal(field, literal, wanted, one.operator) for literal in one.literals]
        sign = f"IN ({', '.join('?' * len(literals))})" if one.operator == "in" else _SIGNS[one.operator]
        return Sql(f"({value.text} {sign})", (*value.values, *literals))

    def _wanted(self, field: Field, one: Comparison) -> Type:
        """Returns the common type of the literals. Raises WhereError if they differ, or if the field never has that type."""
        kinds = [_kind(literal) for literal in one.literals]
        for kind, literal in zip(kinds, one.literals, strict=True):
            if kind != kinds[0]:
                raise self._error(f"{_A[kind]} stands beside {_A[kinds[0]]}", literal.place)
        kind, place = kinds[0], one.literals[0].place
        if one.operator == "like":
            self._check_pattern(one)
        if kind in field.types or ("text or number" in field.types and kind != "bool"):
            return kind
        if "time" in field.types and kind == "text" and one.operator != "like":
            return "time"
        is_what = " or ".join(_A[kind] for kind in sorted(field.types))
        how = "and like is for texts" if one.operator == "like" else f"and can't be compared with {_A[kind]}"
        raise self._error(f"{field.name} is {is_what}, {how}", place, _hint(field, kind))

    def _literal(self, field: Field, literal: Constant, wanted: Type, operator: Operator) -> object:
        value = literal.value
        if wanted == "time":
            moment = time_of(value)
            if moment is None:
                hint = "write it as '2026-11-24T10:00:00Z' or '2026-11-24T11:00:00+01:00'"
                raise self._error(f"{value!r} is not a time with a zone", literal.place, hint)
            return moment
        if _is_state(field) and operator != "like" and value not in RESULT_STATES:
            near = difflib.get_close_matches(str(value), RESULT_STATES, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"states: {', '.join(RESULT_STATES)}"
            raise self._error(f"there is no state {value!r}", literal.place, hint)
        return value

    def _tag(self, one: Comparison) -> Sql:
        """A result has any number of tags: `=` is true when one of them is that, `!=` when none is; never NULL."""
        values = tuple(literal.value for literal in one.literals)
        for literal in one.literals:
            if not isinstance(literal.value, str):
                raise self._error(f"a tag is a text, and can't be compared with {_A[_kind(literal)]}", literal.place)
        match one.operator:
            case "is null":
                return _negated(_has_tag("1"))
            case "=" | "in":
                return _has_tag(f"name IN ({', '.join('?' * len(values))})", values)
            case "!=":
                return _negated(_has_tag("name = ?", values))
            case "like":
                self._check_pattern(one)
                return _has_tag(f"name {_LIKE}", values)
        raise self._error("tags are compared by =, !=, in, like and is null only", one.place)

    def _check_pattern(self, one: Comparison) -> None:
        pattern, place = one.literals[0].value, one.literals[0].place
        if not isinstance(pattern, str):
            raise self._error("like takes a text with % and _: 'sales-%'", place)
        if len(pattern) > _PATTERN_CHARS_MAX:
            raise self._error(f"the pattern has more than {_PATTERN_CHARS_MAX} characters", place)
        if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
            raise self._error("the pattern ends in a backslash that escapes nothing", place, "write \\\\")

    def _error(self, problem: str, place: int, hint: str = "") -> WhereError:
        return WhereError(problem, text=self._text, place=place, hint=hint)


_A: dict[Type, str] = {
    "text": "a text",
    "number": "a number",
    "bool": "true or false",
    "time": "a time",
    "text or number": "a text or a number",
    "tag": "a tag",
}


def _kind(literal: Constant) -> Type:
    if isinstance(literal.value, bool):
        return "bool"
    return "text" if isinstance(literal.value, str) else "number"


def _hint(field: Field, kind: Type) -> str:
    if kind == "text" and "number" in field.types:
        return "numbers stand without quotes"
    if kind == "number" and field.types & {"text", "time"}:
        return "texts and times stand in 'single quotes'"
    if kind == "bool" and "text or number" in field.types:
        return "write 'true' or 'false' in single quotes: parameters are texts"
    return ""


def _is_state(field: Field) -> bool:
    return field.kind == "fixed" and field.key == "state"


def _has_tag(asked: str, values: tuple[object, ...] = ()) -> Sql:
    return Sql(f"EXISTS (SELECT 1 FROM tag WHERE tag.alloc_id = result.alloc_id AND {asked})", values)  # noqa: S608


def _negated(sql: Sql) -> Sql:
    return Sql(f"(NOT {sql.text})", sql.values)
