"""Nanoseconds enter, a duration as Nomad prints it leaves; it loads nothing, so that anybody may use it."""

from __future__ import annotations

_UNITS = {"ns": 1, "µs": 1_000, "ms": 1_000_000}


def format_duration(nanoseconds: int) -> str:
    """As Go prints a duration: 1h0m0s, 1.5s, 602.478764ms, 1ns, 0s."""
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
