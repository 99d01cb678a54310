"""SQL functions that a connection to a catalog needs: a text as a number, a time of any zone."""

from __future__ import annotations

import re
import sqlite3
from datetime import datetime

from federation.log import timestamp

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?|[+-]?inf(?:inity)?", re.IGNORECASE)


def register(db: sqlite3.Connection) -> None:
    """Registers `fedml_number` and `fedml_time` with this connection."""
    db.create_function("fedml_number", 1, number_of, deterministic=True)
    db.create_function("fedml_time", 1, time_of, deterministic=True)


def number_of(text: object) -> int | float | None:
    """The number that a text is as a whole (`0.1`, `1e-3`, `64`), else None."""
    if not isinstance(text, str):
        return None
    written = text.strip()
    if _INTEGER.fullmatch(written):
        return int(written)
    return float(written) if _NUMBER.fullmatch(written) else None


def time_of(text: object) -> str | None:
    """The moment that a text in RFC 3339 means, written as the log writes times; None for one without zone, or no time."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return timestamp(moment) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
