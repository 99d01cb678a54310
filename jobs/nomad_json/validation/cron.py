"""Checks periodic jobs: their cron expressions and time zones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from jobs.nomad_json.validation.problem import Problem, Record, quoted

_SIXTY = "0?[0-9]|[1-5][0-9]"
_MONTHS = (
    "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|january|february|march|april|june|july|august|september"
    "|october|november|december"
)
_DAYS = "sun|mon|tue|wed|thu|fri|sat|sunday|monday|tuesday|wednesday|thursday|friday|saturday"
_FIELDS = {
    "second": (_SIXTY, 59, ""),
    "minute": (_SIXTY, 59, ""),
    "hour": ("0?[0-9]|1[0-9]|2[0-3]", 23, ""),
    "day-of-month": ("0?[1-9]|[12][0-9]|3[01]", 31, "|l|lw|({value})w"),
    "month": (f"0?[1-9]|1[012]|{_MONTHS}", 12, ""),
    "day-of-week": (f"0?[0-7]|{_DAYS}", 6, "|({value})l|({value})#[1-5]"),
    "year": ("19[789][0-9]|20[0-9]{2}", 2099, ""),
}
"""Field → regular expression of a value, largest step, and what only this field allows."""
_NUMBER = r"[0-9]|0[0-9]|[1-5][0-9]|19[789][0-9]|20[0-9]{2}"
_ALIASES = {
    "@yearly": "0 0 0 1 1 * *",
    "@annually": "0 0 0 1 1 * *",
    "@monthly": "0 0 0 1 * * *",
    "@weekly": "0 0 0 * * 0 *",
    "@daily": "0 0 0 * * * *",
    "@hourly": "0 0 * * * * *",
}


def periodic(block: Record) -> Iterator[Problem]:
    spec, specs = block["Spec"] or "", block["Specs"] or []
    if spec and specs:
        yield Problem("Only cron or crons may be used")
    if not spec and not specs:
        yield Problem("Must specify a spec")
    zone = block["TimeZone"] or ""
    if zone and not _is_zone(zone):
        is_path = ".." in zone or zone.startswith(("/", "\\"))
        reason = "time: invalid location name" if is_path else f"unknown time zone {zone}"
        yield Problem(f"Invalid time zone {quoted(zone)}: {reason}", (("time_zone", None),))
    kind = block["SpecType"] or "cron"
    if kind not in ("cron", "test"):
        yield Problem(f"Unknown periodic specification type {quoted(kind)}")
    elif kind == "cron":
        for one in [spec] * bool(spec) + specs:
            if error := cron_error(one):
                place = (("cron" if one == spec else "crons", None),)
                yield Problem(f"Invalid cron spec {quoted(one)}: {error}", place)


def cron_error(text: str) -> str:
    """Returns what is wrong with a cron expression, or ""."""
    for alias, meaning in _ALIASES.items():
        text = text.replace(alias, meaning)
    parts = text.split()[:7]
    if len(parts) < 5:
        return "missing field(s)"
    names = [*_FIELDS][0 if len(parts) == 7 else 1 :][: len(parts)]
    return next((error for name, part in zip(names, parts, strict=True) if (error := _field_error(name, part))), "")


def _field_error(name: str, text: str) -> str:
    value, largest, special = _FIELDS[name]
    entries = [entry for entry in text.split(",") if entry]
    if not entries:
        return f"{name} field: missing directive"
    for entry in entries:
        step = re.fullmatch(rf"(?:\*|(?:{value})(?:-(?:{value}))?)/([0-9]+)", entry.lower())
        if step and not (re.fullmatch(_NUMBER, step[1]) and 1 <= int(step[1]) <= largest):
            return f"invalid interval {entry.lower()}"
    others = rf"[*?]|({value})(-({value}))?(/[0-9]+)?|\*/[0-9]+" + special.format(value=value)
    wrong = next((entry for entry in entries if not re.fullmatch(others, entry.lower())), None)
    return "" if wrong is None else f"syntax error in {name} field: '{wrong}'"


def _is_zone(name: str) -> bool:
    known = _zones()
    return not known or name in known or name == "Local"


@cache
def _zones() -> frozenset[str]:
    from zoneinfo import available_timezones  # reads the machine's database

    return frozenset(available_timezones())
