"""Functions on timestamps (RFC 3339) and dates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobs.hcl.functions.function import Function
from jobs.hcl.values import NotComputed, ValueProblem, to_duration, to_string

if TYPE_CHECKING:
    from datetime import datetime

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LOOSE_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d?:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_FIELD = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']")


def _moment(timestamp: object) -> tuple[datetime, int]:
    """Returns the second, and the nanoseconds after it."""
    from datetime import datetime

    given = to_string(timestamp)
    if given.startswith("0000-"):
        raise NotComputed("fedml can't compute with the year 0")
    try:
        found = _TIMESTAMP.fullmatch(given)
        if _LOOSE_TIMESTAMP.fullmatch(given) and (found is None or found.group(3)[1:3] >= "24"):
            raise NotComputed(f"\"{given[:40]}\" isn't strictly RFC 3339, and Nomad's versions treat it differently")
        if found is None:
            raise ValueError
        second, fraction, zone = found.groups()
        return datetime.fromisoformat(second + zone), int((fraction or "0")[:9].ljust(9, "0"))
    except ValueError:
        raise ValueProblem(f'"{given[:40]}" is not a valid timestamp such as 2021-06-01T12:00:00Z') from None


def _zone(moment: datetime, with_colon: bool) -> str:
    shown = moment.strftime("%z")
    return shown[:3] + (":" if with_colon else "") + shown[3:5]


def time_add(timestamp: object, duration: object) -> str:
    from datetime import timedelta

    moment, nanoseconds = _moment(timestamp)
    try:
        later = moment + timedelta(seconds=(to_duration(to_string(duration)) + nanoseconds) // 10**9)
    except OverflowError:
        raise NotComputed("fedml computes times from the year 1 to 9999") from None
    shown = later.isoformat(timespec="seconds")
    return shown.removesuffix("+00:00") + "Z" if shown.endswith("+00:00") else shown


def format_date(spec: object, timestamp: object) -> str:
    """Formats a date by YYYY, MMM, DD, hh, mm, ss, ZZZZZ and their shorter forms. Single quotes enclose plain text."""
    moment, _ = _moment(timestamp)
    zone = _zone(moment, with_colon=True)
    hour = moment.hour % 12 or 12
    fields = {
        "YYYY": f"{moment.year:04}",
        "YY": f"{moment.year % 100:02}",
        "MMMM": moment.strftime("%B"),
        "MMM": moment.strftime("%b"),
        "MM": f"{moment.month:02}",
        "M": str(moment.month),
        "DD": f"{moment.day:02}",
        "D": str(moment.day),
        "EEEE": moment.strftime("%A"),
        "EEE": moment.strftime("%a"),
        "hh": f"{moment.hour:02}",
        "h": str(moment.hour),
        "HH": f"{hour:02}",
        "H": str(hour),
        "AA": "AM" if moment.hour < 12 else "PM",
        "aa": "am" if moment.hour < 12 else "pm",
        "mm": f"{moment.minute:02}",
        "m": str(moment.minute),
        "ss": f"{moment.second:02}",
        "s": str(moment.second),
        "ZZZZZ": zone,
        "ZZZZ": _zone(moment, with_colon=False),
        "ZZZ": "UTC" if zone == "+00:00" else _zone(moment, with_colon=False),
        "Z": "Z" if zone == "+00:00" else zone,
    }
    pieces: list[str] = []
    at, pattern = 0, to_string(spec)
    while at < len(pattern):
        found = _FIELD.match(pattern, at)
        if found is None:
            raise ValueProblem("a quote in the format is never closed")
        at = found.end()
        if found.group(1) is not None:
            pieces.append(found.group(1).replace("''", "'") or "'")
        elif found.group(2) is not None and found.group() not in fields:
            raise ValueProblem(f'there is no format "{found.group()[:20]}"; put text in single quotes')
        else:
            pieces.append(fields.get(found.group(), found.group()))
    return "".join(pieces)


TIME_FUNCTIONS = {
    "formatdate": Function(format_date, 2, 2),
    "timeadd": Function(time_add, 2, 2),
}
