"""Checks that a value of Nomad's JSON has the type that it should have. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.errors import ForeignTextError
from jobs.foreign import kind_of

NOT_OF_NOMADS_SHAPE = (
    *(KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, ForeignTextError),
)
"""What reading an answer may raise: a server that isn't Nomad, or one that lies, may answer anything."""


def text_of(values: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """The text of that name; `default` (None: raises) where it is absent or null. Raises TypeError for another type."""
    value = values[name] if default is None else values.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise TypeError(f"{name} is {kind_of(value)}, not a text")
    return value


def object_of(value: object) -> dict[str, Any]:
    """The object. Raises TypeError for another type."""
    if not isinstance(value, dict):
        raise TypeError(f"{kind_of(value)} where an object should be")
    return value


def whole_of(value: object) -> int:
    """The whole number. Raises TypeError for another type."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{kind_of(value)} where a whole number should be")
    return value


def counts_of(values: Mapping[str, Any], name: str) -> dict[str, int]:
    """The whole numbers by name; none where it is absent or null. Raises TypeError for another type."""
    return {each: whole_of(count) for each, count in object_of(values.get(name) or {}).items()}
