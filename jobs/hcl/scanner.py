"""Reads a source character by character for the parser. Skips blanks and comments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from jobs.hcl.source import Source

MAX_DEPTH = 80

_BLANK = re.compile(r"(?:[ \t]+|(?:#|//)[^\n]*|/\*(?s:.*?)\*/|\r(?=\n))+")
_BLANK_AND_NEWLINES = re.compile(r"(?:[ \t\n]+|(?:#|//)[^\n]*|/\*(?s:.*?)\*/|\r(?=\n))+")
_NAME = re.compile(r"[^\W\d][\w-]*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)


class Scanner:
    """A position in a source. `newlines_count` says whether a newline ends something here or is a blank."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.at = 0
        self.newlines_count = True
        self.depth = 0

    def peek(self) -> str:
        """Skips blanks and returns the next character, "" at the end."""
        text, at = self.text, self.at
        following = text[at : at + 1]
        if following in " \t#/\r" or (following == "\n" and not self.newlines_count):
            found = (_BLANK if self.newlines_count else _BLANK_AND_NEWLINES).match(text, at)
            if found:
                self.at = at = found.end()
            following = text[at : at + 1]
            if following == "/" and text.startswith("/*", at):
                self.fail("this comment is never closed", hint="Close it with */.")
        return following

    def starts(self, symbol: str) -> bool:
        """Skips blanks and returns whether `symbol` comes next."""
        self.peek()
        return self.text.startswith(symbol, self.at)

    def take(self, symbol: str) -> bool:
        """Skips `symbol` if it comes next."""
        if self.starts(symbol):
            self.at += len(symbol)
            return True
        return False

    def expect(self, symbol: str, problem: str, *, hint: str = "") -> None:
        if not self.take(symbol):
            self.fail(problem, hint=hint)

    def take_name(self) -> str | None:
        """Reads the next identifier, or returns None."""
        self.peek()
        found = _NAME.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def peek_name(self) -> str | None:
        self.peek()
        found = _NAME.match(self.text, self.at)
        return found.group() if found else None

    def take_number(self) -> str | None:
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def take_digits(self) -> int | None:
        found = _DIGITS.match(self.text, self.at)
        if found is None or len(found.group()) > 9:
            return None
        self.at = found.end()
        return int(found.group())

    def enter(self) -> None:
        """Enters one level of nesting. Refuses more than MAX_DEPTH, so that no input can exhaust the stack."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"nested more than {MAX_DEPTH} levels deep")

    def leave(self) -> None:
        self.depth -= 1

    def found(self) -> str:
        """Describes what comes next for an error message."""
        following = self.peek()
        if not following:
            return "the end of the file"
        if following == "\n":
            return "the end of the line"
        if following == '"':
            return "a quotation mark"
        return f'"{self.peek_name() or following}"'

    def fail(self, problem: str, at: int | None = None, *, hint: str = "") -> NoReturn:
        raise self.source.error(problem, self.at if at is None else at, hint=hint)
