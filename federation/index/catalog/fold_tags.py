"""Writes what people decide about results into the catalog: tags, notes, retirement.

None of it touches who won a key or a single byte of an artifact. A tag is a stack of holders: `tag` and `untag` push one
(an empty one), a rollback takes the newest off, so that a second rollback goes further back.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from federation.index.catalog.fold_storage import spare
from federation.index.rows import REMOVED, RETIRED
from federation.log import Entry

CURATION_TABLES = """
CREATE TABLE tag (name TEXT PRIMARY KEY, alloc_id TEXT, number INTEGER);
CREATE INDEX tag_by_result ON tag (alloc_id);
CREATE TABLE holder (name TEXT, depth INTEGER, alloc_id TEXT, number INTEGER, PRIMARY KEY (name, depth));
CREATE TABLE note (number INTEGER, alloc_id TEXT, text TEXT);
CREATE INDEX note_by_result ON note (alloc_id);
"""


def fold_curation(db: sqlite3.Connection, entry: Entry, change: dict[str, Any]) -> bool:
    """Write one change, within the caller's transaction; False for one that is none of these. Raises KeyError, TypeError
    or sqlite3's own errors for a change that can't be read."""
    match change["type"]:
        case "tag":
            depth = change["depth"] if "depth" in change else _depth(db, change["name"]) + 1
            db.execute("DELETE FROM holder WHERE name = ? AND depth >= ?", (change["name"], depth))
            _hold(db, change["name"], depth, change["alloc_id"], entry.number)
            spare(db, change["alloc_id"])
        case "untag":
            _hold(db, change["name"], _depth(db, change["name"]) + 1, "", entry.number)
        case "retire":
            is_undone = bool(change.get("undo", False))
            state = "entered" if is_undone else f"'{RETIRED}'"
            asked = (change["alloc_id"], REMOVED)
            db.execute(f"UPDATE result SET state = {state} WHERE alloc_id = ? AND state != ?", asked)  # noqa: S608
        case "note":
            db.execute("INSERT INTO note VALUES (?, ?, ?)", (entry.number, change["alloc_id"], change["text"]))
        case _:
            return False
    return True


def _depth(db: sqlite3.Connection, name: str) -> int:
    """How many holders lie on the tag's stack."""
    found = db.execute("SELECT MAX(depth) FROM holder WHERE name = ?", (name,)).fetchone()
    return int(found[0] or 0)


def _hold(db: sqlite3.Connection, name: str, depth: int, alloc_id: str, number: int) -> None:
    db.execute("INSERT INTO holder VALUES (?, ?, ?, ?)", (name, depth, alloc_id, number))
    if alloc_id:
        db.execute("INSERT OR REPLACE INTO tag VALUES (?, ?, ?)", (name, alloc_id, number))
    else:
        db.execute("DELETE FROM tag WHERE name = ?", (name,))
