"""Texts that people read and write: counts, durations, sizes. The one parser of durations outside of jobspecs."""

from __future__ import annotations

import re

from federation.errors import UsageError

_UNITS_S = {"w": 7 * 86_400.0, "d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([wdhms])", re.ASCII)
_DURATION = re.compile(f"(?:{_PART.pattern})+", re.ASCII)
_LONGEST_S = 100 * 365 * 86_400.0


def is_duration(text: str) -> bool:
    """Whether the text is written as a duration."""
    return _DURATION.fullmatch(text.strip()) is not None


def duration_s(text: str, what: str, *, least_s: float = 1e-9) -> float:
    """Parses `45s`, `90m`, `1h30m`, `2d`, `8w` and returns seconds. `what` names the option or key in the error. Raises
    UsageError for other texts, for less than `least_s`, and for more than a hundred years."""
    if not is_duration(text):
        raise UsageError(f"{what} {text[:40]!r} is not a duration", hint=f"write {what} 90m (units: w, d, h, m, s)")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    if not least_s <= seconds <= _LONGEST_S:
        problem = "is too short" if seconds < least_s else "is longer than 100 years"
        raise UsageError(f"{what} {text[:40]!r} {problem}", hint=f"write {what} 90m")
    return seconds


def install_extra(extra: str) -> str:
    """What to do where a package of this extra is missing."""
    return f"install fedml from its checkout with the extra `{extra}`:  uv tool install '.[{extra}]'"


def counted(number: int, noun: str) -> str:
    """`1 slot`, `2 slots`, `1,000,000 slots`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shortened(text: str, chars: int) -> str:
    """The text, or its beginning and `…` where it has more characters than that."""
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def in_words(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`: as exact as is useful."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h{f' {minutes} min' if minutes else ''}"
    days, hours = divmod(hours, 24)
    return f"{days} d{f' {hours} h' if hours else ''}"


def size_text(size_bytes: int) -> str:
    """`812 B`, `1.2 MB`: decimal units."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size:.1f} PB"
