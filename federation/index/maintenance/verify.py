"""Finds every fault of the index and of its results' stores, and says how to repair it.

Read only. Looks at the log (`federation.index.maintenance.log_reader`), at what its entries say taken together, and at each
store by one listing of its results and artifacts; only `deep` reads the artifacts."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from federation.index.home import entry_key
from federation.index.maintenance.collect import Refuse, believe_all, read_whole
from federation.index.maintenance.log_reader import check_checkpoints, check_home, read_chain
from federation.index.maintenance.log_summary import Committed, LogSummary
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.store_listing import StoreListing, record_place
from federation.index.maintenance.store_set import StoreSet
from federation.index.maintenance.stored_record import fields_unlike, read_record
from federation.index.stores import OpenStore
from federation.log import utc_now
from federation.result import ResultRecord
from jobs.errors import FedmlError
from regions.storage.errors import IntegrityError, NotFound, StoreError
from regions.storage.store import ObjectInfo, Store

_AT_ONCE = 8
_RESTORE = "restore it from the bucket's version history"
_LOOKS_MAX = 3
_PUBLISH_AT_WORK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked, and the faults. `head` is the last entry's sha256: whoever keeps it can detect a rewritten log."""

    revision: int
    head: str
    results: int
    stores: int
    in_flight: int
    """Records and artifacts of runs that are open (their coordinator will commit them), and artifacts without a record to
    which something was written within the last hour: a publish is at work."""
    given_up: int
    """Whole records of attempts that were given up: another attempt won their key, or their run was cancelled. That is
    ordinary after a region was lost; `sync` enters them as superseded or late."""
    read_bytes: int
    problems: tuple[Problem, ...]


def verify(
    home: Store,
    open_store: OpenStore,
    names: Sequence[str],
    *,
    deep: bool = False,
    head: str = "",
    remembered: Mapping[int, str] | None = None,
    now: datetime | None = None,
    refuse: Refuse = believe_all,
) -> Verified:
    """Look at everything. `refuse` says why a record that isn't in the index isn't believed.

    `names` are stores to look into besides those that results name; `remembered` and `head` are
    what is known of the log from before (see `read_chain`). Where others wrote to the index meanwhile, and something
    seems wrong, all of it is looked at again. Raises the home store's own errors; another store that can't be asked is a
    problem in the answer."""
    moment = now or utc_now()
    for _ in range(_LOOKS_MAX):
        found = _verify_once(home, open_store, names, deep, head, remembered or {}, moment, refuse)
        if not found.problems or not home.exists(entry_key(found.revision + 1)):
            break
    return found


def _verify_once(
    home: Store,
    open_store: OpenStore,
    names: Sequence[str],
    deep: bool,
    head: str,
    remembered: Mapping[int, str],
    now: datetime,
    refuse: Refuse,
) -> Verified:
    chain = read_chain(home, remembered=remembered, head=head)
    summary = LogSummary(home, chain)
    problems = [*check_home(home, chain, was_known=bool(remembered)), *chain.problems, *summary.problems]
    problems += check_checkpoints(home, chain)
    stores = StoreSet(open_store)
    places = _places(stores, names, summary)
    listings = stores.listed()
    problems += stores.problems
    records = {key for listing in listings.values() for key in listing.records}
    in_flight = given_up = read_bytes = 0
    for name, listing in listings.items():
        look = _Look(name, listing, summary, places, records, deep=deep, since=now - _PUBLISH_AT_WORK, refuse=refuse)
        problems += look.problems()
        in_flight += look.in_flight
        given_up += look.given_up
        read_bytes += look.read_bytes
    last = chain.head
    counts = (len(summary.results), len(stores), in_flight, given_up, read_bytes)
    return Verified(last.number, last.sha256, *counts, tuple(problems))


def _places(stores: StoreSet, names: Sequence[str], summary: LogSummary) -> dict[str, list[str]]:
    """Opens the stores to look into; the names of those that hold each result that wasn't removed, by allocation. A store
    that may not be opened is left out: nothing is looked for there."""
    for name in names:
        stores.add(name)
    allowed: dict[str, list[tuple[str, ResultRecord | None]]] = {}
    for alloc_id, one in summary.results.items():
        if alloc_id not in summary.removed:
            claims = [(url, one.record if url == one.record.store else None) for url in one.stores]
            allowed[alloc_id] = [claim for claim in claims if stores.add(*claim)]
    return {alloc_id: [stores.name_of(*claim) for claim in claims] for alloc_id, claims in allowed.items()}


