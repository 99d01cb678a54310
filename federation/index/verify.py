"""The index and the stores of its results enter, everything that is wrong with them leaves, with what mends it.

Read only. Looks at the log (`federation.index.chain`), at what its entries say taken together, and at each store by one
listing of its results and artifacts; only `deep` reads the artifacts.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from federation.index.chain import Chain, check_checkpoints, check_format, entry_key, read_chain
from federation.index.fold import RECORD_CHANGES
from federation.index.problem import Problem
from federation.index.stores import store_name
from federation.index.survey import Survey, record_place, survey
from federation.log import Entry
from federation.result import ResultRecord
from jobs.errors import FedmlError
from regions.storage.errors import IntegrityError, NotFound, StoreError
from regions.storage.store import ObjectInfo, Store

_AT_ONCE = 8
_RESTORE = "restore it from the bucket's version history"
OpenStore = Callable[[str], Store]


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at and what is wrong. `head` is the last entry's sha256: whoever keeps it sees a rewritten log."""

    revision: int
    head: str
    results: int
    stores: int
    in_flight: int
    """Records and artifacts of runs that are open: their coordinator will commit them."""
    read_bytes: int
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Committed:
    """One result as the log has it."""

    record: ResultRecord
    revision: int
    stores: list[str]
    """URLs: where it was made first, then its copies."""


class _Said:
    """What the readable entries say, taken together: results, open runs, what was removed."""

    def __init__(self, home: Store, chain: Chain) -> None:
        self.results: dict[str, _Committed] = {}
        self.removed: set[str] = set()
        self.open_runs: set[str] = set()
        self.problems: list[Problem] = []
        self.rebuild: Entry | None = None
        self._home = home
        self._winners: dict[object, str] = {}
        self._cancelled: set[str] = set()
        for entry in chain.entries:
            for change in entry.changes:
                try:
                    self._take(entry, change)
                except (KeyError, TypeError, ValueError, AttributeError, FedmlError) as error:
                    what = (
                        f"log entry {entry.number} by {entry.author!r} holds a {change['type']!r} that can't be read: "
                    )
                    self._wrong(entry, "change-unreadable", f"{what}{type(error).__name__} {error}")
        self.problems += self._unfinished()

    def _unfinished(self) -> Iterator[Problem]:
        if self.rebuild is not None:
            what = f"a rebuild by {self.rebuild.author!r} was broken off: results may be missing in the index"
            where = self._home.url_of(entry_key(self.rebuild.number))
            yield Problem("rebuild-unfinished", where, what, "fedml index rebuild --yes (it goes on)")

    def _take(self, entry: Entry, change: Mapping[str, Any]) -> None:
        match change["type"]:
            case kind if kind in RECORD_CHANGES:
                self._take_result(entry, str(kind), change)
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

    def _take_result(self, entry: Entry, kind: str, change: Mapping[str, Any]) -> None:
        record = ResultRecord.from_dict(change["record"], source=f"log entry {entry.number}")
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
        self.results[alloc_id] = _Committed(record, entry.number, [record.store])
        if manifest_sha256(record) != record.manifest_sha256:
            self._wrong(
                entry,
                "manifest-wrong",
                f"the files of result {alloc_id} in log entry {entry.number} don't have its manifest's hash",
            )

    def _wrong(self, entry: Entry, kind: str, what: str) -> None:
        mend = f"fedml never writes that: look at who did ({entry.author!r}), and restore the log from before"
        self.problems.append(Problem(kind, self._home.url_of(entry_key(entry.number)), what, mend))


