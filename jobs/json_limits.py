"""Limits of JSON that somebody else wrote, and the check of a parsed value against them.

No dependency: the archive for nodes holds this module and runs it under Python 3.9.
"""

from __future__ import annotations

import math
from typing import Any, Optional, Union

from jobs.frozen import frozen

WHOLE_NUMBER_MAX = 2**53 - 1
"""The largest whole number that every JSON reader reads as the same number."""
SHOWN_CHARS_MAX = 60
"""How much of a foreign value stands in a message."""

_Place = Optional[tuple[Any, Union[str, int]]]  # noqa: UP007,UP045 - runs under Python 3.9


@frozen
class Limits:
    """How much one JSON text may hold. `items_max` counts members of objects and items of lists, at every level together."""

    size_bytes_max: int = 16 * 1024 * 1024
    depth_max: int = 64
    items_max: int = 1_000_000
    text_chars_max: int = 4 * 1024 * 1024
    whole_max: int = WHOLE_NUMBER_MAX
    """Whole numbers lie between this and its negative."""
    refuse_twice: bool = True
    """Whether an object that has a name twice is refused: readers disagree about which of the two counts."""
    is_python: bool = False
    """Whether what Python's own writer gives beyond JSON (NaN, Infinity, halves of surrogate pairs) is let through: the
    caller then looks at each value itself."""
    mark_unusable: bool = False
    """Whether a name that an object has twice and a number of too many digits get an `Unusable` as their value, instead of an
    error of the whole text."""


@frozen
class Unusable:
    """Stands for a value that can't be used."""

    reason: str


DOCUMENT_LIMITS = Limits()
"""For what fedml itself writes somewhere and reads again."""
ANSWER_LIMITS = Limits(
    size_bytes_max=256 * 1024 * 1024,
    items_max=20_000_000,
    text_chars_max=32 * 1024 * 1024,
    whole_max=2**64 - 1,
    refuse_twice=False,
)
"""For a server's answer: Nomad tells times in nanoseconds, and lists of allocations are long."""


def is_plainly_within(text: str, value: Any, limits: Limits) -> bool:
    """Whether `value`, which was parsed from the text, keeps the limits, as far as that is quick to see: the text as a whole
    tells that of all names and texts in it. False decides nothing.

    Events of a region are parsed by the thousand, and looking at each name and text takes longer than parsing them.
    """
    if limits.mark_unusable or limits.is_python or len(text) > limits.text_chars_max:
        return False
    if "\\ud" in text or "\\uD" in text or not (text.isascii() or is_text(text)):  # perhaps half of a surrogate pair
        return False
    return _has_plain_values(value, limits)


def _has_plain_values(value: Any, limits: Limits) -> bool:
    """Whether numbers, depth and count keep the limits."""
    least, most = -limits.whole_max, limits.whole_max
    items, depth = 0, -1
    level: list[Any] = [[value]]
    while level:
        items += sum(map(len, level))
        if depth >= limits.depth_max or items > limits.items_max:
            return False
        below: list[Any] = []
        for container in level:
            for each in container.values() if type(container) is dict else container:
                kind = type(each)
                if kind is dict or kind is list:
                    below.append(each)
                elif (kind is int and not least <= each <= most) or (kind is float and not math.isfinite(each)):
                    return False
        level, depth = below, depth + 1
    return True


def problem_of(value: Any, limits: Limits) -> str:
    """Returns what exceeds a limit first, with its place; empty for a value within them.

    Recursion-free: what was parsed may be nested as deep as the interpreter's stack is.
    """
    items = 0
    stack: list[tuple[Any, int, _Place]] = [([value], -1, None)]
    while stack:
        container, depth, place = stack.pop()
        if depth >= limits.depth_max:
            return f"is nested deeper than {limits.depth_max} levels"
        items += len(container)
        if items > limits.items_max:
            return f"has more than {limits.items_max:,} members and items"
        for name, each in container.items() if type(container) is dict else enumerate(container):
            problem = _problem(name, each, limits)
            if problem:
                return f"can't be used: {shown_place(_path((place, name)))} {problem}"
            if type(each) is dict or type(each) is list:
                stack.append((each, depth + 1, (place, name)))
    return ""


def _problem(name: str | int, value: Any, limits: Limits) -> str:
    """What is wrong with one member or item; empty for one that is right."""
    kind = type(value)
    problem = ""
    if kind is str:
        problem = _text_problem(value, limits)
    elif kind is int and not -limits.whole_max <= value <= limits.whole_max:
        problem = "is a whole number out of range"
    elif kind is float and not limits.is_python and not math.isfinite(value):
        problem = "is not a finite number"
    return problem or (_text_problem(name, limits) if type(name) is str else "")


def _text_problem(text: str, limits: Limits) -> str:
    if len(text) > limits.text_chars_max:
        return f"has {len(text):,} characters; the limit is {limits.text_chars_max:,}"
    return "" if text.isascii() or limits.is_python or is_text(text) else "is not valid Unicode text"


def _path(place: _Place) -> str:
    steps: list[str] = []
    while place is not None:
        place, name = place
        steps.append(f"[{name}]" if isinstance(name, int) else f".{name}")
    return "".join(steps[-2::-1]).lstrip(".") or "its value"


def is_text(text: str) -> bool:
    """Whether the text can be written as UTF-8: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_place(place: str) -> str:
    """Shortens a place for a message, in characters that can be printed."""
    shown = place if place.isascii() and place.isprintable() else ascii(place)
    return shown if len(shown) <= 2 * SHOWN_CHARS_MAX else shown[: 2 * SHOWN_CHARS_MAX] + "…"
