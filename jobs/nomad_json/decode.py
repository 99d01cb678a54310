"""Decodes a job that is written as JSON, by the rules of `nomad job run -json`.

Go ignores the case of keys, takes null for an absent value, merges objects whose key is there twice, and ignores what
stands after the document. It converts nothing: a number in quotes is not a number, 50.0 is not an integer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from jobs.errors import InvalidSpec
from jobs.hcl.schema import INTEGER_RANGES, BlockType, Field
from jobs.hcl.schema_job import BLOCK_TYPES

_WHOLE_IN_FLOAT_MAX = 2**53
_HOW_TO_EXPORT = "it should be what `nomad job run -output` prints"


_SAME_LETTER = {0x17F: "s", 0x212A: "k"}
"""Other forms of ASCII letters: Go's comparison of keys counts them as the same."""


_SERVER_FLAGS = {"Dispatched", "Stable", "Stop"}
_SERVER_NUMBERS = {"CreateIndex", "JobModifyIndex", "ModifyIndex", "SubmitTime", "Version"}
_SERVER_TEXTS = {
    "ConsulNamespace",
    "DispatchIdempotencyToken",
    "ID",
    "Namespace",
    "NomadTokenID",
    "ParentID",
    "Payload",
    "SpecType",
    "Status",
    "StatusDescription",
    "VaultNamespace",
}


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object in order, with those whose key is there twice."""


class _Real(str):
    """A number with a fraction or an exponent, as written."""

    __slots__ = ()


def decode_job(text: str, filename: str) -> dict[str, Any]:
    """Returns the job with Nomad's own keys. Members that fedml doesn't know stay. Raises InvalidSpec."""
    members = _parsed(text, filename)
    if not isinstance(members, _Members):
        raise InvalidSpec(f"{filename} holds no Nomad job: it is {_kind(members)}, not an object", hint=_HOW_TO_EXPORT)
    decoder = _Decoder(filename)
    nested = [value for key, value in members if _folded(key) == "job" and value is not None]
    job: dict[str, Any] = {}
    try:
        for value in nested or [_Members(member for member in members if _folded(member[0]) != "job")]:
            decoder.block(BLOCK_TYPES["job"], value, "Job" if nested else "", job)
    except RecursionError:
        raise InvalidSpec(f"{filename}: nested too deep", hint="look at what made the file") from None
    if not job.get("ID"):
        _refuse_without_id(nested, filename)
    return job


def _parsed(text: str, filename: str) -> Any:
    if text.startswith("\ufeff"):
        raise InvalidSpec(f"{filename}: Nomad reads no JSON that begins with a byte order mark", hint="save it without")
    decoder = json.JSONDecoder(object_pairs_hook=_Members, parse_float=_Real, parse_constant=_refuse_constant)
    try:
        value, _ = decoder.raw_decode(text, len(text) - len(text.lstrip(" \t\r\n")))
    except json.JSONDecodeError as error:
        raise InvalidSpec(f"{filename}:{error.lineno}:{error.colno}: broken JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        problem = str(error) if "not a JSON number" in str(error) else "a number too long, or nested too deep"
        raise InvalidSpec(f"{filename}: {problem}", hint="look at what made the file") from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_without_id(jobs: list[Any], filename: str) -> NoReturn:
    known = {_folded(field.api) for field in BLOCK_TYPES["job"].fields}
    if any(
        len(job) == 1 and isinstance(job[0][1], _Members) and _folded(job[0][0]) not in known
        for job in jobs
        if isinstance(job, _Members)
    ):
        raise InvalidSpec(
            f"{filename} is HCL in JSON syntax, which fedml doesn't read",
            hint="write it as HCL, or give the JSON that `nomad job run -output` prints of it",
        )
    raise InvalidSpec(f'{filename} holds no Nomad job: neither a "Job" object nor an "ID"', hint=_HOW_TO_EXPORT)


class _Decoder:
    """Decodes values by the tables of blocks. `place` says in errors where a value stands."""

    def __init__(self, filename: str) -> None:
        self.filename = filename

    def block(self, kind: BlockType, value: Any, place: str, into: dict[str, Any] | None = None) -> dict[str, Any]:
        """Decodes an object. Adds to what an earlier member of the same key gave."""
        if not isinstance(value, _Members):
            self._wrong(value, place, "an object")
        decoded = {} if into is None else into
        fields = {field.api: field for field in kind.fields}
        by_folded = {_folded(field.api): field for field in kind.fields}
        for key, item in value:
            field = fields.get(key) or by_folded.get(_folded(key))
            if field is None:
                decoded[_text(key)] = _plain(item)
                continue
            found = self._field(field, item, f"{place}.{field.api}" if place else field.api, decoded.get(field.api))
            if found is not None or field.kind.absent is None:
                decoded[field.api] = found
        return decoded

    def _field(self, field: Field, value: Any, place: str, earlier: Any) -> Any:
        how = field.kind.how
        if value is None:
            return None
        if how == "one":
            return self.block(BLOCK_TYPES[field.block], value, place, earlier)
        if how == "many":
            return [self.block(BLOCK_TYPES[field.block], item, where) for item, where in self._items(value, place)]
        if how == "by_label":
            kind = BLOCK_TYPES[field.block]
            return self._map(value, place, earlier, lambda item, where: self.block(kind, item, where))
        if how in ("text_map", "text_map_or_argument", "text_map_argument"):
            return self._map(value, place, earlier, self._string)
        if how == "texts_map":
            return self._map(value, place, earlier, self._strings)
        if how == "free_form":
            return self._map(value, place, earlier, self._any)
        if how == "strings":
            return self._strings(value, place)
        if how == "ports":
            return [self._whole(item, where, "uint16") for item, where in self._items(value, place)]
        if how in ("string", "label"):
            return self._string(value, place)
        if how == "bool":
            return value if isinstance(value, bool) else self._wrong(value, place, "true or false")
        if how == "server":
            return self._server_field(field, value, place)
        return self._whole(value, place, how)

    def _server_field(self, field: Field, value: Any, place: str) -> Any:
        if field.api in _SERVER_FLAGS:
            return value if isinstance(value, bool) else self._wrong(value, place, "true or false")
        if field.api in _SERVER_NUMBERS:
            return self._whole(value, place, "uint64" if field.api != "SubmitTime" else "int64")
        return self._string(value, place) if field.api in _SERVER_TEXTS else _plain(value)

    def _items(self, value: Any, place: str) -> list[tuple[Any, str]]:
        if not isinstance(value, list) or isinstance(value, _Members):
            self._wrong(value, place, "a list")
        return [(item, f"{place}[{number}]") for number, item in enumerate(value)]

    def _map(self, value: Any, place: str, earlier: Any, decode: Callable[[Any, str], Any]) -> dict[str, Any]:
        if not isinstance(value, _Members):
            self._wrong(value, place, "an object")
        return {**(earlier or {}), **{_text(key): decode(item, f"{place}.{key}") for key, item in value}}

    def _string(self, value: Any, place: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str) or isinstance(value, _Real):
            self._wrong(value, place, "a string")
        return _text(value)

    def _strings(self, value: Any, place: str) -> list[str]:
        return [] if value is None else [self._string(item, where) for item, where in self._items(value, place)]

    def _whole(self, value: Any, place: str, how: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            if how == "duration":
                self._wrong(value, place, "a duration, which is an integer of nanoseconds: 15s is 15000000000")
            self._wrong(value, place, "an integer")
        least, most = INTEGER_RANGES["int64" if how == "duration" else how]
        if not least <= value <= most:
            self._wrong(value, place, f"an integer from {least} to {most}")
        return value

    def _any(self, value: Any, place: str) -> Any:
        """Decodes a value of any type. Its numbers are floats."""
        plain = _plain(value)
        if plain in (float("inf"), float("-inf")):
            self._wrong(value, place, "a number that a float can hold")
        return plain

    def _wrong(self, value: Any, place: str, wanted: str) -> NoReturn:
        shown = f" {value}" if _kind(value) == "the number" else ""
        raise InvalidSpec(f"{self.filename}: {place or 'the job'} is {_kind(value)}{shown[:60]}, not {wanted}")


def _plain(value: Any) -> Any:
    """Converts a value that no table describes to Python's types."""
    if isinstance(value, _Members):
        return {_text(key): _plain(item) for key, item in value}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, _Real) or (type(value) is int and abs(value) > _WHOLE_IN_FLOAT_MAX):
        number = float(value) if isinstance(value, _Real) or abs(value) < 10**309 else float("inf")
        return int(number) if number.is_integer() and abs(number) < _WHOLE_IN_FLOAT_MAX else number
    return _text(value) if isinstance(value, str) else value


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, _Real)):
        return "the number"
    if isinstance(value, str):
        return "a string"
    return "an object" if isinstance(value, _Members) else "a list"


def _text(value: str) -> str:
    """Replaces halves of surrogate pairs, as Go does."""
    return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _folded(key: str) -> str:
    return key.translate(_SAME_LETTER).lower()
