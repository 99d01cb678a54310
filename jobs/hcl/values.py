"""Converts, compares and unifies values.

HCL's values are Python's: None, bool, str, numbers (`jobs.hcl.numbers`), list (tuples; ListValue and SetValue for lists
and sets), and dict with str keys (objects; MapValue for maps).
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from jobs.durations import parse_duration
from jobs.hcl.numbers import BigFloat, Number, parse
from jobs.hcl.numbers import NotComputed as NotComputed
from jobs.hcl.numbers import ValueProblem as ValueProblem
from jobs.hcl.numbers import number as rounded


class ListValue(list[object]):
    """A list, whose elements have one type. A plain Python list is a tuple: the language's `[…]`."""


class MapValue(dict[str, object]):
    """A map, whose elements have one type. A plain dict is an object: the language's `{…}`."""


class SetValue(list[object]):
    """A set: no duplicates, in order, without indexes."""


def text(value: str) -> str:
    """Normalizes a string as HCL does: form C, with halves of surrogate pairs replaced."""
    if value.isascii():
        return value
    return unicodedata.normalize("NFC", value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def parse_number(digits: str) -> Number:
    """Parses a number in decimal notation."""
    value = parse(digits)
    if value is None:
        raise ValueProblem("a number is required")
    return value


def from_python(value: object) -> object:
    """Converts a Python value (bool, int, float, list, dict, str, None) to an HCL value."""
    if isinstance(value, float):
        return _parsed_float(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (list, tuple)):
        return [from_python(item) for item in value]
    if isinstance(value, dict):
        return {text(str(key)): from_python(item) for key, item in value.items()}
    if type(value) is int:
        return rounded(value)
    if value is None or isinstance(value, (bool, BigFloat)):
        return value
    raise ValueProblem(f"a value of Python's type {type(value).__name__} can't be used in a jobspec")


def _parsed_float(value: float) -> Number:
    try:
        return parse_number(repr(value))
    except ValueProblem:
        raise ValueProblem("the number is too large or too small") from None


def to_json(value: object) -> object:
    """Converts the value for the json module. Fractions and integers beyond 64 bits become floats, or raise
    ValueProblem."""
    if isinstance(value, BigFloat) and value.is_whole:
        value = int(value)
    if isinstance(value, BigFloat) or (type(value) is int and not -(2**63) <= value < 2**63):
        try:
            return float(value)
        except OverflowError:
            raise ValueProblem("the number is too large for JSON") from None
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(value[key]) for key in sorted(value)}
    return value


def type_name(value: object) -> str:
    """Returns the name of the value's type for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, BigFloat)):
        return "number"
    if isinstance(value, SetValue):
        return "set"
    if isinstance(value, list):
        return "list"
    return "map" if isinstance(value, MapValue) else "object"


def to_string(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, BigFloat)):
        return str(value)
    raise ValueProblem(f"a string is required, not {described(value)}")


def to_number(value: object) -> Number:
    if isinstance(value, (int, BigFloat)) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return parse_number(value)
        except ValueProblem:
            raise ValueProblem(f"a number is required, not {described(value)}") from None
    raise ValueProblem(f"a number is required, not {described(value)}")


def to_whole_number(value: object) -> int:
    given = to_number(value)
    if isinstance(given, BigFloat) and not given.is_whole:
        raise ValueProblem(f"a whole number is required, not {given}")
    whole = int(given)
    if whole.bit_length() > 64:
        raise ValueProblem(f"a whole number from {-(2**63)} to {2**63 - 1} is required, not {given}")
    return whole


def to_duration(text: str) -> int:
    """Parses a duration such as "1h30m" into nanoseconds."""
    try:
        return parse_duration(text)
    except ValueError as problem:
        raise ValueProblem(str(problem)) from None


def to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "1"):
        return True
    if value in ("false", "0"):
        return False
    raise ValueProblem(f"a bool is required, not {described(value)}")


def sort_key(value: object) -> tuple[int, object]:
    """Returns the sort key of a set's element: numbers by size, strings by code point, others by their JSON."""
    if isinstance(value, bool):
        return (0, value)
    if isinstance(value, (int, BigFloat)):
        return (1, value)
    if isinstance(value, str):
        return (2, value)
    return (3, json.dumps(to_json(value), sort_keys=True, ensure_ascii=False))


