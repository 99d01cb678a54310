"""Parses JSON that somebody else wrote: records, log entries, manifests, answers of regions and stores.

Every reader of foreign text calls `parse_json` or `parse_object`, then takes single values by `Members`. Both raise
`ForeignTextError` and nothing else, whatever the bytes are. What is returned holds finite numbers, valid Unicode and no more
than the limits allow. No dependency: the archive for nodes holds this module and runs it under Python 3.9.
"""

from __future__ import annotations

import io
import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from jobs.errors import ForeignTextError
from jobs.json_limits import (
    DOCUMENT_LIMITS,
    SHOWN_CHARS_MAX,
    WHOLE_NUMBER_MAX,
    Limits,
    Unusable,
    is_plainly_within,
    is_text,
    problem_of,
    shown_place,
)

_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}
Value = TypeVar("Value")


def parse_json(text: bytes | str, *, source: str, limits: Limits = DOCUMENT_LIMITS) -> Any:
    """Parse JSON within `limits`. `source` says in the error what was read, like a URL or `answer of region eu`.

    Raises ForeignTextError.
    """
    size_bytes = len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass"))
    if size_bytes > limits.size_bytes_max:
        raise _error(source, f"is {size_bytes:,} bytes long; the limit is {limits.size_bytes_max:,} bytes")
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = _decoder(limits).decode(decoded)
    except RecursionError:
        raise _error(source, f"is nested deeper than {limits.depth_max} levels") from None
    except MemoryError:
        raise _error(source, "does not fit in memory") from None
    except ValueError as error:
        raise _error(source, f"is not valid JSON: {_reason(error)}") from None
    problem = "" if is_plainly_within(decoded, value, limits) else problem_of(value, limits)
    if problem:
        raise _error(source, problem)
    return value


@cache
def _decoder(limits: Limits) -> json.JSONDecoder:
    """The parser for texts under these limits."""
    return json.JSONDecoder(
        parse_constant=None if limits.is_python else _refuse_constant,
        parse_int=_mark_too_long if limits.mark_unusable else None,
        object_pairs_hook=_mark_twice if limits.mark_unusable else _refuse_twice if limits.refuse_twice else None,
    )


def parse_object(text: bytes | str, *, source: str, limits: Limits = DOCUMENT_LIMITS) -> dict[str, Any]:
    """As `parse_json`, for text that has to be a JSON object."""
    value = parse_json(text, source=source, limits=limits)
    if not isinstance(value, dict):
        raise _error(source, f"is {kind_of(value)}, not a JSON object")
    return value