def verify(
    home: Store,
    open_store: OpenStore,
    names: Sequence[str],
    *,
    deep: bool = False,
    head: str = "",
    remembered: Mapping[int, str] | None = None,
) -> Verified:
    """Look at everything. `names` are stores to look into besides those that results name; `remembered` and `head` are
    what is known of the log from before (see `read_chain`). Raises the home store's own errors; another store that can't
    be asked is a problem in the answer."""
    chain = read_chain(home, remembered=remembered, head=head)
    said = _Said(home, chain)
    problems = [*check_format(home, has_log=bool(chain.entries)), *chain.problems, *said.problems]
    problems += check_checkpoints(home, chain)
    urls = {store_name(url): url for one in said.results.values() for url in one.stores}
    urls |= {store_name(name): name for name in names if store_name(name) not in urls}
    surveys: list[tuple[str, Store, Survey]] = []
    for name, url in sorted(urls.items()):
        try:
            store = open_store(url)
            surveys.append((name, store, survey(store)))
        except FedmlError as error:
            mend = error.hint or f"fedml stores check {name}"
            problems.append(Problem("store-unreachable", name, f"store {name} can't be read: {error.message}", mend))
    records = {key for _, _, found in surveys for key in found.records}
    in_flight = read_bytes = 0
    for name, store, found in surveys:
        look = _Look(store, found, said, records, deep=deep)
        problems += look.problems(name)
        in_flight += look.in_flight
        read_bytes += look.read_bytes
    last = chain.head
    return Verified(last.number, last.sha256, len(said.results), len(urls), in_flight, read_bytes, tuple(problems))


