"""The condition of --stop-when: judged as --where judges, refused early with a caret."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping

import pytest

from federation.index.query.tokens import WhereError
from federation.run.brain.events import Measured
from federation.run.stop_when import checked_stop_when, stop_when

NAN = math.nan


def judged(text: str, values: Mapping[str, float], params: Mapping[str, object] | None = None, step: float = 3) -> str:
    return stop_when(text, lambda _: params or {})(0, Measured("job", step, values))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(
    ("text", "values", "is_met"),
    [
        ("metrics.loss > 10", {"loss": 11.0}, True),
        ("metrics.loss > 10", {"loss": 10.0}, False),
        ("metrics.loss > 10", {}, False),
        ("not metrics.loss > 10", {}, False),
        ("metrics.loss > 10 or metrics.loss is nan", {"loss": NAN}, True),
        ("not (metrics.loss > 10)", {"loss": NAN}, False),
        ("metrics.loss is null", {}, True),
        ("metrics.loss is not null", {"loss": NAN}, True),
        ("metrics.loss is not nan", {"loss": NAN}, False),
        ("metrics.loss = inf", {"loss": math.inf}, True),
        ("metrics.loss in (1, 2)", {"loss": 2.0}, True),
        ("metrics.loss not in (1, 2)", {"loss": 2.0}, False),
        ("metrics.loss between 1 and 2", {"loss": 1.5}, True),
        ("metrics.loss not between 1 and 2", {"loss": 3.0}, True),
        ("step >= 3 and metrics.a != 1", {"a": 2.0}, True),
        ("step < 3 or metrics.b > 0", {"a": 2.0}, False),
        ('metrics."val.loss" > 1', {"val.loss": 2.0}, True),
        ("metrics.val.loss > 1", {"val.loss": 2.0}, True),
        ("params.lr > 0.5", {}, True),
        ("params.name = 'big' and params.lr in (1, 2)", {}, True),
        ("params.name > 5", {}, False),
        ("params.none = 'x'", {}, False),
        ("params.name like 'B%'", {}, True),
    ],
)
def test_a_condition_is_met_or_not(text: str, values: Mapping[str, float], is_met: bool) -> None:
    assert bool(judged(text, values, {"lr": 1, "name": "big"})) is is_met


def test_unknown_and_or_not_are_sql_s() -> None:
    """Every combination of true, false and unknown, as SQLite says."""
    literals = {"step = 3": "1", "step = 4": "0", "metrics.none = 1": "NULL"}
    db = sqlite3.connect(":memory:")
    for first, a in literals.items():
        for second, b in literals.items():
            for shape in ("{} and {}", "{} or {}", "not {} and {}", "not ({} or {})", "not ({} and {})"):
                (expected,) = db.execute(f"SELECT {shape.format(a, b)}").fetchone()
                assert bool(judged(shape.format(first, second), {})) is bool(expected), (shape, a, b)


def test_the_reason_has_the_rule_and_the_values() -> None:
    text = "metrics.loss > 10 or metrics.acc < 0.1"
    assert judged(text, {"loss": 12.5}, step=40) == f"--stop-when {text}: loss 12.5, step 40"


@pytest.mark.parametrize(
    ("text", "problem", "place"),
    [
        ("loss > 3", "there is no field 'loss'", 0),
        ("metrics > 3", "there is no field 'metrics'", 0),
        ("step.a > 3", "there is no field 'step.a'", 0),
        ("metrics.loss > 3 and params.lf = 1", "no slot has the parameter 'lf'", 21),
        ("metrics.loss > 'x'", "can't be compared", 15),
        ("metrics.loss = true", "can't be compared", 15),
        ("params.lr = false", "can't be compared", 12),
        ("params.lr in (1, 'a')", "a text stands beside a number", 17),
        ("params.lr is nan", "never a NaN", 0),
        ("metrics.loss >", "the condition ends", 14),
        ("metrics.loss > 3 & step = 1", "'&' has no meaning", 17),
    ],
)
def test_what_is_wrong_is_said_under_a_caret(text: str, problem: str, place: int) -> None:
    with pytest.raises(WhereError, match="--stop-when: ") as caught:
        checked_stop_when(text, ("lr",))
    assert problem in caught.value.message
    assert caught.value.message.splitlines()[-1].index("^") == place + 2


def test_a_field_without_its_kind_is_named_with_it() -> None:
    with pytest.raises(WhereError) as caught:
        checked_stop_when("lr > 3", ("lr",))
    assert caught.value.hint == "did you mean params.lr?"
