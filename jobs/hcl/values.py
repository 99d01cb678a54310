"""Converts, compares and unifies values.

HCL's values are Python's: None, bool, str, int and Decimal (an int for every whole number), list (lists and tuples),
SetValue, and dict with str keys (maps and objects).
"""

from __future__ import annotations

import json
import unicodedata
from decimal import Context, Decimal, InvalidOperation, Overflow
from typing import Any

from jobs.durations import parse_duration

MAX_EXPONENT = 4096
LARGEST_FLOAT_EXPONENT = 307
ARITHMETIC = Context(prec=155, Emin=-999999, Emax=999999, traps=[InvalidOperation, Overflow])


class ValueProblem(Exception):
    """A value can't be used as required. The message says what is required."""


class SetValue(list[object]):
    """A set: no duplicates, in order, without indexes."""


def text(value: str) -> str:
    """Normalizes a string as HCL does: form C, with halves of surrogate pairs replaced."""
    if value.isascii():
        return value
    return unicodedata.normalize("NFC", value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def number(value: Decimal) -> int | Decimal:
    """Returns a whole number as int. Raises ValueProblem where the exponent is too large to be useful."""
    if not value.is_finite() or abs(value.adjusted()) > MAX_EXPONENT:
        raise ValueProblem("the number is too large or too small")
    if value == value.to_integral_value(context=ARITHMETIC):
        return int(value)
    return value


def parse_number(digits: str) -> int | Decimal:
    """Parses a number in decimal notation."""
    try:
        if not digits.isascii() or "_" in digits or len(digits) > MAX_EXPONENT or digits != digits.strip():
            raise ValueProblem("a number is required")
        if digits.isdigit():
            return int(digits)
        return number(ARITHMETIC.create_decimal(digits))
    except (InvalidOperation, Overflow):
        raise ValueProblem("a number is required") from None


def from_python(value: object) -> object:
    """Converts a Python value (bool, int, float, list, dict, str, None) to an HCL value."""
    if isinstance(value, float):
        return number(ARITHMETIC.create_decimal(repr(value)))
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, (list, tuple)):
        return [from_python(item) for item in value]
    if isinstance(value, dict):
        return {text(str(key)): from_python(item) for key, item in value.items()}
    if type(value) is int and value.bit_length() > 3 * MAX_EXPONENT:
        raise ValueProblem("the number is too large or too small")
    if value is None or isinstance(value, (bool, int)):
        return value
    raise ValueProblem(f"a value of Python's type {type(value).__name__} can't be used in a jobspec")


def to_json(value: object) -> object:
    """Converts the value for the json module. Decimals and integers beyond 64 bits become floats, or raise
    ValueProblem."""
    if isinstance(value, Decimal) or (type(value) is int and not -(2**63) <= value < 2**63):
        if Decimal(value).adjusted() > LARGEST_FLOAT_EXPONENT:
            raise ValueProblem("the number is too large for JSON")
        return float(value)
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(value[key]) for key in sorted(value)}
    return value


def number_text(value: int | Decimal) -> str:
    """Formats a number in plain decimal notation."""
    if isinstance(value, int):
        return str(value)
    return format(value.normalize(ARITHMETIC), "f")


def type_name(value: object) -> str:
    """Returns the name of the value's type for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, Decimal)):
        return "number"
    if isinstance(value, SetValue):
        return "set"
    return "list" if isinstance(value, list) else "object"


def to_string(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return number_text(value)
    raise ValueProblem(f"a string is required, not {described(value)}")


def to_number(value: object) -> int | Decimal:
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return parse_number(value)
        except ValueProblem:
            raise ValueProblem(f"a number is required, not {described(value)}") from None
    raise ValueProblem(f"a number is required, not {described(value)}")


def to_whole_number(value: object) -> int:
    whole = to_number(value)
    if not isinstance(whole, int):
        raise ValueProblem(f"a whole number is required, not {number_text(whole)}")
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
    if isinstance(value, (int, Decimal)):
        return (1, value)
    if isinstance(value, str):
        return (2, value)
    return (3, json.dumps(to_json(value), sort_keys=True))


def make_set(items: list[object]) -> SetValue:
    """Makes a set: the distinct elements in a set's order."""
    by_key = {sort_key(item): item for item in unify(items)}
    return SetValue(by_key[key] for key in sorted(by_key))


def equal(left: object, right: object) -> bool:
    """Compares as HCL's `==`: without conversion, so that 1 equals neither "1" nor true."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
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
    if len(kinds) <= 1 and not kinds & {"list", "set", "object"}:
        return items
    if kinds <= {"string", "number", "bool"}:
        if kinds == {"number", "bool"}:
            raise ValueProblem("a number and a bool have no common type")
        return [None if item is None else to_string(item) for item in items]
    if kinds <= {"list", "set"}:
        return _unify_lists(items)
    if kinds == {"object"}:
        return _unify_objects(items)
    raise ValueProblem(" and ".join(sorted(kinds)) + " have no common type")


def _unify_lists(items: list[object]) -> list[object]:
    lists = [item for item in items if isinstance(item, list)]
    rows = _unified_tuples(lists)
    if rows is None:
        unified = iter(unify([element for item in lists for element in item]))
        rows = [[next(unified) for _ in item] for item in lists]
    in_turn = iter(rows)
    return [next(in_turn) if isinstance(item, list) else item for item in items]


def _unified_tuples(lists: list[list[object]]) -> list[list[object]] | None:
    """Unifies lists of one length position by position. None where that fails."""
    if len({len(item) for item in lists}) != 1 or any(isinstance(item, SetValue) for item in lists):
        return None
    try:
        columns = [unify(list(column)) for column in zip(*lists, strict=True)]
    except ValueProblem:
        return None
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in lists]


def _unify_objects(items: list[object]) -> list[object]:
    objects = [item for item in items if isinstance(item, dict)]
    rows = _unified_records(objects)
    if rows is None:
        unified = iter(unify([element for item in objects for element in item.values()]))
        rows = [{name: next(unified) for name in item} for item in objects]
    in_turn = iter(rows)
    return [next(in_turn) if isinstance(item, dict) else item for item in items]


def _unified_records(objects: list[dict[str, object]]) -> list[dict[str, object]] | None:
    """Unifies objects with the same attributes, attribute by attribute. None where that fails."""
    if len({frozenset(item) for item in objects}) != 1:
        return None
    try:
        fields = {name: unify([item[name] for item in objects]) for name in objects[0]}
    except ValueProblem:
        return None
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
