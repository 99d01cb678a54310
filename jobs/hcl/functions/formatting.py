"""The functions format() and formatlist()."""

from __future__ import annotations

import re
from typing import NamedTuple

from jobs.hcl.functions.encoding import json_text
from jobs.hcl.graphemes import graphemes
from jobs.hcl.limits import bounded_length
from jobs.hcl.numbers import (
    BigFloat,
    Number,
    decimal_digits,
    is_negative,
    plain_text,
    rounded_digits,
    shortest_digits,
)
from jobs.hcl.values import ListValue, NotComputed, ValueProblem, to_bool, to_number, to_string

WIDTH_MAX = 1000
_VERB = re.compile(r"%([-+ #0]*)([1-9]\d*)?(?:\.(\d*))?(?:\[([1-9]\d*)\])?([a-zA-Z])", re.ASCII)
_BASES = {"b": ("b", "0b"), "d": ("d", ""), "o": ("o", "0"), "x": ("x", "0x"), "X": ("X", "0X")}


class _Verb(NamedTuple):
    """One `%…`. `width` is 0 and `precision` None where it has none."""

    letter: str
    flags: str
    width: int
    precision: int | None


def format_string(template: object, *args: object) -> str:
    """Formats like Go's Sprintf, with the verbs v t b d o x X e E f g G s q."""
    pieces: list[str] = []
    pattern = to_string(template)
    used, following, at = 0, 0, 0
    while (percent := pattern.find("%", at)) >= 0:
        pieces.append(pattern[at:percent])
        if pattern.startswith("%%", percent):
            pieces.append("%")
            at = percent + 2
            continue
        found = _VERB.match(pattern, percent)
        if found is None:
            raise ValueProblem(f'"{pattern[percent : percent + 10]}" is not a valid verb')
        at = found.end()
        flags, width, precision, position, letter = found.groups()
        following = _size(position) - 1 if position else following
        if following >= len(args):
            raise ValueProblem(f'there is no argument for "{found.group()}"')
        verb = _Verb(letter, flags, _size(width), None if precision is None else _size(precision))
        pieces.append(_formatted(verb, args[following]))
        following += 1
        used = max(used, following)
    if used < len(args):
        raise ValueProblem(f"{len(args)} arguments, but the format takes {used}")
    bounded_length(sum(map(len, pieces)))
    return "".join([*pieces, pattern[at:]])


def format_list(template: object, *args: object) -> ListValue:
    """Applies the format to each element of the list arguments, which have equal length. Repeats the others."""
    lists = [arg for arg in args if isinstance(arg, list)]
    lengths = {len(items) for items in lists}
    if len(lengths) > 1:
        raise ValueProblem("the lists are of different lengths")
    count = lengths.pop() if lengths else 1
    texts, length = ListValue(), 0
    for n in range(count):
        texts.append(format_string(template, *(arg[n] if isinstance(arg, list) else arg for arg in args)))
        length = bounded_length(length + len(str(texts[-1])))
    return texts


def _size(digits: str | None) -> int:
    """Reads a width, precision or position."""
    size = int(digits[-9:]) if digits else 0
    if size > WIDTH_MAX or len(digits or "") > 9:
        raise NotComputed(f"a width is at most {WIDTH_MAX}")
    return size


def _formatted(verb: _Verb, value: object) -> str:
    if verb.letter == "v":
        return _padded(verb, _as_it_is(verb, value))
    if value is None:
        raise ValueProblem(f"null can't be formatted with %{verb.letter}")
    if verb.letter == "t":
        return "true" if to_bool(value) else "false"
    if verb.letter in _BASES:
        return _integer(verb, to_number(value))
    if verb.letter in "eEfgG":
        return _real(verb, to_number(value))
    if verb.letter in "sq":
        shown = to_string(value)
        if verb.precision:
            shown = "".join(graphemes(shown)[: verb.precision])
        return _padded(verb, shown if verb.letter == "s" else json_text(shown))
    raise ValueProblem(f'there is no verb "%{verb.letter}"')


def _as_it_is(verb: _Verb, value: object) -> str:
    """Formats for %v: a string and a number plainly, all else and with `#` as JSON."""
    if "#" not in verb.flags:
        if isinstance(value, str):
            return value
        if isinstance(value, (int, BigFloat)) and not isinstance(value, bool):
            sign = "-" if is_negative(value) else ""
            return sign + _general(*shortest_digits(value), None, "e")
    return json_text(value)


def _padded(verb: _Verb, shown: str) -> str:
    fill = ("0" if "0" in verb.flags else " ") * (verb.width - len(graphemes(shown)))
    return shown + fill if "-" in verb.flags else fill + shown


def _signed(verb: _Verb, sign: str, digits: str, *, zeros: bool = True) -> str:
    """Joins sign and digits, and pads them to the width."""
    sign = sign or ("+" if "+" in verb.flags else " " if " " in verb.flags else "")
    fill = verb.width - len(sign) - len(digits)
    if "-" in verb.flags:
        return sign + digits + " " * fill
    if "0" in verb.flags and zeros:
        return sign + "0" * fill + digits
    return " " * fill + sign + digits


def _integer(verb: _Verb, value: Number) -> str:
    if isinstance(value, BigFloat) and not value.is_whole:
        raise ValueProblem(f"a whole number is required, not {value}")
    whole = int(value)
    how, prefix = _BASES[verb.letter]
    digits = format(abs(whole), how)
    if verb.precision is not None:
        digits = "" if whole == 0 and verb.precision == 0 else digits.rjust(verb.precision, "0")
    if "#" in verb.flags:
        digits = prefix + digits
    return _signed(verb, "-" if whole < 0 else "", digits, zeros=verb.precision is None)


def _real(verb: _Verb, value: Number) -> str:
    is_general = verb.letter in "gG"
    places = verb.precision
    if is_general and places is None:
        digits, point = shortest_digits(value)
    else:
        digits, point = _exact_digits(value)
        places = 6 if places is None else max(places, 1) if is_general else places
        count = places if is_general else places + (point if verb.letter == "f" else 1)
        digits, point = rounded_digits(digits, point, count)
    if is_general:
        shown = _general(digits, point, places, "E" if verb.letter == "G" else "e")
    elif verb.letter == "f":
        shown = _fixed(digits, point, places or 0)
    else:
        shown = _scientific(digits, point, places or 0, verb.letter)
    return _signed(verb, "-" if is_negative(value) else "", shown)


def _exact_digits(value: Number) -> tuple[str, int]:
    if isinstance(value, int):
        return decimal_digits(abs(value), 0)
    return decimal_digits(abs(value.mantissa), value.exponent)


def _general(digits: str, point: int, places: int | None, letter: str) -> str:
    """Formats in plain notation, or in scientific notation where the exponent is large for that many places."""
    limit = 6 if places is None else places
    if places is not None and places > len(digits) >= point:
        limit = len(digits)
    if digits and not -4 <= point - 1 < limit:
        return _scientific(digits, point, min(len(digits), places or len(digits)) - 1, letter)
    return plain_text(digits, point, negative=False)


def _fixed(digits: str, point: int, places: int) -> str:
    plain = plain_text(digits, point, negative=False)
    whole, _, fraction = plain.partition(".")
    return f"{whole}.{fraction.ljust(places, '0')}" if places else whole


def _scientific(digits: str, point: int, places: int, letter: str) -> str:
    first, rest = digits[:1] or "0", digits[1:].ljust(places, "0")[:places]
    exponent = point - 1 if digits else 0
    return f"{first}{'.' + rest if places > 0 else ''}{letter}{'-' if exponent < 0 else '+'}{abs(exponent):02}"
