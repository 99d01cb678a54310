"""The door for foreign JSON: whatever the bytes are, a value within the limits or ForeignTextError."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import ForeignTextError
from jobs.foreign import Members, parse_json, parse_object
from jobs.json_limits import ANSWER_LIMITS, WHOLE_NUMBER_MAX, Limits, is_plainly_within, problem_of
from tests.examples import examples

_SMALL = Limits(size_bytes_max=4000, depth_max=5, items_max=20, text_chars_max=50)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[" * 3_900, "nested deeper"),
        (b"[[[[[[1]]]]]]", "nested deeper than 5 levels"),
        (b'{"a":' * 6 + b"1" + b"}" * 6, "nested deeper than 5 levels"),
        (b"Infinity", "Infinity is not a JSON number"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": [1, 1e999]}', r"a\[1\] is not a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "bytes long"),
        (b'{"a": ' + b"9" * 3000 + b"}", "a is a whole number out of range"),
        (b'{"a": 9007199254740992}', "a is a whole number out of range"),
        (b'{"a": -9007199254740992}', "a is a whole number out of range"),
        (b'{"a": {"b": "\\ud800"}}', "a.b is not valid Unicode text"),
        (b'{"a\\udfff": 1}', "not valid Unicode text"),
        (b'"' + b"x" * 51 + b'"', "has 51 characters; the limit is 50"),
        (b'{"' + b"x" * 51 + b'": 1}', "has 51 characters; the limit is 50"),
        (b"[" + b"0," * 20 + b"0]", "more than 20 members and items"),
        (b" " * 4001, "4,001 bytes long; the limit is 4,000 bytes"),
        (b'{"a": 1, "a": 2}', "has the name 'a' twice"),
        (b"\xff", "byte 0 is not UTF-8"),
        (b'{"a": \n', "line 2, column 1"),
        (b"", "not valid JSON"),
        (b"1 2", "Extra data"),
    ],
)
def test_what_exceeds_a_limit_is_said_with_its_place(text: bytes, said: str) -> None:
    with pytest.raises(ForeignTextError, match=said) as caught:
        parse_json(text, source="THE SOURCE", limits=_SMALL)
    assert str(caught.value).startswith("THE SOURCE ")
    assert caught.value.hint
    assert len(str(caught.value)) < 300


def test_digits_without_end_are_refused_without_being_computed() -> None:
    with pytest.raises(ForeignTextError, match="too many digits"):
        parse_json(b"9" * 1_000_000, source="x")


def test_what_is_within_the_limits_is_given_as_it_is() -> None:
    assert parse_json(b"[[[[[1]]]]]", source="x", limits=_SMALL) == [[[[[1]]]]]
    assert parse_json(b"[" + b"0," * 18 + b"0]", source="x", limits=_SMALL) == [0] * 19
    assert parse_json(f"[{WHOLE_NUMBER_MAX}, {-WHOLE_NUMBER_MAX}]", source="x") == [WHOLE_NUMBER_MAX, -WHOLE_NUMBER_MAX]
    assert parse_json('"\U0001f600 é"', source="x") == "\U0001f600 é"
    assert parse_json(b'"\\ud83d\\ude00"', source="x") == "\U0001f600"


def test_an_answer_of_a_server_may_hold_nanoseconds_and_a_name_twice() -> None:
    text = b'{"SubmitTime": 1700000000000000000, "a": 1, "a": 2}'
    assert parse_object(text, source="x", limits=ANSWER_LIMITS) == {"SubmitTime": 1700000000000000000, "a": 2}


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_bytes_give_a_value_or_our_error(text: bytes) -> None:
    try:
        value = parse_json(text, source="x", limits=_SMALL)
    except ForeignTextError:
        return
    assert json.loads(json.dumps(value, allow_nan=False)) == value


@settings(max_examples=examples(300), deadline=None)
@given(_JSON)
def test_any_json_gives_a_value_that_can_be_written_or_our_error(value: Any) -> None:
    try:
        parsed = parse_json(json.dumps(value), source="x")
    except ForeignTextError:
        return
    assert parsed == value
    json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()


def _members(**values: Any) -> Members:
    return Members(values, source="THE SOURCE", place="top")


@pytest.mark.parametrize("wrong", [None, True, "x", [], {}, 1.5, -1, 2**53, math.inf])
def test_a_whole_number_is_nothing_else(wrong: Any) -> None:
    with pytest.raises(ForeignTextError, match=r"THE SOURCE can't be used: top\.size "):
        _members(size=wrong).whole("size")


@pytest.mark.parametrize("wrong", [None, True, 1, [], {}, "xxxx", "\ud800"])
def test_a_text_is_nothing_else(wrong: Any) -> None:
    with pytest.raises(ForeignTextError, match=r"top\.name "):
        _members(name=wrong).text("name", chars_max=3)


@settings(max_examples=examples(200), deadline=None)
@given(_JSON)
def test_every_taker_gives_its_type_or_our_error(value: Any) -> None:
    takers = {
        "text": str,
        "whole": int,
        "number": (int, float),
        "flag": bool,
        "items": list,
        "texts": list,
        "object": dict,
        "members": Members,
        "text_map": dict,
    }
    for name, kinds in takers.items():
        try:
            taken = getattr(_members(it=value), name)("it")
        except ForeignTextError:
            continue
        assert isinstance(taken, kinds)


def test_what_is_missing_is_said_or_its_default_is_given() -> None:
    with pytest.raises(ForeignTextError, match=r"top\.name is missing"):
        _members().text("name")
    assert _members().text("name", "") == ""
    assert [one.whole("n") for one in _members(all=[{"n": 1}, {"n": 2}]).each("all")] == [1, 2]
    with pytest.raises(ForeignTextError, match=r"top\.all\[1\] "):
        list(_members(all=[{}, 1]).each("all"))
    with pytest.raises(ForeignTextError, match=r"top\.all\[1\] is null, not a text"):
        _members(all=["", None]).texts("all")


ODD = (10**19, 2**64, -(2**64), 1e308, float("inf"), float("nan"), "\ud800", "é", "\\ud800", 2**53, "x" * 50)
VALUES = st.recursive(
    st.one_of(st.sampled_from(ODD), st.integers(), st.floats(), st.text(max_size=5), st.none(), st.booleans()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.just("\udfff"), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES, st.booleans(), st.integers(1, 6), st.integers(1, 12), st.integers(5, 60))
def test_what_is_plainly_within_the_limits_has_no_problem(
    value: Any, is_ascii: bool, depth_max: int, items_max: int, text_chars_max: int
) -> None:
    limits = Limits(depth_max=depth_max, items_max=items_max, text_chars_max=text_chars_max)
    text = json.dumps(value, ensure_ascii=is_ascii)
    assert not (is_plainly_within(text, json.loads(text), limits) and problem_of(json.loads(text), limits))


def test_an_ordinary_answer_is_plainly_within_the_limits() -> None:
    text = '{"ID": "a", "Time": 1796106545515834564, "Score": 0.25, "Name": "é", "Tasks": {"t": [{"Failed": false}, null]}}'
    assert is_plainly_within(text, json.loads(text), ANSWER_LIMITS)
