"""Judges the newest values of a running attempt by the condition of `--stop-when`: the language of `--where`, and its SQL.

Fields are `metrics.NAME` (numbers, as the task logs them), `params.NAME` (the slot's parameters) and `step`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping

from federation.index.columns import Type, to_json
from federation.index.query import Condition, Fields, WhereError, condition
from federation.index.query.fields import Field, unquoted
from federation.index.query.functions import register
from federation.result import json_value
from federation.run.brain.events import Measured
from federation.run.brain.stopping import StopWhen
from jobs.frozen import frozen
from jobs.params.values import Value, text_of

OPTION = "--stop-when"
_STEP = "step"


class _AnyNumber(dict[str, frozenset[Type]]):
    """The metrics of a run that hasn't begun: any name may be one, and each is a number."""

    def __contains__(self, name: object) -> bool:
        return bool(name)

    def __missing__(self, name: str) -> frozenset[Type]:
        return frozenset[Type]({"number"})


@frozen
class _RunFields(Fields):
    """The fields of a running attempt that a condition may name."""

    def field(self, written: str, *, text: str, place: int) -> Field:
        """The field. Raises WhereError for one that no slot of the run can have."""
        first, _, name = written.partition(".")
        if written != _STEP and not (name and first in ("metrics", "params")):
            kind = "params" if written in self.params else "metrics"
            hint = "fields: metrics.NAME, params.NAME, step" if name else f"did you mean {kind}.{written}?"
            raise WhereError(f"there is no field {written!r}", text=text, place=place, hint=hint)
        if first == "params" and self.are_known and unquoted(name) not in self.params:
            hint = f"its parameters: {', '.join(self.params) or 'none'}"
            raise WhereError(f"no slot has the parameter {name!r}", text=text, place=place, hint=hint)
        return Fields.field(self, f"metrics.{_STEP}" if written == _STEP else written, text=text, place=place)


def checked_stop_when(text: str, params: Collection[str] | None = None) -> Condition:
    """The condition. `params` are the names of the run's parameters; None: not known. Raises WhereError, with a caret."""
    fields = _RunFields(_AnyNumber(), frozenset(params or ()), are_known=params is not None)
    return condition(text, fields, what=OPTION)


def stop_when(text: str, parameters: Callable[[int], Mapping[str, Value]]) -> StopWhen:
    """A function that says why an attempt is stopped: the condition and the values that it names. For one thread. Raises
    WhereError."""
    asked = checked_stop_when(text)
    metrics = dict.fromkeys(field.key for field in asked.fields if field.kind == "metric" and field.key != _STEP)
    db = sqlite3.connect(":memory:")
    register(db)
    sql = f"SELECT 1 FROM (SELECT ? AS metrics, ? AS params) WHERE {asked.sql}"  # noqa: S608 - SQL of ours

    def judge(slot: int, newest: Measured) -> str:
        values = {name: newest.values[name] for name in metrics if name in newest.values}
        params = {name: text_of(value) for name, value in parameters(slot).items()}
        row = (_json({_STEP: newest.step, **values}), _json(params), *asked.values)
        if db.execute(sql, row).fetchone() is None:
            return ""
        shown = [*(f"{name} {value:g}" for name, value in values.items()), f"step {newest.step:g}"]
        return f"{OPTION} {text}: {', '.join(shown)}"

    return judge


def _json(values: Mapping[str, float | str]) -> str:
    """Returns the JSON in which the catalog writes metrics and parameters."""
    return to_json({name: json_value(value) for name, value in values.items()})
