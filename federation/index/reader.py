"""Answers questions about results and runs from a catalog: as it is now (`Index`), or at an earlier revision (`Past`)."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from federation.errors import IndexCorrupt, UnknownName, UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.catalog.changes import RECORD_CHANGES
from federation.index.catalog.history import Revision, TagMove, moves, moves_of_result, revisions
from federation.index.catalog.lineage import PREFIX_CHARS_MIN, Lineage, data_and_code, named_parents
from federation.index.catalog.log_search import Searched, search_log
from federation.index.columns import Row
from federation.index.query import columns
from federation.index.query.candidates import of_columns
from federation.index.query.fields import Field
from federation.index.query.order import sort_fields
from federation.index.rows import Note, RunRow
from federation.index.search import TAGGED, Asked, count, sample, search
from federation.index.short_ids import short_result, short_runs
from federation.index.validation import refuse_no_text
from federation.index.versions import latest_version_in
from federation.log import Change, Entry
from federation.result import ResultRecord

_CANDIDATES_SHOWN = 10

Answer = TypeVar("Answer")


_NEIGHBOURS = """
    SELECT value, (SELECT MAX(alloc_id) FROM result WHERE alloc_id < value),
        (SELECT MIN(alloc_id) FROM result WHERE alloc_id > value)
    FROM json_each(?)
