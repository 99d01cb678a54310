"""Judges the newest values of a running attempt by the condition of `--stop-when`, in the language of `--where`. Pure.

Fields are `metrics.NAME` (numbers, as the task logs them), `params.NAME` (texts or numbers) and `step`. There is no `like`.
Logic is that of `--where`: a comparison with a value that is missing, or a NaN, is neither true nor false.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping

from federation.index.query.fields import unquoted
from federation.index.query.functions import number_of
from federation.index.query.syntax import Chain, Comparison, Not, Tree, parse
from federation.index.query.tokens import WhereError
from federation.run.brain.events import Measured
from federation.run.brain.stopping import StopWhen
from jobs.params.values import Value, text_of

OPTION = "--stop-when"
Field = tuple[str, str]
"""(metrics, params or step; the name)"""
_COMPARED: Mapping[str, Callable[..., bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def checked_stop_when(text: str, params: Collection[str] | None = None) -> Tree:
    """The condition. `params` are the names of the run's parameters; None: not known. Raises WhereError, with a caret."""
    try:
        tree = parse(text)
        for comparison in _comparisons(tree):
            _check(comparison, text, params)
    except WhereError as error:
        raise WhereError(error.problem, text=error.text, place=error.place, hint=error.hint, what=OPTION) from None
    return tree


def stop_when(text: str, parameters: Callable[[int], Mapping[str, Value]]) -> StopWhen:
    """A function that says why an attempt is stopped: the condition and the values that it names. Raises WhereError."""
    tree = checked_stop_when(text)
    fields = tuple(dict.fromkeys(_field(comparison.field) for comparison in _comparisons(tree)))

    def judge(slot: int, newest: Measured) -> str:
        known = {name: text_of(value) for name, value in parameters(slot).items()}
        values = {field: _value(field, newest, known) for field in fields}
        if not _is_true(tree, values):
            return ""
        shown = [
            f"{name} {value:g}" for (kind, name), value in values.items() if kind == "metrics" and value is not None
        ]
        return f"{OPTION} {text}: {', '.join([*shown, f'step {newest.step:g}'])}"

    return judge


def _field(written: str) -> Field:
    first, _, rest = written.partition(".")
    return first, unquoted(rest)


def _value(field: Field, newest: Measured, params: Mapping[str, str]) -> float | str | None:
    kind, name = field
    return newest.step if kind == "step" else newest.values.get(name) if kind == "metrics" else params.get(name)


def _comparisons(tree: Tree) -> Iterator[Comparison]:
    match tree:
        case Comparison():
            yield tree
        case Not(part):
            yield from _comparisons(part)
        case Chain(_, parts):
            for part in parts:
                yield from _comparisons(part)


def _check(one: Comparison, text: str, params: Collection[str] | None) -> None:
    kind, name = _field(one.field)
    if not ((kind in ("metrics", "params") and name) or (kind == "step" and not name)):
        near = f"did you mean {'params' if one.field in (params or ()) else 'metrics'}.{one.field}?"
        hint = _FIELDS if name else near
        raise WhereError(f"there is no field {one.field!r}", text=text, place=one.place, hint=hint)
    if kind == "params" and params is not None and name not in params:
        hint = f"its parameters: {', '.join(params) or 'none'}"
        raise WhereError(f"no slot has the parameter {name!r}", text=text, place=one.place, hint=hint)
    if one.operator == "is nan" and kind != "metrics":
        raise WhereError(f"{one.field} is never a NaN", text=text, place=one.place)
    if one.operator == "like":
        raise WhereError("like is not possible here", text=text, place=one.place, hint="compare by = or in")
    for literal in one.literals:
        is_text = isinstance(literal.value, str)
        if isinstance(literal.value, bool) or (is_text and kind != "params"):
            raise WhereError(f"{one.field} can't be compared with that", text=text, place=literal.place, hint=_NUMBERS)
        if is_text is not isinstance(one.literals[0].value, str):
            raise WhereError("a text stands beside a number", text=text, place=literal.place)


_FIELDS = "fields: metrics.NAME, params.NAME, step"
_NUMBERS = "metrics and step are numbers, and stand without quotes"


def _is_true(tree: Tree, values: Mapping[Field, float | str | None]) -> bool | None:
    """None: neither true nor false, as SQL has it."""
    match tree:
        case Chain(word, parts):
            found = [_is_true(part, values) for part in parts]
            decisive = word == "or"
            return decisive if decisive in found else None if None in found else not decisive
        case Not(part):
            inner = _is_true(part, values)
            return None if inner is None else not inner
        case Comparison():
            value = values[_field(tree.field)]
            inner = _compared(tree, value)
            return not inner if tree.is_negated and inner is not None else inner


def _compared(one: Comparison, value: float | str | None) -> bool | None:
    if one.operator == "is null":
        return value is None
    is_nan = isinstance(value, float) and math.isnan(value)
    if one.operator == "is nan":
        return is_nan
    literals = [literal.value for literal in one.literals]
    if isinstance(value, str) and not isinstance(literals[0], str):
        value = number_of(value)
    if value is None or is_nan:
        return None
    if one.operator == "in":
        return value in literals
    if one.operator == "between":
        return bool(literals[0] <= value <= literals[1])  # type: ignore[operator]
    return _COMPARED[one.operator](value, literals[0])
