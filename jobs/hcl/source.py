"""One HCL text with its name: positions, and errors that point into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.errors import HclError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_SOURCE_LINE_CHARS = 200
MAX_PROBLEM_CHARS = 500


class Source:
    """One HCL text. Offsets are indexes into `text` in characters. Lines and columns count from 1."""

    __slots__ = ("filename", "text")

    def __init__(self, text: str, filename: str) -> None:
        self.text = text
        self.filename = filename

    def position(self, offset: int) -> tuple[int, int]:
        """Returns line and column of an offset."""
        line = self.text.count("\n", 0, offset) + 1
        return line, offset - self.text.rfind("\n", 0, offset)

    def error(self, problem: str, offset: int, *, hint: str = "") -> HclError:
        """Makes an error at `offset` with its source line and a caret. Shortens very long lines."""
        offset = max(0, min(offset, len(self.text)))
        if len(problem) > MAX_PROBLEM_CHARS:
            problem = problem[:MAX_PROBLEM_CHARS] + "…"
        line, column = self.position(offset)
        start = offset - column + 1
        end = self.text.find("\n", start)
        shown = self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")
        if len(shown) > MAX_SOURCE_LINE_CHARS or not shown.replace("\t", " ").isprintable():
            shown = ""
        return HclError(
            problem,
            file=self.filename,
            line=line,
            column=column,
            source_line=shown.replace("\t", " "),
            hint=hint,
        )


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Returns a hint with the nearest known name, or ""."""
    from difflib import get_close_matches

    near = get_close_matches(given, list(known), n=1, cutoff=0.6)
    return f'Did you mean "{near[0]}"?' if near else ""


def unknown_reference(text: str, start: int, end: int) -> str:
    """Returns an unknown reference as Nomad leaves it: its own characters in `${…}`, with the blanks inside the
    braces.

    Nomad looks for the closing brace one character late, so that `{${x}}` becomes `{${x}}}`. This does the same,
    because a jobspec has to mean the same here as under `nomad job run`.
    """
    opening = start - 1
    while opening >= 1 and text[opening] == " ":
        opening -= 1
    if opening < 1 or text[opening] != "{" or text[opening - 1] != "$":
        return "${" + text[start:end] + "}"
    kept = text[opening - 1 : end]
    for n in range(end + 1, len(text)):
        if text[n] == "}":
            kept += text[end:n]
        elif text[n] != " ":
            return kept + "}"
    return kept
