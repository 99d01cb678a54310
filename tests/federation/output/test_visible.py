"""Foreign text as visible text: no character that could steer a terminal or forge a name is left."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.output.visible import visible, visible_json, visible_line, visible_log
from tests.attack.hostile import forbidden

MAY_HIDE = st.text(
    st.characters(codec=None) | st.sampled_from("\x1b\x9b\x7f\u202e\u2066\u200b\ufeff\u2028\ud800\r\n\t")
)
SEEN_FORMAT_CHARACTERS = {"ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN"}
"""Scripts whose characters of category Cf have a shape of their own."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\x9bb\x7f", r"a\x9bb\x7f"),
        ("model\u202egnp.exe", r"model\u202egnp.exe"),
        ("prod\u200buction\ufeff", r"prod\u200buction\ufeff"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("größer, 東京\u3000α → ✓", "größer, 東京\u3000α → ✓"),
    ],
)
def test_a_field_of_one_line(text: str, shown: str) -> None:
    assert visible_line(text) == shown


def test_every_control_format_surrogate_and_separator_character_is_shown() -> None:
    left = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(char := chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        and visible_line(char) == char
        and unicodedata.name(char, "").split(" ")[0] not in SEEN_FORMAT_CHARACTERS
    ]
    assert left == []


@given(MAY_HIDE)
def test_nothing_forbidden_is_left(text: str) -> None:
    assert not forbidden(visible(text))
    assert not forbidden(visible_line(text))
    assert "\n" not in visible_line(text)


@given(st.text(st.characters(categories=("Lu", "Ll", "Nd", "Po", "Sm", "Sc", "Zs"))))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == visible_line(text) == visible_json(text) == text


@given(
    st.recursive(
        MAY_HIDE | st.none() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(MAY_HIDE, inner),
    )
)
def test_json_holds_the_same_value(value: object) -> None:
    for text in (json.dumps(value, ensure_ascii=False), json.dumps(value, ensure_ascii=False, indent=2)):
        shown = visible_json(text)
        assert not forbidden(shown)
        assert json.loads(shown) == json.loads(text)


def test_a_carriage_return_in_a_log_begins_a_line() -> None:
    assert visible_log("10 %\r20 %\r\n\x1b[31mdone\x1b[0m") == "10 %\n20 %\n\\x1b[31mdone\\x1b[0m"