def make_set(items: list[object]) -> SetValue:
    """Makes a set: the distinct elements in a set's order."""
    by_key = {sort_key(item): item for item in unify(items)}
    return SetValue(by_key[key] for key in sorted(by_key))


def equal(left: object, right: object) -> bool:
    """Compares as HCL's `==`: without conversion, so that 1 equals neither "1" nor true, and no list equals a tuple."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (list, dict)) and type(left) is not type(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(equal(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(item, right[key]) for key, item in left.items())
    return left == right


def pairs(collection: list[Any] | dict[str, Any]) -> list[tuple[Any, Any]]:
    """Returns what `for` and `for_each` iterate over. A list's keys are its indexes, a set's its elements."""
    if isinstance(collection, dict):
        return sorted(collection.items())
    if isinstance(collection, SetValue):
        return [(item, item) for item in collection]
    return list(enumerate(collection))


def unify(items: list[object]) -> list[object]:
    """Converts values to one type, as for both results of `?:` and the elements of a list.

    Primitives become strings when their types differ. Lists and objects are unified inside. Raises ValueProblem when
    there is no common type.
    """
    present = [item for item in items if item is not None]
    kinds = {type_name(item) for item in present}
    if len(kinds) <= 1 and not kinds & {"list", "set", "object", "map"}:
        return items
    if kinds <= {"string", "number", "bool"}:
        if kinds == {"number", "bool"}:
            raise ValueProblem("a number and a bool have no common type")
        return [None if item is None else to_string(item) for item in items]
    if kinds <= {"list", "set"}:
        return _unify_lists(items)
    if kinds <= {"object", "map"}:
        return _unify_objects(items)
    raise ValueProblem(" and ".join(sorted(kinds)) + " have no common type")


def _unify_lists(items: list[object]) -> list[object]:
    lists = [item for item in items if isinstance(item, list)]
    rows = _unified_tuples(lists)
    if rows is None:
        unified = iter(unify([element for item in lists for element in item]))
        made = SetValue if all(type(item) is not ListValue for item in lists) and has_set(lists) else ListValue
        rows = [made(next(unified) for _ in item) for item in lists]
    in_turn = iter(rows)
    return [next(in_turn) if isinstance(item, list) else item for item in items]


def has_set(lists: list[list[object]]) -> bool:
    """Returns whether a set is among the lists."""
    return any(isinstance(item, SetValue) for item in lists)


def _unified_tuples(lists: list[list[object]]) -> list[list[object]] | None:
    """Unifies lists of one length position by position. None for lists of other kinds."""
    if len({len(item) for item in lists}) != 1 or any(type(item) is not list for item in lists):
        return None
    columns = [unify(list(column)) for column in zip(*lists, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in lists]


def _unify_objects(items: list[object]) -> list[object]:
    objects = [item for item in items if isinstance(item, dict)]
    rows = _unified_records(objects)
    if rows is None:
        unified = iter(unify([element for item in objects for element in item.values()]))
        rows = [MapValue((name, next(unified)) for name in item) for item in objects]
    in_turn = iter(rows)
    return [next(in_turn) if isinstance(item, dict) else item for item in items]


def _unified_records(objects: list[dict[str, object]]) -> list[dict[str, object]] | None:
    """Unifies objects with the same attributes, attribute by attribute. None for others."""
    if len({frozenset(item) for item in objects}) != 1 or any(type(item) is not dict for item in objects):
        return None
    fields = {name: unify([item[name] for item in objects]) for name in objects[0]}
    if not fields:
        return [{} for _ in objects]
    return [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]


def described(value: object) -> str:
    """Describes the value's type with its article, and the value if it is a short string."""
    name = type_name(value)
    if name == "null":
        return "null"
    shown = f' "{value}"' if isinstance(value, str) and len(value) <= 40 else ""
    return f"{'an' if name[0] == 'o' else 'a'} {name}{shown}"
