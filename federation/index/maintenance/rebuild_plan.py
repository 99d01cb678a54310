"""Plans the entries of a lost index's new log from what is remembered of it and what lies in the stores. Writes nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from federation.claims import difference, of_opened
from federation.home import manifest_keys, read_manifest
from federation.index.catalog.changes import RECORD_CHANGES, usable
from federation.index.maintenance.collect import Candidate, Collected
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.recovery import Remembered
from federation.log import Change, Entry, timestamp
from federation.manifest import Manifest
from federation.result import AD_HOC, Key, ResultRecord
from federation.text import counted
from jobs.errors import FedmlError
from regions.storage.store import Store

_BATCH = 200
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What a run's own log says of its end: why and when it was cancelled, and the slots that a rule stopped."""

    cancel: tuple[str, datetime] | None = None
    stopped: frozenset[int] = frozenset()


ReadEnd = Callable[[str], RunEnd]
"""Reads that log; empty where it can't be read."""


@dataclass(slots=True)
class RebuildPlan:
    """What would be written, and what can't be known. `entries` are (reason, changes) in order."""

    found: Collected
    entries: list[tuple[str, list[Change]]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    is_salvage: bool = False
    goes_on: bool = False
    """An earlier rebuild was broken off; this goes on with it."""
    home_ids: list[str] = field(default_factory=list)
    """Ids that the home had, the newest first."""
    results: int = 0
    runs: list[str] = field(default_factory=list)
    """Opened again from their manifests."""
    several: list[tuple[str, list[str]]] = field(default_factory=list)
    """(key, allocations, the winner first) where only the stores could tell who won."""
    lost: list[str] = field(default_factory=list)
    """Allocations that are remembered, and of which no store that was read has a record any more."""
    unknown: list[str] = field(default_factory=list)
    """Sentences: what this couldn't know."""


class Replay:
    """Fills a plan with the entries that bring back what is remembered, then what only the stores and run logs know."""

    def __init__(
        self,
        home: Store,
        plan: RebuildPlan,
        memory: dict[int, Remembered],
        there: dict[int, Entry],
        read_end: ReadEnd,
    ) -> None:
        self._home = home
        self._plan = plan
        self._memory = memory
        self._read_end = read_end
        self._candidates = plan.found.candidates
        self._entered: set[str] = set()
        self._winners: dict[Key, str] = {}
        self._opened: set[str] = set()
        self._closed: dict[str, str] = {}
        self._cancelled_at: dict[str, datetime] = {}
        self._judged_by_time = 0
        removed = [
            change["alloc_id"] for one in memory.values() for change in one.changes if change["type"] == "remove"
        ]
        self._removed = frozenset(removed)
        self._dropped: set[str] = set()
        written = [change for entry in there.values() for change in usable(entry.changes)]
        self._done = {change["of"] for change in written if change["type"] == "rebuild" and "of" in change}
        for change in written:
            self._follow(change)

    def run(self) -> None:
        for entry in self._memory.values():
            if entry.number not in self._done:
                self._again(entry)
        left = {alloc_id: one for alloc_id, one in self._candidates.items() if alloc_id not in self._entered}
        manifests = {manifest.run: manifest for manifest in self._manifests()}
        by_run: dict[str, list[Candidate]] = {run: [] for run in manifests if run not in self._opened}
        for one in left.values():
            by_run.setdefault(one.record.key.run, []).append(one)
        for run in self._opened - self._closed.keys():
            by_run.setdefault(run, [])
        found = [one for run, ones in sorted(by_run.items()) for one in self._run(run, manifests.get(run), ones)]
        for moment, reason, changes in sorted(found, key=lambda one: one[0]):
            mark: Change = {"type": "rebuild", "is_done": False, "time": timestamp(moment)}
            self._plan.entries.append((reason, [mark, *({**change, "rebuilt": True} for change in changes)]))
        self._tell(manifests, left)

    def _again(self, one: Remembered) -> None:
        """One remembered entry, with the records that the stores have."""
        changes: list[Change] = []
        for change in one.changes:
            entered = self._with_record(change)
            if entered is not None:
                self._follow(entered)
                changes.append({**entered, "rebuilt": True})
        told = {"of": one.number, "time": one.time, "author": one.author}
        mark: Change = {"type": "rebuild", "is_done": False, **told}
        self._plan.entries.append((one.reason, [mark, *changes]))

    def _with_record(self, change: Change) -> Change | None:
        alloc_id = str(change.get("alloc_id", ""))
        if change["type"] not in RECORD_CHANGES:
            return None if alloc_id in self._dropped else change
        if "record" in change:
            return self._in_its_turn(change["type"], ResultRecord.from_dict(change["record"]))
        candidate = self._candidates.get(alloc_id)
        if candidate is None:
            if alloc_id not in self._removed:
                self._plan.lost.append(alloc_id)
            self._dropped.add(alloc_id)
            return None
        return self._in_its_turn(change["type"], candidate.record)

    def _in_its_turn(self, kind: str, record: ResultRecord) -> Change | None:
        """A result once, and as what it is after all that was entered before it: two logs may have gone on from one."""
        if record.alloc_id in self._entered:
            return None
        if kind == "add" and self._closed.get(record.key.run) == "cancelled":
            kind = "late"
        elif kind == "add" and record.key in self._winners:
            kind = "supersede"
        return {"type": kind, "record": record.to_dict()}

    def _follow(self, change: Change) -> None:
        """Notes what a change means for later ones."""
        match change["type"]:
            case "open":
                self._opened.add(change["run"])
            case "close":
                self._closed[change["run"]] = change["state"]
            case kind if kind in RECORD_CHANGES:
                record = ResultRecord.from_dict(change["record"])
                self._entered.add(record.alloc_id)
                self._plan.results += 1
                if kind == "add":
                    self._winners.setdefault(record.key, record.alloc_id)

    def _run(
        self, run: str, manifest: Manifest | None, candidates: list[Candidate]
    ) -> Iterator[tuple[datetime, str, list[Change]]]:
        """What only the stores and the run's own log know of one run: it is opened, its results enter, it is closed. Yields
        its entries as (time, reason, changes), in order."""
        changes: list[Change] = []
        if manifest is not None and run not in self._opened:
            names = ("run", "job", "version", "spec_hash", "slots", "expected_keys")
            opened = {name: getattr(manifest, name) for name in names}
            changes.append({"type": "open", **opened, **({"name": manifest.name} if manifest.name else {})})
            self._plan.runs.append(run)
        own = [one for one in candidates if self._is_own(manifest, one.record)]
        if manifest is not None and run not in self._closed:
            changes += self._cancelled(run, own)
            own = [one for one in own if one.record.alloc_id not in self._entered]
        changes += self._results(run, own)
        changes += self._finished(run, manifest)
        for change in changes:
            if change["type"] in ("open", "close"):
                self._follow(change)
        begun = _moment(manifest.created) if manifest is not None else _BEGINNING
        return self._entries(run, begun, changes, candidates)

    def _entries(
        self, run: str, begun: datetime, changes: list[Change], candidates: list[Candidate]
    ) -> Iterator[tuple[datetime, str, list[Change]]]:
        """The changes of one run in entries, the opening in its own. None is earlier than what it says or the one before."""
        times = {one.record.alloc_id: _moment(one.written or one.record.created) for one in candidates}
        cut = sum(change["type"] == "open" for change in changes)
        starts = range(cut, len(changes), _BATCH)
        now = begun
        for batch in (changes[:cut], *(changes[start : start + _BATCH] for start in starts)):
            entered = [times[change["record"]["alloc_id"]] for change in batch if "record" in change]
            closed = [self._cancelled_at[run] for change in batch if change.get("state") == "cancelled"]
            now = max([now, *entered, *closed])
            if batch:
                yield now, f"rebuilt from the stores: run {run}", batch

    def _cancelled(self, run: str, candidates: list[Candidate]) -> list[Change]:
        """Where the run was cancelled: the results that its store had before, then the cancel. All others are late."""
        cancel = self._read_end(run).cancel
        if cancel is None:
            return []
        reason, moment = cancel
        self._cancelled_at[run] = moment
        changes = list(self._results(run, [one for one in candidates if _moment(one.written) < moment]))
        self._closed[run] = "cancelled"
        self._judged_by_time += bool(candidates)
        return [*changes, {"type": "close", "run": run, "state": "cancelled", "reason": reason}]

    def _finished(self, run: str, manifest: Manifest | None) -> list[Change]:
        if manifest is None or run in self._closed:
            return []
        won = Counter(key.slot for key in self._winners if key.run == run)
        keys_a_slot = manifest.expected_keys // manifest.slots
        missing = [slot for slot in range(manifest.slots) if won[slot] < keys_a_slot]
        stopped = self._read_end(run).stopped if missing else frozenset[int]()
        if not stopped.issuperset(missing):
            return []
        is_empty = len(missing) == manifest.slots
        reason = f"a rule stopped {'all of its ' * is_empty}{counted(len(missing), 'slot')}" if missing else ""
        return [{"type": "close", "run": run, "state": "failed" if is_empty else "done", "reason": reason}]

    def _is_own(self, manifest: Manifest | None, record: ResultRecord) -> bool:
        """Whether the result is of the run that it names. If not, it becomes a problem."""
        problem = difference(record, of_opened(manifest, record)) if manifest is not None else ""
        if not problem:
            return True
        what = f"result {record.alloc_id} isn't believed: {problem}"
        where = record.key.record_key(record.alloc_id)
        self._plan.found.problems.append(Problem("record-differs", where, what, "it is left out"))
        return False

    def _results(self, run: str, candidates: list[Candidate]) -> Iterator[Change]:
        def order(one: Candidate) -> tuple[Key, int, str, str]:
            return one.record.key, one.record.attempt, one.written, one.record.alloc_id

        is_late = self._closed.get(run) == "cancelled"
        for key, group in itertools.groupby(sorted(candidates, key=order), lambda one: one.record.key):
            ones = list(group)
            if len(ones) > 1 and key not in self._winners and not is_late:
                self._plan.several.append((key.path, [one.record.alloc_id for one in ones]))
            for one in ones:
                kind = "late" if is_late else "supersede" if key in self._winners else "add"
                change: Change = {"type": kind, "record": one.record.to_dict()}
                self._follow(change)
                yield change
                yield from ({"type": "locate", "alloc_id": one.record.alloc_id, "store": name} for name in one.copies)

    def _manifests(self) -> Iterator[Manifest]:
        for run, key in manifest_keys(self._home):
            try:
                yield read_manifest(self._home, run)
            except FedmlError as error:
                self._plan.unknown.append(
                    f"{self._home.url_of(key)} can't be read ({error.message}): its run isn't opened again"
                )

    def _tell(self, manifests: dict[str, Manifest], left: dict[str, Candidate]) -> None:
        unknown = self._plan.unknown
        unusable = [one.number for one in self._memory.values() if one.unusable]
        if unusable:
            numbers = ", ".join(map(str, unusable[:10]))
            unknown.append(
                f"what the changes of revisions {numbers} that can't be used were to mean: they are left out"
            )
        if not self._memory:
            unknown.append("tags, notes, retirements and signatures of before: nothing that survived holds them")
        if self._judged_by_time:
            unknown.append(
                "which results of cancelled runs were committed before: those that the store had before the cancel count"
            )
        if left:
            last = max(self._memory, default=0)
            unknown.append(
                f"in which order {len(left)} results were committed, and by whom"
                + (f": what came after revision {last} is known from the stores only" if last else "")
            )
        without = {one.record.key.run for one in left.values()} - manifests.keys() - self._opened
        if without := {run for run in without if not run.startswith(AD_HOC)}:
            unknown.append(f"what runs without a manifest expected, or whether they were cancelled: {len(without)}")
        missing = sorted(set(range(1, max(self._memory, default=0) + 1)) - self._memory.keys())
        if missing:
            unknown.append(f"what revisions {', '.join(map(str, missing[:10]))} said, but for results in the stores")


def _moment(written: str) -> datetime:
    """Parses a time of a store or a manifest. Returns the earliest time if there is none."""
    try:
        return datetime.fromisoformat(written).astimezone(UTC)
    except (ValueError, OverflowError):
        return _BEGINNING
