"""Functions on strings. Characters are grapheme clusters, as in Nomad."""

from __future__ import annotations

from jobs.hcl.functions.formatting import format_list, format_string
from jobs.hcl.functions.function import Function
from jobs.hcl.functions.patterns import regex_replace
from jobs.hcl.graphemes import graphemes
from jobs.hcl.limits import bounded_length
from jobs.hcl.numbers import Number, counted
from jobs.hcl.values import ListValue, NotComputed, ValueProblem, to_string, to_whole_number, type_name

INDENT_MAX = 1000
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def chomp(value: object) -> str:
    return to_string(value).rstrip("\r\n")


def indent(spaces: object, value: object) -> str:
    width, given = to_whole_number(spaces), to_string(value)
    if not 0 <= width <= INDENT_MAX:
        raise NotComputed(f"the number of spaces is from 0 to {INDENT_MAX}")
    bounded_length(len(given) + given.count("\n") * width)
    return given.replace("\n", "\n" + " " * width)


def join(separator: object, *lists: object) -> str:
    between = to_string(separator)
    pieces: list[str] = []
    for items in lists:
        if not isinstance(items, list):
            raise ValueProblem(f"a list of strings is required, not a {type_name(items)}")
        pieces.extend(to_string(item) for item in items)
    bounded_length(sum(map(len, pieces)) + len(between) * len(pieces))
    return between.join(pieces)


def lower(value: object) -> str:
    return "".join(_simple_lower(character) for character in to_string(value))


def _simple_lower(character: str) -> str:
    return "i" if character == "İ" else character.lower()


def upper(value: object) -> str:
    given = to_string(value)
    return given.upper() if given.isascii() else "".join(map(_simple_upper, given))


def _simple_upper(character: str) -> str:
    """Returns the one capital letter of a character, or the character where Unicode has only a longer form."""
    for changed in (character.upper(), character.title()):
        if len(changed) == 1:
            return changed
    return character


def title(value: object) -> str:
    """Capitalises the first letter of each word. Go's rule for words: other ASCII than letters, digits and `_` ends
    one, beyond ASCII only white space does."""
    pieces, previous = [], " "
    for character in to_string(value):
        changed = character.title() if _separates(previous) else character
        pieces.append(changed if len(changed) == 1 else character)
        previous = character
    return "".join(pieces)


def _separates(character: str) -> bool:
    if character.isascii():
        return not (character.isalnum() or character == "_")
    return character in _WHITE_SPACE


def replace(value: object, old: object, new: object) -> str:
    whole, sought, inserted = to_string(value), to_string(old), to_string(new)
    bounded_length(len(whole) + whole.count(sought) * len(inserted))
    return whole.replace(sought, inserted)


def reverse(value: object) -> str:
    return "".join(reversed(graphemes(to_string(value))))


def split(separator: object, value: object) -> ListValue:
    whole, between = to_string(value), to_string(separator)
    return ListValue(whole.split(between) if between else list(whole))


def string_length(value: object) -> Number:
    return counted(len(graphemes(to_string(value))))


def substring(value: object, offset: object, length: object) -> str:
    """Cuts out `length` characters, or all the rest for a negative length.

    As in Nomad, a negative offset counts from the end, one beyond the start counts as the start, and then a length of 0
    means all the rest too.
    """
    characters, start, count = graphemes(to_string(value)), to_whole_number(offset), to_whole_number(length)
    if start < 0:
        start = max(0, start + len(characters))
        count = count or -1
    return "".join(characters[start:] if count < 0 else characters[start : start + count])


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
    "lower": Function(lower, 1, 1),
    "regex_replace": Function(regex_replace, 3, 3),
    "replace": Function(replace, 3, 3),
    "reverse": Function(reverse, 1, 1),
    "split": Function(split, 2, 2),
    "strlen": Function(string_length, 1, 1),
    "strrev": Function(reverse, 1, 1),
    "substr": Function(substring, 3, 3),
    "title": Function(title, 1, 1),
    "trim": Function(trim, 2, 2),
    "trimprefix": Function(trim_prefix, 2, 2),
    "trimspace": Function(lambda value: to_string(value).strip(_WHITE_SPACE), 1, 1),
    "trimsuffix": Function(trim_suffix, 2, 2),
    "upper": Function(upper, 1, 1),
}
