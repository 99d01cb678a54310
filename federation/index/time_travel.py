"""Takes a copy of a catalog back to an earlier revision, without a request to any store.

Results and the openings of runs are never rewritten. Everything else is the fold of the events up to then, done again by the
code that folds the log. So the past reads as it read then.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from federation.errors import UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.catalog.fold import fold_event
from federation.index.query.functions import time_of
from federation.index.reader import Reader
from federation.log import Entry, timestamp

Answer = TypeVar("Answer")

_LATER = {
    "metric": "result > (SELECT IFNULL(MAX(rowid), 0) FROM result WHERE revision <= ?)",
    "result": "revision > ?",
    "run": "revision > ?",
    "version": "number > ?",
    "field": "number > ?",
    "parent": "number > ?",
    "entry": "number > ?",
}
"""Tables whose rows stay as they were written, and which of them came after a revision; all others follow from events."""


class Past(Reader):
    """The index as it was at one revision. Closed by `close`."""

    def __init__(self, catalog: Catalog, revision: int, entry: Callable[[int], Entry]) -> None:
        self._catalog = catalog
        self._revision = revision
        self._entry = entry
        self._lock = threading.RLock()

    def close(self) -> None:
        """Free the memory."""
        self._catalog.close()

    def ask(self, question: Callable[[Catalog], Answer]) -> Answer:
        with self._lock:
            return question(self._catalog)

    ask_again = ask

    def entry(self, number: int) -> Entry:
        return self._entry(number)


def revision_at(catalog: Catalog, when: str, now: datetime) -> int:
    """The revision that a number or a time means: the last one that was there then, 0 before the first. Raises UsageError
    for the future, a time without a zone, and what is neither."""
    head = catalog.position().number
    text = when.strip()
    if text.isascii() and text.isdigit() and len(text) < 20:
        if int(text) > head:
            raise UsageError(f"revision {text} is in the future: the index is at {head}")
        return int(text)
    moment = time_of(text)
    if moment is None:
        raise UsageError(
            f"{when!r} is neither a revision nor a time with a zone",
            hint="write a number, or a time as 2026-11-24T10:00:00Z or 2026-11-24T11:00:00+01:00",
        )
    if moment > timestamp(now.astimezone(UTC)):
        raise UsageError(f"{when} is in the future")
    found = catalog.value("SELECT MAX(number) FROM entry WHERE time <= ?", moment)
    return int(found or 0)


def rewind(db: sqlite3.Connection, number: int) -> None:
    """Take a catalog's tables back to an earlier revision, within the caller's transaction."""
    events = db.execute(
        "SELECT number, change, time, author, reason FROM event JOIN entry USING (number) WHERE number <= ? "
        "ORDER BY event.rowid",
        (number,),
    ).fetchall()
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        if table in _LATER:
            db.execute(f"DELETE FROM {table} WHERE {_LATER[table]}", (number,))  # noqa: S608 - our own tables
        elif table != "position":
            db.execute(f"DELETE FROM {table}")  # noqa: S608
    db.execute("UPDATE result SET state = entered WHERE state != entered")
    db.execute("UPDATE run SET state = 'open', reason = '', closed = ''")
    for at, change, time, author, reason in events:
        fold_event(db, Entry(at, time, author, reason, "", ()), json.loads(change))
    found = db.execute("SELECT number, lower(hex(sha256)), time FROM entry WHERE number = ?", (number,)).fetchone()
    db.execute("UPDATE position SET number = ?, sha256 = ?, time = ?", found or (0, "", ""))
