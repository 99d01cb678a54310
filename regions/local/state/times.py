"""Formats and parses times as Nomad writes them."""

from __future__ import annotations

from datetime import UTC, datetime


def format_time(at_ns: int) -> str:
    """Formats nanoseconds since 1970 as Nomad does: RFC 3339, UTC, without trailing zeros."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19] + fraction + "Z"


def parse_time(text: str) -> int:
    """Parses what `format_time` writes."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    year, month, day = (int(part) for part in whole[:10].split("-"))
    hour, minute, second = (int(part) for part in whole[11:19].split(":"))
    days = _days(year, month, day)
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)


def _days(year: int, month: int, day: int) -> int:
    """Returns the days since 1970-01-01 in the Gregorian calendar."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
