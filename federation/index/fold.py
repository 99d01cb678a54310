"""One entry of the index's log enters, rows in the catalog's tables leave: what each kind of change means.

The first commit of a key wins for ever, whatever a later writer says; changes of unknown kinds are kept as they are.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from federation.errors import FormatTooNew, IndexCorrupt
from federation.index.curation import CURATION_TABLES, fold_curation
from federation.index.lineage import named_parents
from federation.index.rows import CANCELLED, COMMITTED, LATE, OPEN, SUPERSEDED
from federation.index.upkeep import UPKEEP_TABLES, fold_upkeep
from federation.index.where.fields import NUMBER
from federation.log import Change, Entry
from federation.result import RECORD_FORMAT, Key

RECORD_CHANGES = {"add": COMMITTED, "supersede": SUPERSEDED, "late": LATE}
"""Changes that hold a result's record, and the state that it then has."""

_OPEN_FIELDS = ("run", "job", "version", "spec_hash", "slots", "expected_keys")
_UNREADABLE = (
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
    state TEXT, reason TEXT, opened TEXT, closed TEXT, revision INTEGER);
CREATE INDEX run_by_version ON run (job, version);
CREATE TABLE result (
    job TEXT, version TEXT, run TEXT, slot INTEGER, grp TEXT, idx INTEGER, attempt INTEGER, region TEXT,
    datacenter TEXT, node TEXT, alloc_id TEXT UNIQUE, state TEXT, metrics TEXT, params TEXT, size_bytes INTEGER,
    store TEXT, url TEXT, created TEXT, committed TEXT, revision INTEGER, entered TEXT);
CREATE INDEX result_by_key ON result (run, slot, grp, idx);
CREATE INDEX result_by_version ON result (job, version);
"""
    + CURATION_TABLES
    + UPKEEP_TABLES
)


_METRICS = (
    "INSERT INTO metric SELECT field.id, " + NUMBER.format(type="one.type", value="one.value") + " AS measured, ? "
    "FROM json_each(?) AS one JOIN field ON field.kind = 'metric' AND field.name = one.key AND field.type = 'number' "
    "WHERE measured IS NOT NULL"
)
"""A result's metrics that are numbers, so that few of many are found by value."""

FieldsSeen = set[tuple[str, str, str]]
"""(kind, name, type) of metrics and parameters that were written already, within one transaction."""


def fold(db: sqlite3.Connection, entry: Entry, fields: FieldsSeen) -> None:
    """Write the entry's changes into the tables, within the caller's transaction. Raises IndexCorrupt for a change of a
    known kind that can't be read, FormatTooNew for a record of a newer format."""
    about = (entry.number, entry.time, entry.author, entry.reason, bytes.fromhex(entry.sha256))
    db.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", about)
    for change in entry.changes:
        kind = change["type"]
        try:
            if kind in RECORD_CHANGES:
                _fold_result(db, entry, change["record"], RECORD_CHANGES[kind], fields)
            elif kind == "open":
                db.execute(
                    "INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, '', ?)",
                    (
                        *(change[name] for name in ("run", "job", "version", "spec_hash", "slots", "expected_keys")),
                        *(OPEN, entry.time, entry.number),
                    ),
                )
                _fold_version(db, entry, change["job"], change["version"])
            else:
                fold_event(db, entry, change)
        except _UNREADABLE as error:
            raise IndexCorrupt(
                f"index revision {entry.number} holds a change {kind!r} that can't be read "
                f"({type(error).__name__}: {error})",
                hint="upgrade fedml, or look at who wrote it: " + entry.author,
            ) from error


def fold_event(db: sqlite3.Connection, entry: Entry, change: Change) -> None:
    """Write a change that is neither a result nor the opening of a run. It is kept as it is too: from results, runs and
    these events the catalog tells what was at any earlier revision."""
    db.execute("INSERT INTO event VALUES (?, ?, ?)", (entry.number, change["type"], _dumps(change)))
    if change["type"] == "close":
        db.execute(
            "UPDATE run SET state = ?, reason = ?, closed = ? WHERE run = ? AND state != 'cancelled'",
            (change["state"], change["reason"], entry.time, change["run"]),
        )
    elif not (fold_curation(db, entry, change) or fold_upkeep(db, entry, change)):
        db.execute("INSERT INTO unknown VALUES (?, ?)", (entry.number, _dumps(change)))


def _fold_result(db: sqlite3.Connection, entry: Entry, record: dict[str, Any], state: str, fields: FieldsSeen) -> None:
    if int(record["format"]) > RECORD_FORMAT:
        raise FormatTooNew(
            f"index revision {entry.number} holds a record of format {record['format']}, "
            f"this fedml knows {RECORD_FORMAT}: upgrade fedml"
        )
    key = record["key"]
    alloc_id = record["alloc_id"]
    run, slot, group, index = key["run"], key["slot"], key["group"], key["index"]
    if state == COMMITTED:  # the first commit wins for ever, whatever a later writer says
        state = state_for(db, run, slot, group, index)
    store = record["store"]
    prefix = record.get("prefix")
    if prefix is None:
        prefix = Key(run, slot, group, index).artifact_prefix(alloc_id, record["manifest_sha256"])
    url = f"{store.partition('?')[0].rstrip('/')}/{prefix}"
    metrics, params, environment = (_members(record, name) for name in ("metrics", "params", "environment"))
    written = _dumps(metrics)
    inserted = db.execute(
        f"INSERT OR IGNORE INTO result VALUES ({', '.join('?' * 21)})",  # noqa: S608
        (
            *(record["job"], record["version"], run, slot, group, index, record["attempt"], record["region"]),
            *(record["datacenter"], record["node"], alloc_id, state),
            *(written, _dumps(params)),
            sum(file["size_bytes"] for file in record["files"]),
            *(store, url, record["created"], entry.time, entry.number, state),
        ),
    )
    if not inserted.rowcount:
        return
    _fold_version(db, entry, record["job"], record["version"])
    for parent in named_parents(environment, params):
        db.execute("INSERT OR IGNORE INTO parent VALUES (?, ?, ?)", (alloc_id, parent, entry.number))
    found = {("metric", name, _type_of(value)) for name, value in metrics.items()}
    found |= {("param", name, "text") for name in params}
    for field in found - fields:
        db.execute("INSERT OR IGNORE INTO field (kind, name, type, number) VALUES (?, ?, ?, ?)", (*field, entry.number))
    fields |= found
    if metrics:
        db.execute(_METRICS, (inserted.lastrowid, written))


def _fold_version(db: sqlite3.Connection, entry: Entry, job: str, version: str) -> None:
    db.execute("INSERT OR IGNORE INTO version VALUES (?, ?, ?)", (job, version, entry.number))


def _members(record: dict[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


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


def _dumps(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
