"""Numbers enter, what a person reads leaves: counts with their nouns, durations."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 slot`, `2 slots`, `1,000,000 slots`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


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
