"""Keeps what the entries of the index's log say in a SQLite database, and answers questions from it.

The catalog is a fold of the log and nothing else: deleting it loses nothing. Several processes may share one file. Each
applies entries in one transaction, from the revision that the file then has. `path` None keeps it in memory.
All methods raise sqlite3.Error when the file fails them; `Index` then goes on with its `replacement`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from federation.index.catalog.fold import TABLES, FieldIds, fold, state_for
from federation.index.columns import SELECTED, Row, row_of
from federation.index.query.fields import Fields
from federation.index.query.functions import register
from federation.index.rows import RUN_COLUMNS, RunRow
from federation.log import Change, Entry, Position

SCHEMA = 7

_BUSY_TIMEOUT_S = 10.0
_FILE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}


class Catalog:
    """The catalog in one file (made if it doesn't exist), or in memory. With `spills`, SQLite moves a large one from
    memory to a temporary file of its own. One thread at a time."""

    def __init__(self, path: Path | None, *, spills: bool = False) -> None:
        self.path = path
        if path is None:
            self._db = _connect("" if spills else ":memory:")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = _connect(str(path))
        try:
            self._make_tables()
        except sqlite3.Error:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def replacement(self, error: sqlite3.Error) -> Catalog:
        """Returns the catalog to use after `error`. It may hold fewer entries than this one did."""
        self.close()
        return Catalog(None) if self.path is None else _after(error, self.path)

    def position(self) -> Position:
        """The last entry that the catalog holds."""
        found = self._db.execute("SELECT number, sha256, time FROM position").fetchone()
        if found is None:
            raise sqlite3.DatabaseError("the catalog lost its position")
        return Position(*found)

    def apply(self, entries: Sequence[Entry]) -> None:
        """Take in entries, all or (after a crash) none. Entries that the catalog has already are skipped."""
        if not entries:
            return
        with self._transaction("IMMEDIATE"):
            at = self.position()
            fields: FieldIds = {}
            for entry in entries:
                if entry.number <= at.number:
                    continue
                if entry.number != at.number + 1 or entry.previous != at.sha256:
                    raise sqlite3.DatabaseError(f"catalog at {at.number} is not what entry {entry.number} follows")
                fold(self._db, entry, fields)
                at = Position(entry.number, entry.sha256, entry.time)
            self._db.execute("UPDATE position SET number = ?, sha256 = ?, time = ?", at)

    def refuse_unusable(self, changes: Sequence[Change], about: Entry) -> None:
        """Fold the changes as the next entry (`about` tells when and by whom) and take it all back. Raises UsageError for a
        change that can't be used: what can't be understood is never written."""
        with self._transaction("IMMEDIATE"):
            self._db.execute("SAVEPOINT trial")
            try:
                entry = replace(about, number=self.position().number + 1, changes=tuple(changes))
                fold(self._db, entry, {}, strict=True)
            finally:
                self._db.execute("ROLLBACK TO trial")
                self._db.execute("RELEASE trial")

    def rows(
        self, where: str, values: Sequence[object], *, order: str = "rowid DESC", limit: int | None = None
    ) -> tuple[int, list[Row]]:
        """(revision, rows newest first) for an SQL condition over the table `result`, with `?` for each of `values`; the
        values of `order` come last."""
        with self._transaction("DEFERRED"):
            revision = self.position().number
            found = self._db.execute(
                f"SELECT {SELECTED} FROM result WHERE {where} ORDER BY {order} LIMIT ?",  # noqa: S608 - columns of ours
                (*values, -1 if limit is None else limit),
            ).fetchall()
        try:
            return revision, [row_of(values) for values in found]
        except (ValueError, TypeError) as error:
            raise sqlite3.DatabaseError(f"a row of the catalog is damaged: {error}") from error

    def runs(self, where: str, values: Sequence[object]) -> list[RunRow]:
        """Runs, newest first."""
        found = self._db.execute(
            f"SELECT {RUN_COLUMNS} FROM run WHERE {where} ORDER BY revision DESC, rowid DESC",  # noqa: S608
            tuple(values),
        )
        return [RunRow(*values) for values in found]

    def value(self, sql: str, *values: object) -> Any:
        """The first value of the first row of a query; None when there is no row."""
        found = self._db.execute(sql, values).fetchone()
        return None if found is None else found[0]

    def values(self, sql: str, *values: object) -> list[Any]:
        """The first column of a query."""
        return [found[0] for found in self._db.execute(sql, values)]

    def table(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self._db.execute(sql, values).fetchall()

    def entry(self, number: int) -> tuple[str, str, str, str] | None:
        """(time, author, reason, sha256) of a revision."""
        found: tuple[str, str, str, str] | None = self._db.execute(
            "SELECT time, author, reason, lower(hex(sha256)) FROM entry WHERE number = ?", (number,)
        ).fetchone()
        return found

    def is_half_rebuilt(self) -> bool:
        """Whether the log's last rebuild was broken off."""
        return bool(self.value("SELECT is_done FROM rebuild ORDER BY number DESC") == 0)

    def unknown(self) -> list[tuple[int, Change]]:
        """(revision, change) of a type that this fedml doesn't know."""
        return [(number, json.loads(change)) for number, change in self._db.execute("SELECT * FROM unknown")]

    def fields(self) -> Fields:
        """The metrics and parameters that results have, for `where`."""
        metrics: dict[str, frozenset[Any]] = {}
        params: set[str] = set()
        for kind, name, type_ in self._db.execute("SELECT kind, name, type FROM field"):
            if kind == "metric":
                metrics[name] = metrics.get(name, frozenset()) | {type_}
            else:
                params.add(name)
        return Fields(metrics, frozenset(params), are_known=self.value("SELECT 1 FROM result") is not None)

    def copies_of(self, alloc_id: str) -> list[str]:
        """URLs of the stores that hold further copies of a result, the oldest first."""
        return self.values("SELECT store FROM location WHERE alloc_id = ? ORDER BY number", alloc_id)

    def places_of(self, row: Row) -> list[tuple[str, Row | None]]:
        """Where a result lies, as arguments of `Stores.of`: where it was made, then its further copies, the oldest first."""
        copies = (url for url in self.copies_of(row.alloc_id) if url != row.store)
        return [(row.store, row), *((url, None) for url in copies)]

    def signatures_of(self, alloc_id: str) -> list[tuple[str, str, str]]:
        """(manifest's sha256, public key, signature) of each signature of a result."""
        return self.table("SELECT manifest_sha256, public_key, signature FROM signature WHERE alloc_id = ?", alloc_id)

    def state_for(self, run: str, slot: int, group: str, index: int) -> str:
        """What a result of this key would become now: committed, superseded or late."""
        return state_for(self._db, run, slot, group, index)

    def copy(self) -> Catalog:
        """A private copy, deleted when it is closed."""
        copy = Catalog(None, spills=True)
        self._db.backup(copy._db)
        return copy

    def change(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Let `work` write in one transaction. Only for a copy: a catalog itself is nothing but the fold of the log."""
        with self._transaction("IMMEDIATE"):
            work(self._db)

    def _make_tables(self) -> None:
        if self.value("PRAGMA user_version") == SCHEMA:
            return
        with self._transaction("IMMEDIATE"):
            found = self.value("PRAGMA user_version")
            if found == SCHEMA:
                return
            if found != 0 or self.value("SELECT 1 FROM sqlite_master") is not None:
                raise sqlite3.DatabaseError(f"catalog of schema {found}")
            for statement in TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA}")

    def _transaction(self, kind: str) -> _Transaction:
        return _Transaction(self._db, kind)


class _Transaction:
    """Begin on entry; commit on leaving, or roll back."""

    def __init__(self, db: sqlite3.Connection, kind: str) -> None:
        self._db = db
        self._kind = kind

    def __enter__(self) -> None:
        self._db.execute(f"BEGIN {self._kind}")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self._db.execute("COMMIT")
        elif self._db.in_transaction:
            self._db.execute("ROLLBACK")


def catalog_path(cache_dir: Path, home_id: str) -> Path:
    """The file of the catalog of that home, in the cache folder."""
    return cache_dir / "index" / f"{home_id}.{SCHEMA}.sqlite"


def read_hashes(path: Path) -> dict[int, str]:
    """sha256 by number of every entry that the catalog in that file holds; nothing where it can't be read. Changes nothing."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return dict(db.execute("SELECT number, lower(hex(sha256)) FROM entry"))
    except sqlite3.Error:
        return {}


def open_catalog(path: Path) -> Catalog:
    """The catalog in that file, or the next best: a new file where it is damaged, memory where no file can be had."""
    try:
        return Catalog(path)
    except sqlite3.Error as error:
        return _after(error, path)
    except OSError:
        return _in_memory(path)


def _after(error: sqlite3.Error, path: Path) -> Catalog:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and (code & 0xFF) in _FILE_UNAVAILABLE:
        return _in_memory(path)
    try:
        path.unlink(missing_ok=True)
        Path(f"{path}-journal").unlink(missing_ok=True)
        return Catalog(path)
    except (OSError, sqlite3.Error):
        return Catalog(None)


def _in_memory(path: Path) -> Catalog:
    """A catalog in memory with what the file at `path` holds, or empty where that can't be read."""
    memory = Catalog(None)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as file:
            if file.execute("PRAGMA user_version").fetchone() == (SCHEMA,):
                file.backup(memory._db)
    except (OSError, sqlite3.Error):
        memory.close()
        return Catalog(None)
    return memory


def _connect(place: str) -> sqlite3.Connection:
    db = sqlite3.connect(place, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA synchronous = NORMAL")
    register(db)
    return db
