"""Checks what a program gives to a public function against the annotations of that function.

pydantic's `validate_call` takes other values (NaN) and refuses some that are right here: whole numbers of NumPy, its arrays,
`range` and generators as lists. Its errors would have to be put in these words too.
"""

from __future__ import annotations

import inspect
import math
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping, Set
from functools import cache, wraps
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from federation.curves import KeepBest
from federation.errors import UsageError
from federation.index import Row
from jobs.errors import FedmlError

P = ParamSpec("P")
R = TypeVar("R")

_WORDS: Mapping[Any, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    Row: "a result",
    KeepBest: "a KeepBest",
    os.PathLike: "a path",
    Mapping: "a dictionary",
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Makes a public function refuse an argument of a wrong type with UsageError: which argument, what it takes, what was
    given. Lists are passed on as tuples, and numbers of NumPy as Python's."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*given: P.args, **named: P.kwargs) -> R:
        try:
            bound = signature.bind(*given, **named)
        except TypeError:  # a missing or unknown argument: Python says so better
            return function(*given, **named)
        for name, value in bound.arguments.items():
            kind = _hints(function).get(name, Any)
            bound.arguments[name] = _taken(f"{function.__name__}(): {name}", kind, value)
        return function(*bound.args, **bound.kwargs)

    return with_remedy(call)


def with_remedy(function: Callable[P, R]) -> Callable[P, R]:
    """Makes a public function add an error's hint to it as a note, which tracebacks and notebooks show."""

    @wraps(function)
    def call(*given: P.args, **named: P.kwargs) -> R:
        try:
            return function(*given, **named)
        except FedmlError as error:
            for note in (f"→ {line}" for line in error.hint.splitlines()):
                if note not in getattr(error, "__notes__", ()):
                    error.add_note(note)
            raise

    return call


def at_least(what: str, value: float | None, least: float, *, is_exclusive: bool = False) -> None:
    """Raises UsageError for a number that is too small. None is let through."""
    if value is not None and (value < least or (is_exclusive and value == least)):
        bound = "more than" if is_exclusive else "at least"
        raise UsageError(
            f"{what} takes {bound} {least:g}, not {value:g}", hint=f"write {what.split()[-1]}={least + 1:g}"
        )


@cache
def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    return get_type_hints(function)


def _taken(where: str, kind: Any, value: Any) -> Any:
    """The value as the function gets it. Raises UsageError."""
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        value = value.item()  # a scalar of NumPy
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    for option in options:
        outer = get_origin(option) or option
        if not _fits(outer, value):
            continue
        inner = get_args(option)
        if outer is Mapping:
            keys, values = inner
            return {
                _taken(f"{where}: a key", keys, key): _taken(f"{where}[{key!r}]", values, each)
                for key, each in value.items()
            }
        if _is_list(outer):
            return tuple(_taken(f"{where}[{place}]", inner[0], each) for place, each in enumerate(value))
        return value
    unsaid = {NoneType, int} if float in options else {NoneType}
    wanted = " or ".join(_words(option) for option in options if option not in unsaid)
    raise UsageError(f"{where} takes {wanted}, not {_shown(value)}", hint=_hint(where, options, value))


def _fits(kind: Any, value: Any) -> bool:
    if kind in (Any, object):
        return True
    if kind is bool:
        return isinstance(value, bool)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool) and math.isfinite(value)
    if _is_list(kind):
        is_other = isinstance(value, (str, bytes, bytearray, Mapping, Set)) or getattr(value, "ndim", 1) != 1
        return isinstance(value, Iterable) and not is_other
    if kind is Callable or get_origin(kind) is Callable or not isinstance(kind, type):
        return callable(value)
    return isinstance(value, kind)


def _is_list(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Iterable) and kind is not str and not issubclass(kind, Mapping)


def _words(kind: Any) -> str:
    outer = get_origin(kind) or kind
    if outer in _WORDS:
        return _WORDS[outer]
    if _is_list(outer):
        [inner] = get_args(kind)
        plural = {"a text": "texts", "a whole number": "whole numbers", "a dictionary": "dictionaries"}
        return f"a list of {plural.get(_words(inner), 'values')}"
    return "a path" if isinstance(outer, type) and issubclass(outer, os.PathLike) else "a function"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return f"the text {reprlib.repr(value)}"
    if isinstance(value, (int, float)):
        return f"the number {value!r}"
    kind = {"dict": "dictionary"}.get(type(value).__name__, type(value).__name__)
    return kind if kind == "bytes" else f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _hint(where: str, options: Iterable[Any], value: Any) -> str:
    """What to write instead, where it can be guessed."""
    kinds = {get_origin(option) or option for option in options}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if callable(getattr(value, "to_dict", None)):
        return 'write the frame as a list of rows: frame.to_dict("records")'
    if isinstance(value, Mapping) and where.endswith(": params"):
        return f"parameters that all slots get alike are param={reprlib.repr(dict(value))}; params is a list of rows"
    if any(map(_is_list, kinds)) and isinstance(value, (str, int, float)):
        return f"write a list: [{reprlib.repr(value)}]"
    if bool in kinds:
        return "write True or False"
    if int in kinds and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if kinds & {int, float} and isinstance(value, str) and value.strip().isdecimal():
        return f"write {int(value)}"
    if where.endswith("_s") and isinstance(value, str):
        return "write a number of seconds: 90"
    if str in kinds and is_number:
        return f'write "{value}"'
    return ""