"""


class Reader(ABC):
    """Questions to an index. `revision` tells what the last answer rests on."""

    _revision = 0

    @abstractmethod
    def ask(self, question: Callable[[Catalog], Answer]) -> Answer:
        """Asks the catalog, brought up to date unless it is of an earlier revision."""

    @abstractmethod
    def ask_again(self, question: Callable[[Catalog], Answer]) -> Answer:
        """Asks the catalog as it was at the last answer."""

    @abstractmethod
    def entry(self, number: int) -> Entry:
        """One entry of the log, whole. Raises IndexCorrupt where it isn't any more what the catalog took in."""

    @property
    def revision(self) -> int:
        """The number of the last commit that the last answer rests on; 0 for an empty index."""
        return self._revision

    def query(
        self,
        *,
        job: str | None = None,
        version: str | None = None,
        region: str | None = None,
        run: str | None = None,
        state: str | None = None,
        tag: str | None = None,
        where: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> list[Row]:
        """Results that match all that is given, newest first or as `sort` says (`metrics.auc:desc,version`).

        Retired and removed ones only where `state` or `where` (see `federation.index.query`) asks for a state. `after`: only
        those that come after this allocation in that order. Raises WhereError.
        """
        asked = Asked.of(job=job, version=version, region=region, run=run, state=state, tag=tag, where=where)
        self._revision, rows = self.ask(lambda catalog: search(catalog, asked, sort=sort, limit=limit, after=after))
        return rows

    def count(self, *, is_exact: bool = True, **filters: str | None) -> int | None:
        """How many results match (see `query`), as of the last answer. Without `is_exact` None where counting them takes much
        longer than finding a few. Raises WhereError."""
        asked = Asked.of(**filters)
        return self.ask_again(lambda catalog: count(catalog, asked, is_exact=is_exact))

    def sample(self, size: int, **filters: str | None) -> tuple[int, list[Row]]:
        """(how many results match, `size` of them), newest first. The same results are chosen each time. Raises WhereError."""
        asked = Asked.of(**filters)
        self._revision, total, rows = self.ask(lambda catalog: sample(catalog, asked, size))
        return total, rows

    def field_names(self) -> list[str]:
        """The fields of `--where`, `--sort` and `--columns`, as they are written, as of the last answer."""
        return self.ask_again(lambda catalog: catalog.fields().names)

    def columns(self, text: str) -> list[Field]:
        """The fields of `version,metrics.auc,tags`, as of the last answer. Raises WhereError."""
        return columns(text, self.ask_again(lambda catalog: catalog.fields()))

    def sort_fields(self, text: str) -> list[Field]:
        """The fields of `metrics.auc:desc,version`, as of the last answer. Raises WhereError."""
        return sort_fields(text, self.ask_again(lambda catalog: catalog.fields()))

    def find(self, ref: str, *, job: str | None = None) -> list[Row]:
        """The results that `ref` may mean, newest first: a tag (`production`); a version (`4`) or `job@version`: its
        committed results; one slot of it (`job@4/0`); else the allocation ids that begin with it. Empty when there are
        none."""
        text = ref.strip()
        refuse_no_text(text)
        tagged = self._rows(TAGGED, (text,))
        if tagged:
            return [row for row in tagged if job in (None, row.job)]
        named_job, at, rest = text.rpartition("@")
        version, slash, slot = rest.partition("/")
        known = {"version": version} | ({"job": named_job if at else str(job)} if at or job else {})
        of_version = next(of_columns(known))
        where, values = f"rowid IN ({of_version.text}) AND state = 'committed'", list(of_version.values)
        if slash and slot.isdecimal():
            where, values = f"{where} AND slot = ?", [*values, str(int(slot))]
        found = self._rows(where, values) if version else []
        if found or at or not text:
            return found
        return self._rows("alloc_id >= ? AND alloc_id < ?", (text.lower(), text.lower() + chr(0x10FFFF)))

    def result(self, ref: str, *, job: str | None = None, sort: str | None = None) -> Row:
        """The one result that `ref` means (see `find`); of several, the first by `sort` (see `query`). Raises UsageError for
        none, and for several without `sort`: it lists them. Raises WhereError for a `sort` that isn't valid."""
        found = self.find(ref, job=job)
        if sort is not None and found:
            ids, jobs = {row.alloc_id for row in found}, {row.job for row in found}
            in_order = self.query(job=jobs.pop() if len(jobs) == 1 else None, sort=sort)
            found = [row for row in in_order if row.alloc_id in ids][:1] or found
        if len(found) == 1:
            return found[0]
        if not found:
            raise UnknownName(
                f"the index has no result, version or tag {ref!r}", hint="fedml index list shows what it has"
            )
        short = self.short_results(row.alloc_id for row in found[:_CANDIDATES_SHOWN])
        lines = [
            f"  {short[row.alloc_id]}  {row.job} version {row.version}, slot {row.slot}, "
            f"{row.region}/{row.datacenter}, {row.state}"
            for row in found[:_CANDIDATES_SHOWN]
        ]
        more = len(found) - len(lines)
        rest = f"\n  … and {more} more" if more else ""
        raise UsageError(
            f"{ref!r} means {len(found)} results:\n" + "\n".join(lines) + rest,
            hint=f"name one by the beginning of its allocation id, as {short[found[0].alloc_id]}; or get the best:  "
            f"fedml index get {ref} --sort metrics.NAME",
        )

    def won(self, run: str, slots: Iterable[int] | None = None) -> list[Row]:
        """The results that won their keys in this run (None: of all slots), retired ones too: those keys are done for ever."""
        if slots is None:
            return self._rows("run = ? AND entered = 'committed'", (run,))
        of_slots = "run = ? AND entered = 'committed' AND slot IN (SELECT value FROM json_each(?))"
        return self._rows(of_slots, (run, json.dumps([*slots])))

    def rivals(self, row: Row) -> list[Row]:
        """The other results of the row's key, newest first."""
        where = "run = ? AND slot = ? AND grp = ? AND idx = ? AND alloc_id != ?"
        return self._rows(where, (row.run, row.slot, row.group, row.index, row.alloc_id))

    def record(self, row: Row) -> ResultRecord:
        """The result's whole record (its files, environment and all), from the log entry that committed it. Raises
        IndexCorrupt where that entry isn't any more what it was."""
        changes = self.entry(row.revision).changes
        records = (change["record"] for change in changes if change["type"] in RECORD_CHANGES)
        data = next((record for record in records if record["alloc_id"] == row.alloc_id), None)
        if data is None:
            raise IndexCorrupt(f"revision {row.revision} of the index doesn't hold the result {row.alloc_id}")
        return ResultRecord.from_dict(data, source=f"the record of {row.alloc_id} in the index")

    def provenance(self, revision: int) -> tuple[str, str, str]:
        """(time, author, reason) of a revision; empty texts for one that doesn't exist."""
        found = self.ask_again(lambda catalog: catalog.entry(revision))
        return found[:3] if found else ("", "", "")

    def tags(self) -> list[TagMove]:
        """Where each tag points, by name: its newest move. Those that point to nothing are left out."""

        def ask(catalog: Catalog) -> list[TagMove]:
            return [moves(catalog, name)[0] for name in catalog.values("SELECT name FROM tag ORDER BY name")]

        return self.ask(ask)

    def tag_history(self, name: str) -> list[TagMove]:
        """All moves of a tag, newest first; empty for one that never existed."""
        return self.ask(lambda catalog: moves(catalog, name))

    def log(self, *, after: int = 0, limit: int | None = None) -> list[Revision]:
        """The entries after a revision, oldest first, the newest `limit` of them."""

        def ask(catalog: Catalog) -> list[Revision]:
            head = self._revision = catalog.position().number
            return revisions(catalog, max(after, head - limit if limit is not None else 0) + 1, head)

        return self.ask(ask)

    def search_log(self, *, before: int | None = None, limit: int, **filters: str | None) -> Searched:
        """The newest `limit` entries before a revision (None: of all) that match (see `search_log`)."""

        def ask(catalog: Catalog) -> Searched:
            self._revision = catalog.position().number
            return search_log(catalog, before=before, limit=limit, **filters)

        return self.ask(ask)

    def moves_of(self, row: Row) -> list[TagMove]:
        """The moves of tags to a result and away from it, newest first, as of the last answer."""
        return self.ask_again(lambda catalog: moves_of_result(catalog, row.alloc_id))

    def notes(self, row: Row) -> list[Note]:
        """Returns the notes of a result, oldest first."""
        found = self.ask_again(
            lambda catalog: catalog.table(
                "SELECT number, time, author, text FROM note JOIN entry USING (number) "
                "WHERE alloc_id = ? ORDER BY note.rowid",
                row.alloc_id,
            )
        )
        return [Note(*values) for values in found]

    def lineage(self, row: Row) -> Lineage:
        """Where a result came from, and what was made from it. Raises IndexCorrupt."""
        record = self.record(row)
        data, code = data_and_code(record)
        named = named_parents(record.environment, record.params)
        parents = tuple(self._allocation(name) for name in named)
        starts = [row.alloc_id[:length] for length in range(PREFIX_CHARS_MIN, len(row.alloc_id) + 1)] or [row.alloc_id]
        marks = ", ".join("?" * len(starts))
        children = self.ask_again(
            lambda catalog: catalog.values(
                f"SELECT DISTINCT alloc_id FROM parent WHERE parent IN ({marks}) ORDER BY rowid",  # noqa: S608
                *starts,
            )
        )
        return Lineage(row.alloc_id, record.spec_hash, data, code, parents, tuple(children))

    def _allocation(self, named: str) -> str:
        """The allocation id that begins so; the name itself where that isn't one."""
        asked = (named.lower(), named.lower() + chr(0x10FFFF))
        found = self.ask_again(
            lambda catalog: catalog.values("SELECT alloc_id FROM result WHERE alloc_id >= ? AND alloc_id < ?", *asked)
        )
        return str(found[0]) if len(found) == 1 else named

    def unknown_changes(self) -> list[tuple[int, Change]]:
        """(revision, change) of types that this fedml doesn't know, as of the last answer: written by a newer one, kept
        and without effect."""
        return self.ask_again(lambda catalog: catalog.unknown())

    def runs(self, *, job: str | None = None, run: str | None = None, state: str | None = None) -> list[RunRow]:
        """Runs that match all that is given, newest first."""
        asked = {column: value for column, value in (("job", job), ("run", run), ("state", state)) if value is not None}
        where = " AND ".join(f"{column} = ?" for column in asked) or "1"

        def ask(catalog: Catalog) -> list[RunRow]:
            self._revision = catalog.position().number
            return catalog.runs(where, tuple(asked.values()))

        return self.ask(ask)

    def short_runs(self, runs: Iterable[str]) -> dict[str, str]:
        """The short id of each run, as of the last answer: it names that run and no other."""
        known = self.ask_again(lambda catalog: catalog.values("SELECT run FROM run"))
        return short_runs(runs, known)

    def short_results(self, alloc_ids: Iterable[str]) -> dict[str, str]:
        """The short id of each allocation, as of the last answer: it names that result and no other."""
        asked = json.dumps(tuple(alloc_ids))
        rows = self.ask_again(lambda catalog: catalog.table(_NEIGHBOURS, asked))
        return {alloc_id: short_result(alloc_id, filter(None, neighbours)) for alloc_id, *neighbours in rows}

    def latest_version(self, job: str) -> str | None:
        """The job's highest whole-number version, reserved or with results. If there is none, the version opened last."""
        return self.ask(lambda catalog: latest_version_in(catalog, job))

    def _rows(self, where: str, values: Sequence[object]) -> list[Row]:
        self._revision, rows = self.ask(lambda catalog: catalog.rows(where, values))
        return rows
