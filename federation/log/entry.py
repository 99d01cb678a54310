"""One entry of a log: its JSON, written here and read here."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from federation.errors import FederationError, FormatTooNew
from jobs.foreign import Members, parse_json
from jobs.frozen import frozen
from jobs.json_limits import Limits

LOG_FORMAT = 1
ENTRY_BYTES_MAX = 64 * 1024 * 1024
_REASON_CHARS_MAX = 1 << 20
_TIME_CHARS_MAX = 100
_FIRST_TIME = "1970-01-01T00:00:00.000000Z"
_NOT_A_CHANGE = {"type": "unreadable", "kind": "?", "problem": "it is not a change"}
ENTRY_BYTES_READ_MAX = 256 * 1024 * 1024
_ENTRY_LIMITS = Limits(
    size_bytes_max=ENTRY_BYTES_READ_MAX,
    depth_max=100,
    items_max=20_000_000,
    text_chars_max=256 * 1024 * 1024,
    whole_max=10**4300,
    refuse_twice=False,
    is_python=True,
)
"""Wider than what is written (an earlier fedml had no limit), and blind to single values: an entry stays readable for ever,
and the reader of a change checks its values."""


Change = dict[str, Any]


@frozen
class Entry:
    """One entry: `time` is RFC 3339 in UTC with microseconds, `previous` the sha256 of the previous entry's bytes
    ("" for the first), `sha256` that of its own. Changes are kept as they were written, also those of unknown types."""

    number: int
    time: str
    author: str
    reason: str
    previous: str
    changes: tuple[Change, ...]
    nonce: str = ""
    """Drawn anew for each append: by it a writer knows its own entry when the answer was lost."""
    sha256: str = ""


class Position(NamedTuple):
    """A place in a log: the entry that was read last (number 0: none yet)."""

    number: int = 0
    sha256: str = ""
    time: str = ""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC, always with microseconds, so that texts sort as times."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def draft(
    after: Position, moment: str, author: str, reason: str, changes: list[Change], nonce: str
) -> tuple[Entry, bytes]:
    """The entry that follows that position, and its bytes. Raises FederationError for one that is too large."""
    number = after.number + 1
    document = {
        "format": LOG_FORMAT,
        "number": number,
        "time": moment,
        "author": author,
        "reason": reason,
        "previous": after.sha256,
        "nonce": nonce,
        "changes": changes,
    }
    data = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    if len(data) > ENTRY_BYTES_MAX:
        raise FederationError(
            f"a log entry of {len(data):,} bytes is not written; the limit is {ENTRY_BYTES_MAX:,}",
            hint="write less at once",
        )
    digest = hashlib.sha256(data).hexdigest()
    return Entry(number, moment, author, reason, after.sha256, tuple(changes), nonce, digest), data


def parse(data: bytes, *, source: str, time_before: str) -> Entry:
    """Parses an entry's bytes. `source` names it in errors. Raises ForeignTextError and FormatTooNew."""
    document = Members(parse_json(data, source=source, limits=_ENTRY_LIMITS), source=source)
    if document.whole("format", least=1) > LOG_FORMAT:
        raise FormatTooNew(
            f"{source} has format {document.any('format')}, this fedml knows {LOG_FORMAT}: upgrade fedml"
        )
    return Entry(
        number=document.whole("number"),
        time=_time_of(document.any("time", ""), otherwise=time_before),
        author=_told(document.any("author", "")),
        reason=_told(document.any("reason", "")),
        previous=document.text("previous", chars_max=100),
        changes=_changes(document.any("changes", None)),
        nonce=_told(document.any("nonce", "")),
        sha256=hashlib.sha256(data).hexdigest(),
    )


# Whoever may write to the store may write anything into an entry. One that stands in its place in the chain is kept: what it
# says wrong about itself is replaced, and a change that isn't one is kept as unreadable.


def _time_of(value: object, *, otherwise: str) -> str:
    """The time that an entry says; the time before it where it says none."""
    try:
        if (
            isinstance(value, str)
            and len(value) <= _TIME_CHARS_MAX
            and datetime.fromisoformat(value).tzinfo is not None
        ):
            return value
    except ValueError:
        pass
    return otherwise or _FIRST_TIME


def _told(value: object) -> str:
    """A text that people read: lone surrogates as escapes, and empty for anything else than a text."""
    return value.encode(errors="backslashreplace").decode()[:_REASON_CHARS_MAX] if isinstance(value, str) else ""


def _changes(value: object) -> tuple[Change, ...]:
    each = value if isinstance(value, list) else [value]
    return tuple(
        one if isinstance(one, dict) and isinstance(one.get("type"), str) else dict(_NOT_A_CHANGE) for one in each
    )
