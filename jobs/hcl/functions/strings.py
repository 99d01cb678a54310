"""Functions on strings."""

from __future__ import annotations

import re

from jobs.hcl.functions.formatting import format_list, format_string
from jobs.hcl.functions.function import Function
from jobs.hcl.values import ValueProblem, text, to_string, to_whole_number, type_name

MAX_INDENT = 1000
_GO_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})")


def chomp(value: object) -> str:
    return to_string(value).rstrip("\r\n")


def indent(spaces: object, value: object) -> str:
    width = to_whole_number(spaces)
    if not 0 <= width <= MAX_INDENT:
        raise ValueProblem(f"the number of spaces is from 0 to {MAX_INDENT}")
    return to_string(value).replace("\n", "\n" + " " * width)


def join(separator: object, *lists: object) -> str:
    pieces: list[str] = []
    for items in lists:
        if not isinstance(items, list):
            raise ValueProblem(f"a list of strings is required, not a {type_name(items)}")
        pieces.extend(to_string(item) for item in items)
    return to_string(separator).join(pieces)


def replace(value: object, old: object, new: object) -> str:
    return to_string(value).replace(to_string(old), to_string(new))


def regex_replace(value: object, pattern: object, replacement: object) -> str:
    """Replaces by a pattern. Go's `$1`, `${1}` and `${name}` stand for the matched groups."""
    if _can_explode(to_string(pattern)):
        raise ValueProblem("a repetition or a choice inside of a repetition is not possible in this pattern")
    try:
        compiled = re.compile(to_string(pattern))
    except (re.error, OverflowError, RecursionError) as problem:
        raise ValueProblem(f"this is not a valid regular expression: {problem}") from None
    template = to_string(replacement)

    def expand(found: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            name = reference.group(1) or reference.group(2)
            if name is None:
                return "$"
            try:
                return found.group(int(name) if name.isdecimal() else name) or ""
            except IndexError:
                return ""

        return _GO_REFERENCE.sub(group, template)

    return compiled.sub(expand, to_string(value))


def _can_explode(pattern: str) -> bool:
    """Returns whether a repeated group contains a repetition or a choice. Python's engine could run for ever on it."""
    holds_repetition = [False]
    at = 0
    plain = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", pattern, flags=re.DOTALL)
    while at < len(plain):
        letter = plain[at]
        if letter == "(":
            holds_repetition.append(False)
        elif letter == ")" and len(holds_repetition) > 1:
            inner = holds_repetition.pop()
            repeats = plain[at + 1 : at + 2] in ("*", "+", "{")
            if inner and repeats:
                return True
            holds_repetition[-1] |= inner or repeats
        elif letter in "*+{|":
            holds_repetition[-1] = True
        at += 1
    return False


def reverse(value: object) -> str:
    return to_string(value)[::-1]


def split(separator: object, value: object) -> list[str]:
    whole, between = to_string(value), to_string(separator)
    return whole.split(between) if between else list(whole)


def substring(value: object, offset: object, length: object) -> str:
    whole, start, count = to_string(value), to_whole_number(offset), to_whole_number(length)
    if start < 0:
        start = max(0, start + len(whole))
    return whole[start:] if count < 0 else whole[start : start + count]


def title(value: object) -> str:
    return re.sub(r"(?<!\w)\w", lambda found: found.group().upper(), to_string(value))


def trim(value: object, characters: object) -> str:
    return to_string(value).strip(to_string(characters))


def trim_prefix(value: object, prefix: object) -> str:
    return to_string(value).removeprefix(to_string(prefix))


def trim_suffix(value: object, suffix: object) -> str:
    return to_string(value).removesuffix(to_string(suffix))


STRING_FUNCTIONS = {
    "chomp": Function(chomp, 1, 1),
    "format": Function(format_string, 1, None, takes_null=True),
    "formatlist": Function(format_list, 1, None, takes_null=True),
    "indent": Function(indent, 2, 2),
    "join": Function(join, 2, None),
    "lower": Function(lambda value: to_string(value).lower(), 1, 1),
    "regex_replace": Function(regex_replace, 3, 3),
    "replace": Function(replace, 3, 3),
    "reverse": Function(reverse, 1, 1),
    "split": Function(split, 2, 2),
    "strlen": Function(lambda value: len(text(to_string(value))), 1, 1),
    "strrev": Function(reverse, 1, 1),
    "substr": Function(substring, 3, 3),
    "title": Function(title, 1, 1),
    "trim": Function(trim, 2, 2),
    "trimprefix": Function(trim_prefix, 2, 2),
    "trimspace": Function(lambda value: to_string(value).strip(), 1, 1),
    "trimsuffix": Function(trim_suffix, 2, 2),
    "upper": Function(lambda value: to_string(value).upper(), 1, 1),
}
