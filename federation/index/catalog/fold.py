"""Writes one entry of the index's log into the catalog's tables: what each kind of change means.

The first commit of a key wins for ever, whatever a later writer says. Changes of unknown kinds are kept as they are; a change
of a known kind that can't be used has no effect, and is kept with the reason.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from datetime import datetime
from typing import Any

from federation.errors import FormatTooNew, PublishError, RecordTooNew, UsageError
from federation.index.catalog.changes import RECORD_CHANGES, checked_change, unreadable
from federation.index.catalog.fold_storage import UPKEEP_TABLES, fold_upkeep
from federation.index.catalog.fold_tags import CURATION_TABLES, fold_curation
from federation.index.catalog.lineage import named_parents
from federation.index.columns import INSERT, TABLE, Entered, to_json, values_of
from federation.index.rows import CANCELLED, COMMITTED, LATE, OPEN, SUPERSEDED
from federation.index.validation import checked_run_name
from federation.log import Change, Entry, timestamp
from federation.result import RECORD_FORMAT, ResultRecord
from jobs.errors import FedmlError, ForeignTextError

_UNREADABLE = (
    ForeignTextError,
    PublishError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    AttributeError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)

TABLES = (
    """
CREATE TABLE position (number INTEGER NOT NULL, sha256 TEXT NOT NULL, time TEXT NOT NULL);
INSERT INTO position VALUES (0, '', '');
CREATE TABLE entry (number INTEGER PRIMARY KEY, time TEXT, author TEXT, reason TEXT, sha256 BLOB);
CREATE TABLE unknown (number INTEGER, change TEXT);
CREATE TABLE event (number INTEGER, kind TEXT, change TEXT);
CREATE INDEX event_by_number ON event (number);
CREATE INDEX event_by_kind ON event (kind);
CREATE TABLE field (id INTEGER PRIMARY KEY, kind TEXT, name TEXT, type TEXT, number INTEGER, UNIQUE (kind, name, type));
CREATE TABLE metric (field INTEGER, value, result INTEGER, PRIMARY KEY (field, value, result)) WITHOUT ROWID;
CREATE TABLE version (job TEXT, version TEXT, number INTEGER, PRIMARY KEY (job, version)) WITHOUT ROWID;
CREATE TABLE parent (alloc_id TEXT, parent TEXT, number INTEGER, PRIMARY KEY (alloc_id, parent));
CREATE INDEX parent_by_name ON parent (parent);
CREATE TABLE run (
    run TEXT PRIMARY KEY, job TEXT, version TEXT, spec_hash TEXT, slots INTEGER, expected_keys INTEGER,
    state TEXT, reason TEXT, opened TEXT, closed TEXT, revision INTEGER, name TEXT);
CREATE INDEX run_by_version ON run (job, version);
"""
    + TABLE
    + """;
CREATE INDEX result_by_key ON result (run, slot, grp, idx);
CREATE INDEX result_by_version ON result (job, version);
"""
    + CURATION_TABLES
    + UPKEEP_TABLES
)


FieldIds = dict[tuple[str, str, str], int]
"""(kind, name, type) of metrics and parameters that were looked up already within one transaction, and their ids."""


def fold(db: sqlite3.Connection, entry: Entry, fields: FieldIds, *, strict: bool = False) -> None:
    """Write the entry's changes into the tables, within the caller's transaction. A change that can't be used is rolled back
    and kept with the reason; `strict` raises UsageError for it instead. Raises FormatTooNew for a record of a newer format."""
    entry = _at_its_time(db, entry)
    about = (entry.number, entry.time, entry.author, entry.reason, bytes.fromhex(entry.sha256))
    db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", about)
    for change in entry.changes:
        found: FieldIds = {}
        db.execute("SAVEPOINT change")
        try:
            _fold_change(db, entry, change, fields, found)
        except _UNREADABLE as error:
            if isinstance(error, FormatTooNew):
                raise
            db.execute("ROLLBACK TO change")
            problem = error.message if isinstance(error, FedmlError) else f"{type(error).__name__}: {error}"
            if strict:
                raise UsageError(f"a change {change['type']!r} can't be entered into the index: {problem}") from error
            found.clear()
            fold_event(db, entry, unreadable(change, problem))
        fields.update(found)
        db.execute("RELEASE change")


def _at_its_time(db: sqlite3.Connection, entry: Entry) -> Entry:
    """An entry that `rebuild` wrote, at the time of what it brings back: never before the previous entry, nor after its
    own."""
    said = next((change.get("time") for change in entry.changes if change["type"] == "rebuild"), None)
    try:
        moment = timestamp(datetime.fromisoformat(said)) if isinstance(said, str) and said else ""
    except (ValueError, OverflowError):
        return entry
    if not moment or moment >= entry.time:
        return entry
    before = _value(db, "SELECT time FROM entry WHERE number = ?", entry.number - 1) or ""
    return replace(entry, time=max(moment, before))


def _fold_change(db: sqlite3.Connection, entry: Entry, change: Change, fields: FieldIds, found: FieldIds) -> None:
    kind = change["type"]
    try:
        record = checked_change(change, source=f"index revision {entry.number}")
    except RecordTooNew:
        raise FormatTooNew(
            f"index revision {entry.number} holds a record of format {change['record']['format']}, "
            f"this fedml knows {RECORD_FORMAT}: upgrade fedml"
        ) from None
    if record is not None:
        _fold_result(db, entry, record, RECORD_CHANGES[kind], fields, found)
    elif kind == "open":
        names = ("run", "job", "version", "spec_hash", "slots", "expected_keys")
        db.execute(
            "INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, '', ?, ?)",
            (*(change[name] for name in names), OPEN, entry.time, entry.number, _run_name(change)),
        )
        _fold_version(db, entry, change["job"], change["version"])
    else:
        fold_event(db, entry, change)


def _run_name(change: Change) -> str:
    """The name of an opened run; "" for one that can't be a name: the run itself counts all the same."""
    name = change.get("name", "")
    try:
        return checked_run_name(name) if isinstance(name, str) and name else ""
    except UsageError:
        return ""


