"""Results enter in batches, one versioned index of all regions and clouds leaves.

The index is the log `index/log/` in the home store, and nothing else: what it says is the fold of its entries, kept in
a local catalog (`federation.index.catalog`). Each decision (which version is next, who wins a key) is made again
whenever another writer was faster, so that it rests on everything before its own entry: two writers never both win.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from federation.errors import IndexCorrupt, LogConflict, UsageError
from federation.index.catalog import SCHEMA, Catalog, open_catalog
from federation.index.fetch import Fetched, fetch
from federation.index.fold import RECORD_CHANGES
from federation.index.home import LOG_PREFIX, make_home, probe_write, read_home
from federation.index.names import checked_name, checked_record, checked_version
from federation.index.rows import CANCELLED, COMMITTED, RUN_STATES_CLOSED, SUPERSEDED, OpenedRun, Row, RunRow
from federation.log import Change, Entry, Log, Position, utc_now
from federation.result import ResultRecord
from regions.storage.store import Store

_CHANGE_OF_STATE = {COMMITTED: "add", SUPERSEDED: "supersede", "late": "late"}
_OUTCOME_OF_STATE = {COMMITTED: "added", SUPERSEDED: "superseded", "late": "late"}

_CATALOGS_TRIED = 3
_CANDIDATES_SHOWN = 10

Answer = TypeVar("Answer")


class Index:
    """The index of one home store. Nothing is read or written before the first question; may be used from threads.

    Readers need to read the home store only. The first write makes the home (`format.json`).
    """

    def __init__(
        self, home: Store, *, cache_dir: Path, author: str = "", clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._store = home
        self._cache_dir = cache_dir
        self._clock = clock
        self._log = Log(home, LOG_PREFIX, author=author, clock=clock)
        self._home_id = ""
        self._catalog: Catalog | None = None
        self._revision = 0
        self._lock = threading.RLock()

    def close(self) -> None:
        """Give back the local catalog."""
        with self._lock:
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None

    @property
    def revision(self) -> int:
        """The number of the last commit that the last answer rests on; 0 for an empty index."""
        return self._revision

    @property
    def home(self) -> Store:
        """The home store."""
        return self._store

    def change(self, decide: Callable[[Catalog], list[Change]], *, reason: str = "") -> None:
        """Append what `decide` answers to an up-to-date catalog, in one entry; asked again whenever another writer was
        faster, so that it rests on everything before its own entry. Nothing is written for an empty answer."""
        with self._lock:
            self._append(decide, reason=reason)

    def ask(self, question: Callable[[Catalog], Answer]) -> Answer:
        """Put a question to the catalog, brought up to the end of the log."""
        with self._lock:
            self._sync()
            return self._ask(question)

    def remembered(self) -> dict[int, str]:
        """sha256 by number of the entries that the local catalog has read before; the log isn't asked. Raises the
        store's errors, IndexCorrupt for a torn `format.json`."""
        with self._lock:
            if self._catalog is None or not self._home_id:
                home = read_home(self._store)
                self._open_catalog(home.id if home else "")
            return self._ask(lambda catalog: catalog.hashes())

    def require_writable(self) -> None:
        """Prove, before anything happens elsewhere, that the home can be written; make it if need be. Raises the store's
        error, or NotSupported for one that can't be a home."""
        with self._lock:
            self._make_home()
            probe_write(self._store)

    def open_run(
        self, run: str, job: str, version: str | None, spec_hash: str, slots: int, expected_keys: int
    ) -> OpenedRun:
        """Reserve a version for a run: the given one, or (None) one above the job's highest whole number.

        Saying it again for the same run changes nothing and answers the same. Raises UsageError for a run that was
        opened for another job or version. After a crash the run is open, or unknown; say it again.
        """
        for what, name in (("run", run), ("job", job)):
            checked_name(what, name)
        if version is not None:
            checked_version(version)

        def decide(catalog: Catalog) -> list[Change]:
            known = catalog.runs("run = ?", (run,))
            if known:
                if known[0].job != job or version not in (None, known[0].version):
                    raise UsageError(f"run {run} was opened for {known[0].job} version {known[0].version}")
                return []
            chosen = version if version is not None else str(_highest_version(catalog, job) + 1)
            asked = {"slots": slots, "expected_keys": expected_keys, "spec_hash": spec_hash}
            return [{"type": "open", "run": run, "job": job, "version": chosen, **asked}]

        with self._lock:
            self._append(decide, reason=f"run {run}")
            return self._ask(lambda catalog: _opened(catalog, run))

    def close_run(self, run: str, state: str, reason: str = "") -> str:
        """Close a run as done, failed or cancelled, and return the state that it has: a cancelled run stays cancelled,
        a failed one may still be done. Saying the same again changes nothing. Raises UsageError for an unknown run."""
        if state not in RUN_STATES_CLOSED:
            raise UsageError(f"a run is closed as {', '.join(RUN_STATES_CLOSED)}, not as {state!r}")
        holds = state

        def decide(catalog: Catalog) -> list[Change]:
            nonlocal holds
            now = catalog.value("SELECT state FROM run WHERE run = ?", run)
            if now is None:
                raise UsageError(f"the index knows no run {run}")
            if now in (state, CANCELLED):
                holds = now
                return []
            return [{"type": "close", "run": run, "state": state, "reason": reason}]

        with self._lock:
            self._append(decide, reason=reason)
        return holds

    def commit(self, records: Sequence[ResultRecord], *, reason: str = "") -> dict[str, str]:
        """Enter results, all in one entry, and return what became of each allocation: `added` (it won its key),
        `superseded` (the key was won before), `late` (its run was cancelled), `known` (it is in the index already).

        Raises UsageError for a record that `checked_record` refuses, before anything is written.
        After a crash or Unavailable all of them are in the index or none; committing them again is right either way.
        """
        outcomes: dict[str, str] = {}

        def decide(catalog: Catalog) -> list[Change]:
            outcomes.clear()
            won: set[object] = set()
            changes: list[Change] = []
            for record in records:
                alloc_id, key = record.alloc_id, record.key
                if alloc_id in outcomes:
                    continue
                if catalog.value("SELECT 1 FROM result WHERE alloc_id = ?", alloc_id) is not None:
                    outcomes[alloc_id] = "known"
                    continue
                state = catalog.state_for(key.run, key.slot, key.group, key.index)
                if state == COMMITTED and key in won:
                    state = SUPERSEDED
                if state == COMMITTED:
                    won.add(key)
                outcomes[alloc_id] = _OUTCOME_OF_STATE[state]
                changes.append({"type": _CHANGE_OF_STATE[state], "record": record.to_dict()})
            return changes

        for record in records:
            checked_record(record)
        if records:
            with self._lock:
                self._append(decide, reason=reason)
        return outcomes

    def query(
        self,
        *,
        job: str | None = None,
        version: str | None = None,
        region: str | None = None,
        run: str | None = None,
        state: str | None = None,
        limit: int | None = None,
    ) -> list[Row]:
        """Results that match all that is given, newest first."""
        given = {"job": job, "version": version, "region": region, "run": run, "state": state}
        asked = {column: value for column, value in given.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in asked) or "1"
        return self._rows(where, tuple(asked.values()), limit=limit)

    def find(self, ref: str, *, job: str | None = None) -> list[Row]:
        """The results that `ref` may mean, newest first: a version (`4`) or `job@version`: its committed results; one
        slot of it (`job@4/0`); else the allocation ids that begin with it. Empty when there are none."""
        text = ref.strip()
        named_job, at, rest = text.rpartition("@")
        version, slash, slot = rest.partition("/")
        where, values = "version = ? AND state = 'committed'", [version]
        if at or job:
            where, values = f"{where} AND job = ?", [*values, named_job if at else str(job)]
        if slash and slot.isdecimal():
            where, values = f"{where} AND slot = ?", [*values, str(int(slot))]
        found = self._rows(where, values) if version else []
        if found or at or not text:
            return found
        return self._rows("alloc_id >= ? AND alloc_id < ?", (text.lower(), text.lower() + chr(0x10FFFF)))

    def result(self, ref: str, *, job: str | None = None) -> Row:
        """The one result that `ref` means (see `find`). Raises UsageError for none, and for several: it lists them."""
        found = self.find(ref, job=job)
        if len(found) == 1:
            return found[0]
        if not found:
            raise UsageError(f"the index has no result or version {ref!r}", hint="fedml index list shows what it has")
        lines = [
            f"  {row.alloc_id}  {row.job} version {row.version}, slot {row.slot}, "
            f"{row.region}/{row.datacenter}, {row.state}"
            for row in found[:_CANDIDATES_SHOWN]
        ]
        more = len(found) - len(lines)
        rest = f"\n  … and {more} more" if more else ""
        raise UsageError(
            f"{ref!r} means {len(found)} results:\n" + "\n".join(lines) + rest,
            hint=f"name one by the beginning of its allocation id, as {found[0].alloc_id[:8]}",
        )

    def rivals(self, row: Row) -> list[Row]:
        """The other results of the row's key, newest first."""
        where = "run = ? AND slot = ? AND grp = ? AND idx = ? AND alloc_id != ?"
        return self._rows(where, (row.run, row.slot, row.group, row.index, row.alloc_id))

    def record(self, row: Row) -> ResultRecord:
        """The result's whole record (its files, environment and all), from the log entry that committed it. Raises
        IndexCorrupt where that entry isn't any more what it was."""
        entry = self._log.read(row.revision)
        known = self._ask(lambda catalog: catalog.entry(row.revision))
        records = [change["record"] for change in entry.changes if change["type"] in RECORD_CHANGES]
        data = next((record for record in records if record["alloc_id"] == row.alloc_id), None)
        if data is None or known is None or known[-1] != entry.sha256:
            raise IndexCorrupt(
                f"revision {row.revision} of the index was rewritten after it was read", hint=self._how_to_accept()
            )
        return ResultRecord.from_dict(data, source=f"the record of {row.alloc_id} in the index")

    def get(self, row: Row, *, open_store: Callable[[Row], Store], to: Path, force: bool = False) -> Fetched:
        """Bring the result's artifact from its store into the folder `to`, verified (see `fetch`)."""
        return fetch(self.record(row), open_store(row), to, force=force)

    def provenance(self, revision: int) -> tuple[str, str, str]:
        """(time, author, reason) of a revision; empty texts for one that doesn't exist."""
        found = self._ask(lambda catalog: catalog.entry(revision))
        return found[:3] if found else ("", "", "")

    def unknown_changes(self) -> list[tuple[int, Change]]:
        """(revision, change) of types that this fedml doesn't know, as of the last answer: written by a newer one, kept
        and without effect."""
        return self._ask(lambda catalog: catalog.unknown())

    def runs(self, *, job: str | None = None, run: str | None = None, state: str | None = None) -> list[RunRow]:
        """Runs that match all that is given, newest first."""
        asked = {column: value for column, value in (("job", job), ("run", run), ("state", state)) if value is not None}
        where = " AND ".join(f"{column} = ?" for column in asked) or "1"
        self._sync()
        return self._ask(lambda catalog: catalog.runs(where, tuple(asked.values())))

    def latest_version(self, job: str) -> str | None:
        """The job's highest whole-number version, reserved or with results; without any, the one opened last."""

        def ask(catalog: Catalog) -> str | None:
            highest = _highest_version(catalog, job)
            if highest or catalog.value("SELECT 1 FROM run WHERE job = ? AND version = '0'", job):
                return str(highest)
            last: str | None = catalog.value("SELECT version FROM run WHERE job = ? ORDER BY revision DESC", job)
            return last

        self._sync()
        return self._ask(ask)

    def _rows(self, where: str, values: Sequence[object], *, limit: int | None = None) -> list[Row]:
        with self._lock:
            self._sync()
            self._revision, rows = self._ask(lambda catalog: catalog.rows(where, values, limit=limit))
            return rows

    def _append(self, decide: Callable[[Catalog], list[Change]], *, reason: str) -> None:
        """Sync, decide, append; what is decided anew to nothing is not written."""
        self._make_home()
        self._sync()
        changes = self._ask(decide)
        if not changes:
            return

        def rebase(_: object) -> list[Change] | None:
            nonlocal changes
            self._take_in()
            changes = self._ask(decide)
            return changes or None

        try:
            self._log.append(changes, reason=reason, rebase=rebase)
        except LogConflict:
            if changes:
                raise
        self._take_in()

    def _make_home(self) -> None:
        if not self._home_id:
            home = read_home(self._store) or make_home(self._store, self._clock())
            self._open_catalog(home.id)

    def _open_catalog(self, home_id: str) -> None:
        self.close()
        self._home_id = home_id
        path = self._cache_dir / "index" / f"{home_id}.{SCHEMA}.sqlite"
        self._catalog = open_catalog(path) if home_id else Catalog(None)

    def _sync(self) -> None:
        """Bring the catalog up to the end of the log."""
        with self._lock:
            if self._catalog is None or not self._home_id:
                home = read_home(self._store)
                self._open_catalog(home.id if home else "")
            at = self._ask(lambda catalog: catalog.position())
            if at != self._log.position:
                self._log.start_at(at)
            entries = self._refreshed(at)
            self._ask(lambda catalog: catalog.apply(entries))

    def _take_in(self) -> None:
        entries = self._log.take()
        self._ask(lambda catalog: catalog.apply(entries))

    def _refreshed(self, at: Position) -> list[Entry]:
        try:
            return self._log.refresh()
        except IndexCorrupt as error:
            how = self._how_to_accept() if at.number else ""
            error.hint += f"; {how}" if how else ""
            raise

    def _how_to_accept(self) -> str:
        path = self._catalog.path if self._catalog else None
        return f"where the home store was restored on purpose, delete {path} and try again" if path else ""

    def _ask(self, question: Callable[[Catalog], Answer]) -> Answer:
        """Ask the catalog; where its file fails, go on with another one that was brought up to date."""
        with self._lock:
            assert self._catalog is not None
            for _ in range(_CATALOGS_TRIED):
                try:
                    return question(self._catalog)
                except sqlite3.Error as error:
                    self._catalog = self._catalog.replacement(error)
                try:
                    self._log.start_at(self._catalog.position())
                    self._catalog.apply(self._log.refresh())
                except sqlite3.Error as error:
                    self._catalog = self._catalog.replacement(error)
            return question(self._catalog)


def _highest_version(catalog: Catalog, job: str) -> int:
    """The highest whole-number version of the job, reserved or with results; 0 without any."""
    numbers = catalog.values(
        "SELECT version FROM run WHERE job = ? UNION SELECT version FROM result WHERE job = ?", job, job
    )
    return max((int(number) for number in numbers if number.isascii() and number.isdigit()), default=0)


def _opened(catalog: Catalog, run: str) -> OpenedRun:
    opened = catalog.runs("run = ?", (run,))[0]
    others = "job = ? AND version = ? AND run != ?"
    named = (opened.job, opened.version, run)
    existing = catalog.value(f"SELECT COUNT(*) FROM result WHERE {others} AND state = 'committed'", *named)  # noqa: S608
    before = catalog.value(
        f"SELECT EXISTS (SELECT 1 FROM run WHERE {others} AND revision < ?) "  # noqa: S608
        f"OR EXISTS (SELECT 1 FROM result WHERE {others} AND revision < ?)",
        *(*named, opened.revision, *named, opened.revision),
    )
    return OpenedRun(opened.version, not before, existing, opened.revision)
