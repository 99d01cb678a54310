"""One versioned index of the results of all regions and clouds: commits results in batches and answers questions about them.

The index is the log `index/log/` in the home store, and nothing else: what it says is the fold of its entries, kept in
a local catalog (`federation.index.catalog.catalog`). Each decision (which version is next, who wins a key) is made again
whenever another writer was faster, so that it takes all earlier entries into account: two writers never both win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from federation.errors import StoreRefused, UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.catalog.changes import CHANGE_OF_STATE
from federation.index.catalog.history import Difference, Revision, difference
from federation.index.columns import Row
from federation.index.commits import batches, opened_run, outcomes_of, refuse_foreign, states_of
from federation.index.fetch import Fetched, fetch
from federation.index.reader import Reader
from federation.index.replica import Replica
from federation.index.rows import CANCELLED, RUN_STATES_CLOSED, OpenedRun
from federation.index.signatures import read_public_keys, signer
from federation.index.stores import OpenStore
from federation.index.tag_rule import NO_RULE, TagRule
from federation.index.tags import (
    Asked,
    TagChange,
    decide_note,
    decide_retire,
    decide_rollback,
    decide_tag,
    decide_untag,
    holder,
)
from federation.index.time_travel import Past, revision_at, rewind
from federation.index.validation import (
    checked_name,
    checked_record,
    checked_run_name,
    checked_tag,
    checked_text,
    checked_version,
)
from federation.index.versions import highest_version
from federation.log import Change
from federation.result import ResultRecord, store_name
from regions.storage.backend import is_folder
from regions.storage.errors import StoreError


class Index(Replica, Reader):
    """The index of one home store: what may be asked of it (`Reader`) and what may be entered.

    Nothing is read or written before the first question; may be used from threads. Readers need to read the home store
    only. The first write makes the home (`format.json`).
    """

    def open_run(
        self,
        run: str,
        job: str,
        version: str | None,
        spec_hash: str,
        slots: int,
        expected_keys: int,
        *,
        name: str = "",
    ) -> OpenedRun:
        """Reserve a version for a run: the given one, or (None) one above the job's highest whole number.

        Saying it again for the same run changes nothing and answers the same. Raises UsageError for a run that was
        opened for another job or version. After a crash the run is open, or unknown; say it again.
        """
        checked_name("run", run)
        checked_name("job", job)
        named = {"name": checked_run_name(name)} if name else {}
        if version is not None:
            checked_version(version)

        def decide(catalog: Catalog) -> list[Change]:
            known = catalog.runs("run = ?", (run,))
            if known:
                if known[0].job != job or version not in (None, known[0].version):
                    raise UsageError(f"run {run} was opened for {known[0].job} version {known[0].version}")
                return []
            chosen = version if version is not None else str(highest_version(catalog, job) + 1)
            asked = {"slots": slots, "expected_keys": expected_keys, "spec_hash": spec_hash}
            return [{"type": "open", "run": run, "job": job, "version": chosen, **asked, **named}]

        with self._lock:
            self._append(decide, reason=f"run {run}")
            return self._ask(lambda catalog: opened_run(catalog, run))

    def close_run(self, run: str, state: str, reason: str = "") -> str:
        """Close a run as done, failed or cancelled, and return the state that it has.

        A cancelled run stays cancelled, one that is done stays done (another coordinator may know less), a failed one may
        still be done. Saying the same again changes nothing. Raises UsageError for an unknown run."""
        if state not in RUN_STATES_CLOSED:
            raise UsageError(f"a run is closed as {', '.join(RUN_STATES_CLOSED)}, not as {state!r}")
        holds = state

        def decide(catalog: Catalog) -> list[Change]:
            nonlocal holds
            now = catalog.value("SELECT state FROM run WHERE run = ?", run)
            if now is None:
                raise UsageError(f"the index knows no run {run}")
            if now in (state, CANCELLED) or (now, state) == ("done", "failed"):
                holds = now
                return []
            return [{"type": "close", "run": run, "state": state, "reason": reason}]

        with self._lock:
            self._append(decide, reason=reason)
        return holds

    def commit(self, records: Sequence[ResultRecord], *, reason: str = "") -> dict[str, str]:
        """Enter results in one entry, or in several where they take many megabytes. Return what became of each allocation:
        `added` (it won its key), `superseded` (the key was won before), `late` (its run was cancelled), `known` (it is in
        the index already).

        Raises UsageError for a record that `checked_record` refuses, and for one that says another job or version
        than its run was opened for, before its entry is written.
        After a crash or Unavailable all of an entry are in the index or none; committing them again is right either way.
        """
        for record in records:
            checked_record(record)
        outcomes: dict[str, str] = {}
        for batch in batches(records):
            outcomes |= self._commit(batch, reason)
        return outcomes

    def _commit(self, records: Sequence[ResultRecord], reason: str) -> dict[str, str]:
        outcomes: dict[str, str] = {}

        def decide(catalog: Catalog) -> list[Change]:
            nonlocal outcomes
            refuse_foreign(catalog, records)
            states = states_of(catalog, records)
            outcomes = outcomes_of(states)
            by_alloc_id = {record.alloc_id: record for record in reversed(records)}
            return [
                {"type": CHANGE_OF_STATE[state], "record": by_alloc_id[alloc_id].to_dict()}
                for alloc_id, state in states.items()
                if state
            ]

        with self._lock:
            self._append(decide, reason=reason)
        return outcomes

    def outcomes(self, records: Sequence[ResultRecord]) -> dict[str, str]:
        """Returns what `commit` would return for these records now. Writes nothing."""
        return self.ask(lambda catalog: outcomes_of(states_of(catalog, records)))

    def tag(
        self, name: str, ref: str, *, if_current: str | None = None, rule: TagRule = NO_RULE, reason: str = ""
    ) -> TagChange:
        """Point a tag to the one result that `ref` means, and tell where it pointed before. With `if_current` (what a
        result is named by, or `none`) only if it points there: of two people who do so at once, one wins.

        Raises UsageError for a name that is not a valid tag and for a result that is missing, retired or removed; TagMoved,
        TagRefused.
        After a crash or Unavailable it is done or not; saying it again is right either way.
        """
        checked_tag(name)
        alloc_id = self.result(ref).alloc_id
        asked = self._asked(self._expected(if_current), rule)
        return self._move(name, lambda catalog: decide_tag(catalog, name, alloc_id, asked), reason)

    def untag(
        self, name: str, *, if_current: str | None = None, rule: TagRule = NO_RULE, reason: str = ""
    ) -> TagChange:
        """Point a tag to nothing. Raises UsageError for one that never existed, TagMoved, TagRefused."""
        asked = self._asked(self._expected(if_current), rule)
        return self._move(name, lambda catalog: decide_untag(catalog, name, asked), reason)

    def rollback(
        self, name: str, *, if_current: str | None = None, rule: TagRule = NO_RULE, reason: str = ""
    ) -> TagChange:
        """Point a tag to its previous holder; a second rollback goes further back. It rolls back from the holder that is
        seen now, and fails if somebody moves the tag meanwhile. Raises UsageError without one, TagMoved, TagRefused."""
        seen = self.ask(lambda catalog: holder(catalog, name))
        expected = seen if if_current is None else self._expected(if_current)
        asked = self._asked(expected, rule)
        return self._move(name, lambda catalog: decide_rollback(catalog, name, asked), reason)

    def retire(self, refs: Sequence[str], *, is_undone: bool = False, reason: str = "") -> list[Row]:
        """Hide results (their artifacts and records stay, and who won a key too), or show them again. Raises UsageError
        for one that isn't there or that a tag points to; then nothing is written."""
        alloc_ids = [self.result(ref).alloc_id for ref in refs]
        self.change(
            lambda catalog: decide_retire(catalog, alloc_ids, is_undone=is_undone), reason=_checked_reason(reason)
        )
        return [row for alloc_id in alloc_ids for row in self.find(alloc_id)]

    def note(self, ref: str, text: str) -> Row:
        """Add a note to a result. Raises UsageError for an empty text, and for control
        characters."""
        row, checked = self.result(ref), checked_text("the note", text)
        self.change(lambda catalog: decide_note(catalog, row.alloc_id, checked))
        return row

    def at(self, when: str) -> Past:
        """The index as it was at a revision or a time (RFC 3339 with a zone). Raises UsageError for the future, a time
        without a zone, and what is neither."""

        def rewound(catalog: Catalog) -> tuple[int, Catalog]:
            number = revision_at(catalog, when, self.now())
            past = catalog.copy()
            past.change(lambda db: rewind(db, number))
            return number, past

        number, past = self.ask(rewound)
        return Past(past, number, self.entry)

    def diff(self, first: str, last: str | None = None) -> Difference:
        """What is another at one revision or time than at an earlier one (see `at`); `last` None: now. Raises UsageError
        where the first isn't the earlier."""

        def ask(catalog: Catalog) -> Difference:
            before = revision_at(catalog, first, self.now())
            after = catalog.position().number if last is None else revision_at(catalog, last, self.now())
            if before > after:
                raise UsageError(f"revision {before} comes after {after}: name the earlier one first")
            return difference(catalog, before, after)

        return self.ask(ask)

    def follow(self, after: int, *, pause: Callable[[], object]) -> Iterator[Revision]:
        """The entries after a revision as they come, for ever: one request that finds nothing, then `pause`, while there
        is nothing new."""
        while True:
            entries = self.log(after=after)
            yield from entries
            after = entries[-1].number if entries else after
            pause()

    def _move(self, name: str, decide: Callable[[Catalog], list[Change]], reason: str) -> TagChange:
        before = after = ""

        def decided(catalog: Catalog) -> list[Change]:
            nonlocal before, after
            before = after = holder(catalog, name)
            changes = decide(catalog)
            if changes:
                after = changes[0].get("alloc_id", "")
            return changes

        self.change(decided, reason=_checked_reason(reason))
        return TagChange(name, after, before, self.ask_again(lambda catalog: catalog.position().number))

    def _asked(self, expected: str | None, rule: TagRule) -> Asked:
        trusted = read_public_keys(rule.signed_by) if rule.signed_by is not None else frozenset[str]()

        def is_signed(catalog: Catalog, alloc_id: str) -> bool:
            record = self.record(catalog.rows("alloc_id = ?", (alloc_id,))[1][0])
            return bool(signer(record, catalog.signatures_of(alloc_id), trusted))

        return Asked(self.author, expected, rule, is_signed)

    def _expected(self, if_current: str | None) -> str | None:
        return "" if if_current == "none" else if_current and self.result(if_current).alloc_id

    def get(self, row: Row, *, open_store: OpenStore, to: Path, force: bool = False) -> Fetched:
        """Bring the result's artifact into the folder `to`, verified (see `fetch`), from the nearest store where it is whole: a
        folder, then where it was made, then its further copies, the oldest first. A store that `open_store` refuses is
        left out. Raises UsageError for one that gc removed, and what its own store raised where no copy will do."""
        removed = self.ask_again(
            lambda catalog: catalog.value("SELECT number FROM removed WHERE alloc_id = ?", row.alloc_id)
        )
        if removed is not None:
            raise UsageError(
                f"result {row.alloc_id[:8]} was removed by gc, in revision {removed}; its artifact is gone",
                hint=f"who did that, and why:  fedml index log   others:  fedml index list --job {row.job}",
            )
        record = self.record(row)
        own: StoreError | StoreRefused | None = None
        places = self.ask_again(lambda catalog: catalog.places_of(row))
        for url, made_there in sorted(places, key=lambda place: not is_folder(place[0])):
            try:
                store = open_store(url, made_there)
                return replace(fetch(record, store, to, force=force), store=store_name(store.url))
            except (StoreError, StoreRefused) as error:
                own = error if made_there else own
        assert own is not None
        raise own


def _checked_reason(reason: str) -> str:
    return checked_text("the reason", reason) if reason.strip() else ""
