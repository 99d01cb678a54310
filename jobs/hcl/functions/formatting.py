"""The functions format() and formatlist()."""

from __future__ import annotations

import re
from decimal import Decimal

from jobs.hcl.functions.encoding import json_text
from jobs.hcl.values import LARGEST_FLOAT_EXPONENT, ValueProblem, to_bool, to_number, to_string, to_whole_number

MAX_WIDTH = 1000
_VERB = re.compile(r"%([-+ #0]*)(\d{0,9})(?:\.(\d{0,9}))?(?:\[(\d{1,9})\])?(.)", re.DOTALL)


def format_string(template: object, *args: object) -> str:
    """Formats like Go's Sprintf, with the verbs v t b d o x X e E f g G s q."""
    pieces: list[str] = []
    pattern = to_string(template)
    used, following, at = 0, 0, 0
    while (percent := pattern.find("%", at)) >= 0:
        pieces.append(pattern[at:percent])
        found = _VERB.match(pattern, percent)
        if found is None:
            raise ValueProblem("the format ends within a verb")
        at = found.end()
        flags, width, precision, position, verb = found.groups()
        if verb == "%":
            pieces.append("%")
            continue
        following = int(position) - 1 if position else following
        if not 0 <= following < len(args):
            raise ValueProblem(f'there is no argument for "{found.group()}"')
        pieces.append(_formatted(verb, flags, int(width or 0), precision, args[following]))
        following += 1
        used = max(used, following)
    if used < len(args):
        raise ValueProblem(f"{len(args)} arguments, but the format takes {used}")
    return "".join([*pieces, pattern[at:]])


def format_list(template: object, *args: object) -> list[str]:
    """Applies the format to each element of the list arguments, which have equal length. Repeats the others."""
    lists = [arg for arg in args if isinstance(arg, list)]
    lengths = {len(items) for items in lists}
    if len(lengths) > 1:
        raise ValueProblem("the lists are of different lengths")
    count = lengths.pop() if lengths else 1
    return [format_string(template, *(arg[n] if isinstance(arg, list) else arg for arg in args)) for n in range(count)]


def _formatted(verb: str, flags: str, width: int, precision: str | None, value: object) -> str:
    places = None if precision is None else int(precision or 0)
    if width > MAX_WIDTH or (places or 0) > MAX_WIDTH:
        raise ValueProblem(f"a width is at most {MAX_WIDTH}")
    if verb == "v":
        if isinstance(value, str):
            verb = "q" if "#" in flags else "s"
        elif isinstance(value, bool):
            verb = "t"
        elif isinstance(value, (int, Decimal)):
            return _padded(to_string(value) if places is None else _number("g", flags, places, value), flags, width)
        else:
            return _padded(json_text(value), flags, width)
    if value is None:
        raise ValueProblem(f"null can't be formatted with %{verb}")
    if verb == "s":
        return _padded(to_string(value)[:places], flags, width)
    if verb == "q":
        return _padded(json_text(to_string(value)[:places]), flags, width)
    if verb == "t":
        return _padded("true" if to_bool(value) else "false", flags, width)
    if verb in "bdoxXeEfgG":
        return _padded(_number(verb, flags, places, value), flags, width)
    raise ValueProblem(f'there is no verb "%{verb}"')


def _number(verb: str, flags: str, places: int | None, value: object) -> str:
    sign = "+" if "+" in flags else " " if " " in flags else ""
    if verb in "bdoxX":
        return format(to_whole_number(value), sign + verb)
    given = to_number(value)
    if verb != "f" and Decimal(given).adjusted() > LARGEST_FLOAT_EXPONENT:
        raise ValueProblem(f"the number is too large for %{verb}")
    if verb in "gG":
        return format(float(given), f"{sign}.{places}{verb}" if places is not None else f"{sign}{verb}")
    return format(Decimal(given) if verb == "f" else float(given), f"{sign}.{6 if places is None else places}{verb}")


def _padded(shown: str, flags: str, width: int) -> str:
    if "-" in flags:
        return shown.ljust(width)
    if "0" in flags:
        return shown.zfill(width)
    return shown.rjust(width)
