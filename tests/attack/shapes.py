"""Strategies: JSON of every shape, and a right document with a few places of it made wrong.

A document that is wrong in one place gets furthest: what reads it trusts the rest.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.attack.hostile import TEXTS

EXAMPLES = int(os.environ.get("ATTACK_EXAMPLES", "12"))
"""How many examples each test tries; `make soak` sets more."""

SOAK_EXAMPLES = 1_000

attacked: Callable[..., Any] = settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES < SOAK_EXAMPLES,
    phases=(Phase.explicit, Phase.generate) if EXAMPLES < SOAK_EXAMPLES else tuple(Phase),  # shrinking takes minutes
    database=None,
    deadline=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
"""The settings of every test here: the same examples each time, but in a soak."""

NUMBERS = (
    *(0, -1, 1, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 10**19, 10**400),
    *(0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan")),
)
DEEP_LEVELS = 100_000
"""More nested brackets than any parser's stack takes."""
MANY = 3_000


def deep(levels: int = 600) -> list[Any]:
    """Lists in lists: as deep as Python's own writer of JSON takes."""
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.text(st.characters(codec=None), max_size=12),
    st.integers(),
)
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    SCALARS,
    st.sampled_from(
        ["[]", "{}", "[[]]", "[{}]", '{"": null}', "[null]", '{"$float": "nan"}', '{"$float": []}', "deep"]
    ).map(lambda text: deep() if text == "deep" else json.loads(text)),  # made anew: `spoilt` changes what it is given
    st.builds(lambda text: [text] * MANY, st.sampled_from(TEXTS)),
    st.builds(lambda text: {f"{text}{number}": number for number in range(MANY)}, st.sampled_from(TEXTS)),
    st.builds(lambda text: text * 40_000, st.sampled_from([text for text in TEXTS if text])),
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS.map(str), inner, max_size=3)
    ),
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value in a document, the document's own first."""
    yield path
    if isinstance(document, dict):
        for name, value in document.items():
            yield from places(value, (*path, name))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from places(value, (*path, number))


@st.composite
def spoilt(draw: st.DrawFn, document: Any, values: st.SearchStrategy[Any] = ANYTHING) -> Any:
    """The document with one to three places replaced, left out, doubled or added to."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        found = list(places(made))
        path = draw(st.sampled_from(found[1:] or found))
        if not path:
            return draw(values)
        holder = made
        for step in path[:-1]:
            holder = holder[step]
        match draw(st.sampled_from(["replace", "replace", "replace", "replace", "leave out", "add"])):
            case "replace":
                holder[path[-1]] = draw(values)
            case "leave out":
                del holder[path[-1]]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from([*TEXTS, "prefix", "store", "undo", "rollback"]))] = draw(values)
            case _:
                holder.append(draw(values))
    return made


def json_bytes(document: Any) -> bytes:
    """As `json.dumps`, deeper and with more than it takes."""
    try:
        return json.dumps(document).encode()
    except (RecursionError, ValueError):
        return b"[" * DEEP_LEVELS


BYTES = st.one_of(
    st.sampled_from(
        [
            b"",
            b"\0",
            b"null",
            b"[]",
            b"{}",
            b'"',
            b"\xff\xfe",
            b"[" * 5_000,
            b"[" * DEEP_LEVELS,
            b'{"a":' * 5_000,
            b"1e999999",
        ]
    ),
    st.binary(max_size=40),
    ANYTHING.map(json_bytes),
)
"""An object that may not even be JSON."""
