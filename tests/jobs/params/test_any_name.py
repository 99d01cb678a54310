"""Parameters of any name: for jobs that declare `fedml_params`, as those of `fedml run` do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from jobs.code_run import CODE_KEY, COMMAND_KEY, PARAMS_KEY, params_of, with_params
from jobs.errors import ForeignTextError, InvalidMeta
from jobs.params.checks import check_asks
from jobs.params.file import rows_of
from jobs.params.sweep import Asks, Inputs, axes_of
from jobs.params.values import Value, params_json
from jobs.spec import JobShape

OPEN = JobShape("train", (CODE_KEY, COMMAND_KEY), ("depth", PARAMS_KEY), "forbidden", "fedml_version", {"train": 1}, {})
SENT = {CODE_KEY: "c" * 64, COMMAND_KEY: "{}"}


def dispatched(asks: Asks, meta: dict[str, str], slot: int) -> dict[str, str]:
    """The meta of one slot, as the workflow makes it."""
    base = check_asks(OPEN, asks, meta, b"", own=SENT)
    lines = asks.rows.lines if asks.rows else ()
    return dict(Inputs(base, b"", asks.axes, lines, in_params=asks.for_job(OPEN).in_params)(slot)[0])


def test_what_the_job_does_not_declare_goes_into_one_object_and_what_it_declares_stays_meta() -> None:
    asks = Asks(axes_of(["lr=0.1,1e-5", "depth=3,5"]))
    assert dispatched(asks, {"seed": "7", "note": "a b"}, 3) == {
        **SENT,
        "depth": "5",
        PARAMS_KEY: '{"lr":1e-5,"note":"a b","seed":7}',
    }


def test_fixed_parameters_alone_need_no_sweep() -> None:
    assert dispatched(Asks(), {"seed": "7"}, 0) == {**SENT, PARAMS_KEY: '{"seed":7}'}
    assert dispatched(Asks(), {}, 0) == SENT


def test_rows_keep_their_types() -> None:
    asks = Asks(rows=rows_of("params.jsonl", [(1, {"lr": 0.5, "name": "5", "on": True}), (2, {"lr": 1})]))
    assert json.loads(dispatched(asks, {}, 0)[PARAMS_KEY]) == {"lr": 0.5, "name": "5", "on": True}
    assert json.loads(dispatched(asks, {}, 1)[PARAMS_KEY]) == {"lr": 1}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        ("0.10", "0.10"),
        ("1e-5", "1e-5"),
        (True, "true"),
        ("007", "007"),
        ("nan", "nan"),
        ("x", "x"),
        (3, "3"),
    ],
)
def test_a_value_comes_back_as_it_was_written(value: Value, text: str) -> None:
    assert params_of(params_json({"p": value})) == {"p": text}


def test_a_number_is_a_number_for_the_program() -> None:
    assert json.loads(params_json({"a": "1e-5", "b": "0.10", "c": "007", "d": "1e999"})) == {
        "a": 1e-05,
        "b": 0.1,
        "c": "007",
        "d": "1e999",
    }


def test_nomad_finds_nothing_to_replace() -> None:
    text = params_json({"host": "${node.unique.name}"})
    assert "${" not in text
    assert params_of(text) == {"host": "${node.unique.name}"}


@pytest.mark.parametrize("name", ["", "a b", "a=b", "-x", "1x", "fedml_x", "a\n", "x" * 200, "ü b"])
def test_a_name_that_no_argument_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidMeta):
        check_asks(OPEN, Asks(), {name: "1"}, b"", own=SENT)


def test_fedml_s_own_keys_cannot_be_given() -> None:
    for name in (CODE_KEY, COMMAND_KEY, PARAMS_KEY):
        with pytest.raises(InvalidMeta, match="fedml's own"):
            check_asks(OPEN, Asks(), {name: "1"}, b"", own=SENT)


def test_a_job_of_fedml_run_is_not_dispatched_without_code() -> None:
    with pytest.raises(InvalidMeta, match="fedml run"):
        check_asks(OPEN, Asks(), {}, b"")


def test_a_job_that_does_not_declare_it_takes_only_its_own_names() -> None:
    closed = replace(OPEN, meta_required=(), meta_optional=("depth",))
    with pytest.raises(InvalidMeta, match="declares no meta key 'lr'"):
        check_asks(closed, Asks(axes_of(["lr=1,2"])), {}, b"")


def test_all_together_stay_below_the_limit_of_meta() -> None:
    with pytest.raises(InvalidMeta, match="16384"):
        check_asks(OPEN, Asks(axes_of(["lr=1,2"])), {"text": "x" * 17_000}, b"", own=SENT)


@pytest.mark.parametrize("text", ["", "[]", '{"a":null}', '{"a":[1]}', '{"a":{}}', '{"a":1,"a":2}', '{"a":NaN}', "{"])
def test_what_is_no_object_of_parameters_is_refused(text: str) -> None:
    with pytest.raises(ForeignTextError):
        params_of(text)


def test_meta_as_people_know_it() -> None:
    assert with_params({**SENT, "depth": "3", PARAMS_KEY: '{"lr":0.10}'}) == {"depth": "3", "lr": "0.10"}
