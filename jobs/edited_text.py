"""Cuts long texts to one line, and two texts that differ around their first difference."""

from __future__ import annotations

from itertools import takewhile

SHOWN_CHARS_MAX = 60
_BEFORE_CHARS = 20


def beginning(text: str) -> str:
    """The text in one line; of a long one its beginning."""
    return _piece(_one_line(text), 0)


def at_difference(old: str, new: str) -> tuple[str, str]:
    """Both texts, each in one line; of long ones the pieces with their first difference, which never read alike."""
    before, after = _one_line(old), _one_line(new)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    is_late = same > SHOWN_CHARS_MAX - _BEFORE_CHARS and max(len(before), len(after)) > SHOWN_CHARS_MAX
    begin = same - _BEFORE_CHARS if is_late else 0
    return _piece(before, begin), _piece(after, begin)


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")


def _piece(text: str, begin: int) -> str:
    rest = ("…" if begin else "") + text[begin:]
    return rest if len(rest) <= SHOWN_CHARS_MAX else f"{rest[: SHOWN_CHARS_MAX - 1]}…"