class _Look:
    """One store compared with what the log says of it."""

    def __init__(self, store: Store, found: Survey, said: _Said, records: set[str], *, deep: bool) -> None:
        self._store = store
        self._found = found
        self._said = said
        self._records = records
        self._deep = deep
        self._lock = threading.Lock()
        self.in_flight = 0
        self.read_bytes = 0

    def problems(self, name: str) -> list[Problem]:
        """All of them, results first."""
        results = [
            one
            for one in self._said.results.values()
            if one.record.alloc_id not in self._said.removed and name in map(store_name, one.stores)
        ]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            problems = [problem for some in pool.map(self._result, results) for problem in some]
        return [*problems, *self._orphans()]

    def _result(self, one: _Committed) -> list[Problem]:
        return [*self._record(one), *self._artifact(one)]

    def _record(self, one: _Committed) -> Iterator[Problem]:
        record = one.record
        key = record.key.record_key(record.alloc_id)
        info = self._found.records.get(key)
        where = self._store.url_of(key)
        if info is None and record.prefix is not None and key in self._records:
            return  # an artifact that was adopted where it lay: its record is in its datacenter's own store
        if info is None:
            what = f"the record of result {record.alloc_id} is gone (the index has it, in revision {one.revision})"
            yield Problem("record-missing", where, what, "fedml index sync (it writes the record again)")
            return
        if info.size_bytes == len(record.to_json()) and not self._deep:
            return
        mend = f"{_RESTORE}; or delete it and let the index write it again: fedml index sync"
        try:
            stored = ResultRecord.from_json(self._store.get(key), source=where)
        except (FedmlError, KeyError) as error:
            yield Problem("record-torn", where, f"the record of result {record.alloc_id}: {error}", mend)
            return
        if (stored.key, stored.alloc_id) != (record.key, record.alloc_id):
            what = f"the record at {key} is that of allocation {stored.alloc_id} for {stored.key.path}"
            yield Problem("record-misplaced", where, what, mend)
        elif stored != record:
            fields = ", ".join(name for name in record.__slots__ if getattr(stored, name) != getattr(record, name))
            what = f"the record of result {record.alloc_id} differs from the one that was committed: {fields}"
            yield Problem("record-differs", where, what, mend)

    def _artifact(self, one: _Committed) -> Iterator[Problem]:
        record = one.record
        prefix = record.artifact_prefix
        files = self._found.files.get(prefix, {}) if record.prefix is None else self._adopted(record)
        others = [url for url in one.stores if store_name(url) != store_name(self._store.url)]
        short = record.alloc_id[:8]
        mend = f"{_RESTORE}; else hide the result: fedml index retire {short}"
        if others:
            mend = (
                f"fedml index copy {short} {store_name(self._store.url)} (from {store_name(others[0])}, which has it)"
            )
        if record.files and not files:
            what = f"the artifact of result {record.alloc_id} is gone ({len(record.files)} files)"
            yield Problem("artifact-missing", self._store.url_of(prefix.rstrip("/")), what, mend)
            return
        for file in record.files:
            info = files.get(file.path)
            where = self._store.url_of(prefix + file.path)
            if info is None:
                yield Problem("file-missing", where, f"{file.path} of result {record.alloc_id} is gone", mend)
            elif info.size_bytes != file.size_bytes:
                what = f"{file.path} of result {record.alloc_id} has {info.size_bytes} bytes, not {file.size_bytes}"
                yield Problem("file-size", where, what, mend)
            elif self._deep and (problem := self._changed(prefix + file.path, file.sha256)):
                what = f"{file.path} of result {record.alloc_id} is not what was published: {problem}"
                yield Problem("file-changed", where, what, mend)
        known = {file.path for file in record.files} if record.prefix is None else files.keys()
        for path in sorted(files.keys() - known):
            what = f"{path} lies in the artifact of result {record.alloc_id}, whose record doesn't name it"
            where = self._store.url_of(prefix + path)
            yield Problem("file-extra", where, what, "get never brings it; look at who wrote it, and delete it")

    def _adopted(self, record: ResultRecord) -> dict[str, ObjectInfo]:
        prefix = record.artifact_prefix
        return {info.key.removeprefix(prefix): info for info in self._store.list(prefix)}

    def _changed(self, key: str, sha256: str) -> str:
        """Why the object isn't the file of that hash; empty when it is. Reads it in pieces, through a temporary file."""
        with tempfile.TemporaryDirectory(prefix="fedml-verify-") as folder:
            path = Path(folder) / "object"
            try:
                size_bytes = self._store.get_file(key, path).size_bytes
            except NotFound:
                return "it is gone"
            except IntegrityError:
                return "its sha256 differs"
            except StoreError as error:
                return f"it can't be read ({error.message})"
            with path.open("rb") as data:
                digest = hashlib.file_digest(data, "sha256").hexdigest()
        with self._lock:
            self.read_bytes += size_bytes
        return "" if digest == sha256 else "its sha256 differs"

    def _orphans(self) -> Iterator[Problem]:
        for key in self._found.records:
            place = record_place(key)
            assert place is not None
            known = self._said.results.get(place.alloc_id)
            if known is not None and known.record.key == place.key:
                continue
            if place.key.run in self._said.open_runs:
                self.in_flight += 1
            else:
                what = f"result {place.alloc_id} of {place.key.path} is in the store and not in the index"
                yield Problem("record-orphan", self._store.url_of(key), what, "fedml index sync")
        recorded = {key.removeprefix("results/").removesuffix(".json") for key in self._found.records}
        indexed = {one.record.artifact_prefix for one in self._said.results.values()}
        for prefix, files in self._found.files.items():
            owner = prefix.removeprefix("artifacts/").rstrip("/").rpartition("/")[0]
            if owner in recorded or prefix in indexed:
                continue
            run = owner.rsplit("/", 4)[0]
            if run in self._said.open_runs:
                self.in_flight += 1
                continue
            what = f"{len(files)} files ({self._found.size_bytes(prefix)} bytes) lie under {prefix} without a record"
            where = self._store.url_of(prefix.rstrip("/"))
            yield Problem("artifact-orphan", where, what, "fedml index gc --orphans 7d (what a broken publish left)")
        for info in self._found.strays:
            what = f"{info.key} can be nothing that fedml wrote"
            mend = "look at who writes there, and delete it"
            yield Problem("object-stray", self._store.url_of(info.key), what, mend)


def manifest_sha256(record: ResultRecord) -> str:
    """The hash that the record's files have, as `publish` makes it."""
    files = json.dumps([asdict(file) for file in record.files], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(files.encode()).hexdigest()
