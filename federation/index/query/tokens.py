"""Splits the text of a condition into tokens, each with its place and value. Raises `WhereError`, with a caret."""

from __future__ import annotations

import re
from typing import Literal

from federation.errors import UsageError
from jobs.frozen import frozen

TEXT_CHARS_MAX = 20_000

Kind = Literal["word", "text", "number", "sign", "end"]
Value = str | int | float

UNITS = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]inf\b")
_UNIT = re.compile("|".join(sorted(UNITS, key=len, reverse=True)))
_WORD = re.compile(r"[^\W\d][\w-]*(?:\.(?:[\w-]+|\"(?:[^\"]|\"\")*\"))*")
_SIGN = re.compile(r"<=|>=|!=|<>|==|[=<>(),]")
_SPACE = re.compile(r"\s*")
_INTEGER_BITS = 63


class WhereError(UsageError):
    """A condition that is not valid: what is wrong, the condition, and a caret under the place."""

    def __init__(self, problem: str, *, text: str, place: int, hint: str = "", what: str = "--where") -> None:
        self.problem, self.text, self.place = problem, text, place
        start = max(0, place - 60)
        shown = "".join(char if char.isprintable() else " " for char in text[start : place + 60])
        super().__init__(f"{what}: {problem}\n  {shown}\n  {' ' * (place - start)}^", hint=hint)


@frozen
class Token:
    """`source` is what was written from `place` on; `value` what a quoted text or a number means."""

    kind: Kind
    source: str
    place: int
    value: Value = ""

    def says(self, *words: str) -> bool:
        """Whether it is one of these words or signs; words in any case."""
        return self.kind in ("word", "sign") and self.source.lower() in words


def tokens(text: str) -> list[Token]:
    """All tokens, the last of kind `end`. Raises WhereError."""
    if len(text) > TEXT_CHARS_MAX:
        raise WhereError(f"the condition has more than {TEXT_CHARS_MAX} characters", text="", place=0)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise WhereError("this is not valid text", text=text, place=error.start) from error
    found: list[Token] = []
    place = 0
    while True:
        space = _SPACE.match(text, place)
        place = space.end() if space else place
        if place == len(text):
            return [*found, Token("end", "the end", place)]
        token = _token(text, place)
        found.append(token)
        place += len(token.source)


def _token(text: str, place: int) -> Token:
    char = text[place]
    if char == "'":
        return _quoted(text, place)
    if (match := _NUMBER.match(text, place)) is not None:
        return _number(text, match)
    if (match := _WORD.match(text, place)) is not None:
        return Token("word", match[0], place)
    if (match := _SIGN.match(text, place)) is not None:
        return Token("sign", match[0], place)
    hint = {'"': "texts stand in 'single quotes'", "&": "write and", "|": "write or"}.get(char, "")
    if char == "!":
        hint = "write != or not"
    raise WhereError(f"{char!r} has no meaning here", text=text, place=place, hint=hint)


def _quoted(text: str, place: int) -> Token:
    """`'it''s'`: a quote in a text is doubled."""
    end = place + 1
    while True:
        end = text.find("'", end)
        if end < 0:
            raise WhereError("this text has no end", text=text, place=place, hint="close it with '")
        if not text.startswith("''", end):
            break
        end += 2
    return Token("text", text[place : end + 1], place, text[place + 1 : end].replace("''", "'"))


def _number(text: str, match: re.Match[str]) -> Token:
    written, place = match[0], match.start()
    value: int | float = float(written)
    if re.fullmatch(r"[+-]?\d+", written) and abs(value) < 2.0**_INTEGER_BITS and len(written) < _INTEGER_BITS:
        value = int(written)
    unit = _UNIT.match(text, match.end())
    if unit is not None:
        value *= UNITS[unit[0]]
        value = int(value) if abs(value) < 2.0**_INTEGER_BITS and value == int(value) else value
        written += unit[0]
    end = place + len(written)
    if end < len(text) and (text[end].isalnum() or text[end] in "_.-:"):
        known = ", ".join(("B", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"))
        raise WhereError(
            f"{text[place : end + 1]!r} is not a number",
            text=text,
            place=end,
            hint=f"units are {known}; versions, ids and times are texts and stand in 'single quotes'",
        )
    return Token("number", written, place, value)