class _Look:
    """One store compared with what the log says of it."""

    def __init__(
        self,
        name: str,
        found: StoreListing,
        summary: LogSummary,
        places: Mapping[str, Sequence[str]],
        records: set[str],
        *,
        deep: bool,
        since: datetime,
        refuse: Refuse,
    ) -> None:
        self._name = name
        self._store = found.store
        self._found = found
        self._summary = summary
        self._places = places
        self._records = records
        self._deep = deep
        self._since = since
        self._refuse = refuse
        self._lock = threading.Lock()
        self.in_flight = 0
        self.given_up = 0
        self.read_bytes = 0

    def problems(self) -> list[Problem]:
        """All of them, results first."""
        results = [self._summary.results[alloc_id] for alloc_id, names in self._places.items() if self._name in names]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            problems = [problem for some in pool.map(self._result, results) for problem in some]
        return [*problems, *self._orphans()]

    def _result(self, one: Committed) -> list[Problem]:
        return [*self._record(one), *self._artifact(one)]

    def _record(self, one: Committed) -> Iterator[Problem]:
        record = one.record
        key = record.key.record_key(record.alloc_id)
        info = self._found.records.get(key)
        where = self._store.url_of(key)
        if info is None and (record.is_adopted or (record.prefix is not None and key in self._records)):
            return  # only the index has the record; or it is in its datacenter's own store, and the artifact elsewhere
        if info is None:
            what = f"the record of result {record.alloc_id} is gone (the index has it, in revision {one.revision})"
            yield Problem("record-missing", where, what, "fedml index sync (it writes the record again)")
            return
        if info.size_bytes == len(record.to_json()) and not self._deep:
            return
        mend = f"{_RESTORE}; or delete it and let the index write it again: fedml index sync"
        try:
            stored = read_record(self._store, key)
        except (FedmlError, KeyError) as error:
            yield Problem("record-torn", where, f"the record of result {record.alloc_id}: {error}", mend)
            return
        if (stored.key, stored.alloc_id) != (record.key, record.alloc_id):
            what = f"the record at {key} is that of allocation {stored.alloc_id} for {stored.key.path}"
            yield Problem("record-misplaced", where, what, mend)
        elif fields := fields_unlike(stored, record):
            what = f"the record of result {record.alloc_id} differs from the one that was committed: {fields}"
            yield Problem("record-differs", where, what, mend)

    def _artifact(self, one: Committed) -> Iterator[Problem]:
        record = one.record
        prefix = record.artifact_prefix
        files = self._found.files.get(prefix, {}) if record.prefix is None else self._adopted(record)
        others = [name for name in self._places[record.alloc_id] if name not in ("", self._name)]
        short = record.alloc_id[:8]
        mend = f"{_RESTORE}; else hide the result: fedml index retire {short}"
        if others:
            mend = f"fedml index copy {short} {self._name} (from {others[0]}, which has it)"
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
        found = {}
        for file in record.files:
            with suppress(NotFound):
                found[file.path] = self._store.stat(record.artifact_prefix + file.path)
        return found

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

    def _given_up(self, key: str) -> Iterator[Problem]:
        record, problem = read_whole(self._found, key)
        if record is None:
            yield Problem("record-torn", self._store.url_of(key), problem, f"{_RESTORE}; or delete it")
            return
        try:
            reason = self._refuse(record, self._name)
        except FedmlError as error:
            reason = error.message
        if reason:
            what = f"result {record.alloc_id} isn't in the index and isn't believed: {reason}"
            mend = "look at who wrote it, and delete it; sync leaves it out"
            yield Problem("record-differs", self._store.url_of(key), what, mend)
        else:
            self.given_up += 1

    def _orphans(self) -> Iterator[Problem]:
        for key in self._found.records:
            place = record_place(key)
            assert place is not None
            known = self._summary.results.get(place.alloc_id)
            if known is not None and known.record.key == place.key:
                continue
            if place.key.run in self._summary.open_runs:
                self.in_flight += 1
            elif self._summary.is_settled(place.key):
                yield from self._given_up(key)
            else:
                what = f"result {place.alloc_id} of {place.key.path} is in the store and not in the index"
                mend = "fedml index sync" if self._summary.has_entries else "fedml index rebuild (the index is empty)"
                yield Problem("record-orphan", self._store.url_of(key), what, mend)
        indexed = {one.record.artifact_prefix for one in self._summary.results.values()}
        for prefix, run in self._found.unrecorded():
            if prefix in indexed:
                continue
            newest, count = self._found.newest(prefix), len(self._found.files[prefix])
            if run in self._summary.open_runs or (newest and newest > self._since):
                self.in_flight += 1
                continue
            what = f"{count} files ({self._found.size_bytes(prefix)} bytes) lie under {prefix} without a record"
            where = self._store.url_of(prefix.rstrip("/"))
            yield Problem("artifact-orphan", where, what, "fedml index gc --orphans 7d (what a broken publish left)")
        for info in self._found.strays:
            what = f"{info.key} can be nothing that fedml wrote"
            mend = "look at who writes there, and delete it"
            yield Problem("object-stray", self._store.url_of(info.key), what, mend)
