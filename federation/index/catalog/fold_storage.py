"""Writes changes about a result's bytes into the catalog: further copies, signatures, removal by gc.

None of them touches who won a key. `doom` marks a result for removal after a time, `spare` takes that back, `remove`
decides it, `freed` tells that the bytes are gone in every store. `rebuild` opens and ends a log that was made again.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from federation.index.rows import REMOVED
from federation.log import Entry

UPKEEP_TABLES = """
CREATE TABLE location (alloc_id TEXT, store TEXT, number INTEGER, PRIMARY KEY (alloc_id, store));
CREATE TABLE signature (
    alloc_id TEXT, public_key TEXT, manifest_sha256 TEXT, signature TEXT, number INTEGER,
    PRIMARY KEY (alloc_id, public_key));
CREATE TABLE doom (alloc_id TEXT PRIMARY KEY, until TEXT, number INTEGER);
CREATE TABLE removed (alloc_id TEXT PRIMARY KEY, number INTEGER, size_bytes INTEGER);
CREATE TABLE rebuild (number INTEGER PRIMARY KEY, is_done INTEGER)
"""


def fold_upkeep(db: sqlite3.Connection, entry: Entry, change: dict[str, Any]) -> bool:
    """Write one change, within the caller's transaction; False for one that is none of these. Raises KeyError, TypeError
    or sqlite3's own errors for a change that can't be read."""
    number = entry.number
    match change["type"]:
        case "locate":
            db.execute("INSERT OR IGNORE INTO location VALUES (?, ?, ?)", (change["alloc_id"], change["store"], number))
        case "sign":
            names = ("alloc_id", "public_key", "manifest_sha256", "signature")
            db.execute(
                "INSERT OR REPLACE INTO signature VALUES (?, ?, ?, ?, ?)", (*(change[name] for name in names), number)
            )
        case "doom":
            db.execute("INSERT OR IGNORE INTO doom VALUES (?, ?, ?)", (change["alloc_id"], change["until"], number))
        case "spare":
            spare(db, change["alloc_id"])
        case "remove":
            spare(db, change["alloc_id"])
            db.execute("INSERT OR IGNORE INTO removed VALUES (?, ?, NULL)", (change["alloc_id"], number))
            db.execute("UPDATE result SET state = ? WHERE alloc_id = ?", (REMOVED, change["alloc_id"]))
        case "freed":
            asked = (change["size_bytes"], change["alloc_id"])
            db.execute("UPDATE removed SET size_bytes = ? WHERE alloc_id = ? AND size_bytes IS NULL", asked)
        case "rebuild":
            db.execute("INSERT OR IGNORE INTO rebuild VALUES (?, ?)", (number, bool(change["is_done"])))
        case _:
            return False
    return True


def spare(db: sqlite3.Connection, alloc_id: str) -> None:
    """The result isn't marked for removal any more (it was tagged, or gc's rule changed); a later mark begins a new grace."""
    db.execute("DELETE FROM doom WHERE alloc_id = ?", (alloc_id,))
