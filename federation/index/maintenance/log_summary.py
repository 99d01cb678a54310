"""Sums up the entries of a log: results, open runs, and entries that fedml would never have written. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from federation.index.catalog.changes import checked_change
from federation.index.home import entry_key
from federation.index.maintenance.log_reader import Chain
from federation.index.maintenance.problem import Problem
from federation.log import Entry
from federation.result import Key, ResultRecord
from jobs.errors import FedmlError
from regions.storage.store import Store


@dataclass(slots=True)
class Committed:
    """One result as the log has it."""

    record: ResultRecord
    revision: int
    stores: list[str]
    """URLs: where it was made first, then its copies."""


class LogSummary:
    """What the readable entries say taken together: results, open runs, removed results."""

    def __init__(self, home: Store, chain: Chain) -> None:
        self.results: dict[str, Committed] = {}
        self.removed: set[str] = set()
        self.open_runs: set[str] = set()
        self.has_entries = bool(chain.entries)
        self.problems: list[Problem] = []
        self.rebuild: Entry | None = None
        self._home = home
        self._winners: dict[object, str] = {}
        self._cancelled: set[str] = set()
        for entry in chain.entries:
            for change in entry.changes:
                try:
                    self._take(entry, change, checked_change(change, source="it"))
                except FedmlError as error:
                    what = f"log entry {entry.number} by {entry.author!r} holds a {change['type']!r} without effect: "
                    self._wrong(entry, "change-unreadable", what + error.message)
        self.problems += self._unfinished()

    def is_settled(self, key: Key) -> bool:
        """Whether no further result can win that key: another one has won it, or its run was cancelled."""
        return key in self._winners or key.run in self._cancelled

    def _unfinished(self) -> Iterator[Problem]:
        if self.rebuild is not None:
            what = f"a rebuild by {self.rebuild.author!r} was broken off: results may be missing in the index"
            where = self._home.url_of(entry_key(self.rebuild.number))
            yield Problem("rebuild-unfinished", where, what, "fedml index rebuild --yes (it goes on)")

    def _take(self, entry: Entry, change: Mapping[str, Any], record: ResultRecord | None) -> None:
        if record is not None:
            self._take_result(entry, change["type"], record)
        match change["type"]:
            case "open":
                self.open_runs.add(change["run"])
            case "close":
                self.open_runs.discard(change["run"])
                if change["state"] == "cancelled":
                    self._cancelled.add(change["run"])
            case "locate" if change["alloc_id"] in self.results:
                self.results[change["alloc_id"]].stores.append(change["store"])
            case "remove":
                self.removed.add(change["alloc_id"])
            case "rebuild":
                self.rebuild = None if change["is_done"] else (self.rebuild or entry)

    def _take_result(self, entry: Entry, kind: str, record: ResultRecord) -> None:
        alloc_id = record.alloc_id
        if alloc_id in self.results:
            self._wrong(entry, "entered-twice", f"log entry {entry.number} enters result {alloc_id} again")
            return
        if kind == "add":
            winner = self._winners.setdefault(record.key, alloc_id)
            if winner != alloc_id or record.key.run in self._cancelled:
                why = "its run is cancelled" if winner == alloc_id else f"{winner} won it before"
                what = (
                    f"log entry {entry.number} by {entry.author!r} lets {alloc_id} win {record.key.path}, though {why}"
                )
                self._wrong(entry, "second-winner", what)
        self.results[alloc_id] = Committed(record, entry.number, [record.store])
        if not record.has_its_manifest:
            self._wrong(
                entry,
                "manifest-wrong",
                f"the files of result {alloc_id} in log entry {entry.number} don't have its manifest's hash",
            )

    def _wrong(self, entry: Entry, kind: str, what: str) -> None:
        mend = f"fedml never writes that: look at who did ({entry.author!r}), and restore the log from before"
        if kind == "change-unreadable":
            mend += ", or make the log again without it: fedml index rebuild --salvage"
        self.problems.append(Problem(kind, self._home.url_of(entry_key(entry.number)), what, mend))
