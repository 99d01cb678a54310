"""Parses and formats durations as Go and Nomad write them ("1h30m"). Loads next to nothing."""

from __future__ import annotations

import re

_UNITS = {"ns": 1, "µs": 1_000, "ms": 1_000_000}
_READ = _UNITS | {"us": 1_000, "μs": 1_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LARGEST = 2**63 - 1
_PART = re.compile(r"(\d{0,40})(?:\.(\d{0,40}))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def parse_duration(text: str) -> int:
    """Parses one or several numbers with units ("1h30m") into nanoseconds, rounded towards zero.

    Raises ValueError with a sentence that says what is wrong.
    """
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, at = 0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None or not (part[1] or part[2]):
            raise _not_a_duration(text)
        size, decimals = _READ[part[3]], part[2] or ""
        total += int(part[1] or 0) * size + int(decimals or 0) * size // 10 ** len(decimals)
        at = part.end()
    if not rest:
        raise _not_a_duration(text)
    if total > _LARGEST:
        raise ValueError(f'the duration "{text[:40]}" is too long')
    return sign * total


def _not_a_duration(text: str) -> ValueError:
    return ValueError(
        f'"{text[:40]}" is not a valid duration: it needs a number and a unit, as in "30s", "5m" or "1h30m"'
    )


def format_duration(nanoseconds: int) -> str:
    """Formats a duration as Go prints it: 1h0m0s, 1.5s, 602.478764ms, 1ns, 0s."""
    if nanoseconds < 0:
        return "-" + format_duration(-nanoseconds)
    for unit, size in _UNITS.items():
        if 0 < nanoseconds < size * 1000:
            return f"{_decimal(nanoseconds, size)}{unit}"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(rest, 1_000_000_000)}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else str(whole)