def unpacked(data: bytes, *, source: str, size_bytes_max: int = DOCUMENT_LIMITS.size_bytes_max) -> bytes:
    """The text that gzip packed. Stops at the limit: a kilobyte can hold a gigabyte. Raises ForeignTextError."""
    import gzip

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            text = packed.read(size_bytes_max + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _error(source, f"is not whole gzip: {error}") from None
    if len(text) > size_bytes_max:
        raise _error(source, f"is packed from more than {size_bytes_max:,} bytes")
    return text


def kind_of(value: object) -> str:
    """What a value is, in JSON's words: `a text`, `null`."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def reason_of(error: ForeignTextError, source: str) -> str:
    """The error's message without the source that it begins with, to be said after "X is not a manifest: "."""
    return error.message.removeprefix(source).strip().removeprefix("can't be used: ")


class Members:
    """Takes the members of a JSON object one by one, each with its type and limits.

    Every method raises ForeignTextError with the place (`files[3].size_bytes`) for a member that is missing (where no
    default is given), of another type or outside its limits. true and false are not numbers. Members that nobody
    asks for are ignored: a newer fedml may have written them.
    """

    def __init__(self, value: object, *, source: str, place: str = "") -> None:
        self.source = source
        self._place = place
        if not isinstance(value, Mapping):
            raise _error(source, f"can't be used: {shown_place(place) or 'its top'} is {kind_of(value)}, not an object")
        self._values: Mapping[str, Any] = value

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def any(self, name: str, default: Any = ...) -> Any:
        """The member as it is."""
        if name in self._values:
            return self._values[name]
        if default is ...:
            raise self.wrong(name, "is missing")
        return default

    def text(self, name: str, default: Any = ..., *, chars_max: int = 10_000) -> str:
        """A text."""
        value = self.any(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, f"is {kind_of(value)}, not a text")
        if len(value) > chars_max:
            raise self.wrong(name, f"has {len(value):,} characters; the limit is {chars_max:,}")
        if not is_text(value):
            raise self.wrong(name, "is not valid Unicode text")
        return value

    def whole(self, name: str, default: Any = ..., *, least: int = 0, most: int = WHOLE_NUMBER_MAX) -> int:
        """A whole number from `least` to `most`."""
        value = self.any(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(name, f"is {kind_of(value)}, not a whole number")
        if not least <= value <= most:
            raise self.wrong(name, f"is {_shown(value)}, not a number from {least} to {most}")
        return value

    def number(self, name: str, default: Any = ..., *, least: float = -math.inf, most: float = math.inf) -> float:
        """A finite number from `least` to `most`."""
        value = self.any(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, f"is {kind_of(value)}, not a number")
        if not (-1e308 < value < 1e308 and least <= value <= most):
            raise self.wrong(name, f"is {_shown(value)}, not a number from {least:g} to {most:g}")
        return value

    def flag(self, name: str, default: Any = ...) -> bool:
        """true or false."""
        value = self.any(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, f"is {kind_of(value)}, not true or false")
        return value

    def items(self, name: str, default: Any = ..., *, items_max: int = 1_000_000) -> list[Any]:
        """A list."""
        value = self.any(name, default)
        if not isinstance(value, (list, tuple)):
            raise self.wrong(name, f"is {kind_of(value)}, not a list")
        if len(value) > items_max:
            raise self.wrong(name, f"has {len(value):,} items; the limit is {items_max:,}")
        return list(value)

    def texts(self, name: str, default: Any = ..., *, items_max: int = 100_000, chars_max: int = 10_000) -> list[str]:
        """A list of texts."""
        listed = self.items(name, default, items_max=items_max)
        inner = Members(dict(enumerate(listed)), source=self.source, place=self.place_of(name))
        return [inner.text(number, chars_max=chars_max) for number in inner._values]

    def object(self, name: str, default: Any = ..., *, items_max: int = 1_000_000) -> dict[str, Any]:
        """An object."""
        value = self.any(name, default)
        if not isinstance(value, Mapping):
            raise self.wrong(name, f"is {kind_of(value)}, not an object")
        if len(value) > items_max:
            raise self.wrong(name, f"has {len(value):,} members; the limit is {items_max:,}")
        return dict(value)

    def members(self, name: str, default: Any = ..., *, items_max: int = 1_000_000) -> Members:
        """An object, to take its own members from."""
        found = self.object(name, default, items_max=items_max)
        return Members(found, source=self.source, place=self.place_of(name))

    def each(self, name: str, default: Any = ...) -> Iterator[Members]:
        """A list of objects."""
        place = self.place_of(name)
        for number, item in enumerate(self.items(name, default, items_max=1_000_000)):
            yield Members(item, source=self.source, place=f"{place}[{number}]")

    def text_map(self, name: str, default: Any = ..., *, chars_max: int = 10_000) -> dict[str, str]:
        """An object whose values are texts."""
        inner = self.members(name, default, items_max=100_000)
        return {key: inner.text(inner.name(key), chars_max=chars_max) for key in inner._values}

    def names(self) -> Iterator[str]:
        """The names of all members."""
        return iter(self._values)

    def name(self, name: str, chars_max: int = 256) -> str:
        """The name of a member itself, where names come from outside too."""
        if len(name) > chars_max or not is_text(name):
            raise self.wrong(_shown(name), f"is not a name of at most {chars_max:,} characters")
        return name

    def place_of(self, name: str | int) -> str:
        """Where a member stands: `key.slot`."""
        step = f"[{name}]" if isinstance(name, int) else name
        return f"{self._place}.{step}" if self._place and not isinstance(name, int) else f"{self._place}{step}"

    def wrong(self, name: str | int, problem: str) -> ForeignTextError:
        """The error for a member: what is wrong with it, and where."""
        return _error(self.source, f"can't be used: {shown_place(self.place_of(name))} {problem}")


def understood(source: str, build: Callable[[], Value]) -> Value:
    """What `build` makes of values that were parsed; whatever it stumbles over is a ForeignTextError of `source`."""
    try:
        return build()
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, ArithmeticError) as error:
        raise _error(source, f"can't be used: {type(error).__name__} {str(error)[:200]}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"an object has the name {_shown(name)} twice")
    return found


def _mark_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found |= {name: Unusable("its name stands twice") for name, count in Counter(names).items() if count > 1}
    return found


def _mark_too_long(digits: str) -> Any:
    try:
        return int(digits)
    except ValueError:
        return Unusable("the number has too many digits")


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if "digits" in str(error):
        return "a number has too many digits"
    return str(error)


def _shown(value: object) -> str:
    """A foreign value in a message: short, and in characters that can be printed."""
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number of many digits"
    text = ascii(value)
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "…"


def _error(source: str, problem: str) -> ForeignTextError:
    return ForeignTextError(f"{source} {problem}", hint="look at who wrote it; fedml does not use it as it is")