def fold_event(db: sqlite3.Connection, entry: Entry, change: Change) -> None:
    """Write a change that is neither a result nor the opening of a run. It is kept as it is too: from results, runs and
    these events the catalog tells what was at any earlier revision."""
    db.execute("INSERT INTO event VALUES (?, ?, ?)", (entry.number, change["type"], to_json(change)))
    if change["type"] == "close":
        db.execute(
            "UPDATE run SET state = ?, reason = ?, closed = ? WHERE run = ? AND state != 'cancelled'",
            (change["state"], change["reason"], entry.time, change["run"]),
        )
    elif not (fold_curation(db, entry, change) or fold_upkeep(db, entry, change)):
        db.execute("INSERT INTO unknown VALUES (?, ?)", (entry.number, to_json(change)))


def _fold_result(
    db: sqlite3.Connection, entry: Entry, record: ResultRecord, state: str, fields: FieldIds, found: FieldIds
) -> None:
    key, alloc_id = record.key, record.alloc_id
    if state == COMMITTED:  # the first commit wins for ever, whatever a later writer says
        state = state_for(db, key.run, key.slot, key.group, key.index)
    inserted = db.execute(INSERT, values_of(Entered(record, entry, state)))
    if not inserted.rowcount:
        return
    _fold_version(db, entry, record.job, record.version)
    parents = named_parents(record.environment, record.params)
    db.executemany("INSERT OR IGNORE INTO parent VALUES (?, ?, ?)", [(alloc_id, one, entry.number) for one in parents])
    for name in record.params:
        _field(db, entry, ("param", name, "text"), fields, found)
    numbers = []
    for name, value in record.metrics.items():
        field = _field(db, entry, ("metric", name, _type_of(value)), fields, found)
        if _type_of(value) == "number" and value == value:  # not NaN
            numbers.append((field, _sql_number(value), inserted.lastrowid))
    # A result's metrics that are numbers, so that few of many are found by value.
    db.executemany("INSERT INTO metric VALUES (?, ?, ?)", numbers)


def _field(db: sqlite3.Connection, entry: Entry, field: tuple[str, str, str], fields: FieldIds, found: FieldIds) -> int:
    """The id of a metric or parameter of that type. One indexed look-up for each that the transaction hasn't met: the work
    is linear in a record's names, however many names the index has."""
    known = fields.get(field) or found.get(field)
    if known is None:
        db.execute("INSERT OR IGNORE INTO field (kind, name, type, number) VALUES (?, ?, ?, ?)", (*field, entry.number))
        (known,) = db.execute("SELECT id FROM field WHERE kind = ? AND name = ? AND type = ?", field).fetchone()
        found[field] = known
    return int(known)


def _fold_version(db: sqlite3.Connection, entry: Entry, job: str, version: str) -> None:
    db.execute("INSERT OR IGNORE INTO version VALUES (?, ?, ?)", (job, version, entry.number))


def _sql_number(value: Any) -> float | int:
    """A number that SQLite can hold: whole numbers of more than 64 bits are the nearest other number, as in its JSON."""
    if isinstance(value, float) or -(2**63) <= value < 2**63:
        return float(value) if isinstance(value, float) else int(value)
    return float(value) if value.bit_length() < 1024 else math.inf if value > 0 else -math.inf


def _type_of(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    return "text" if isinstance(value, str) else "number"


def state_for(db: sqlite3.Connection, run: str, slot: int, group: str, index: int) -> str:
    """What a result of this key would become now: committed, superseded or late."""
    if _value(db, "SELECT state FROM run WHERE run = ?", run) == CANCELLED:
        return LATE
    taken = _value(
        db,
        "SELECT 1 FROM result WHERE run = ? AND slot = ? AND grp = ? AND idx = ? AND entered = 'committed'",
        *(run, slot, group, index),
    )
    return SUPERSEDED if taken else COMMITTED


def _value(db: sqlite3.Connection, sql: str, *values: object) -> Any:
    found = db.execute(sql, values).fetchone()
    return None if found is None else found[0]
