"""Finds the complete results in stores, which `sync` and `rebuild` may commit to an index.

A result is taken only where its record lies under its own key, agrees with all that is known without it (`Refuse`), its files
have its manifest's hash, and all of them are there with their sizes. Artifacts themselves aren't read.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from federation.errors import PublishError
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.store_listing import StoreListing, record_place
from federation.index.maintenance.store_set import StoreSet
from federation.index.maintenance.stored_record import read_record
from federation.index.stores import OpenStore
from federation.index.validation import checked_record
from federation.result import ResultRecord
from jobs.errors import FedmlError
from regions.storage.store import ObjectInfo

_READS_AT_ONCE = 16
_RESTORE = "restore its objects from the bucket's version history, or leave it out"
Refuse = Callable[[ResultRecord, str], str]
"""Why the record that was found in the store of that name isn't believed; "" for one that is."""


def believe_all(_record: ResultRecord, _found_in: str) -> str:
    """Compares nothing: for records that were compared before, or in tests."""
    return ""


@dataclass(slots=True)
class Candidate:
    """One result as the stores have it. `written` is the store's time of its record ("" where a store tells none), and
    `copies` are the other stores that hold it whole."""

    record: ResultRecord
    written: str
    copies: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Collected:
    """Results by allocation; why others weren't taken; what each store holds, by the store's name."""

    stores: StoreSet
    candidates: dict[str, Candidate] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    listings: dict[str, StoreListing] = field(default_factory=dict)


def collect(
    open_store: OpenStore, urls: Sequence[str], refuse: Refuse = believe_all, *, known: Container[str] = ()
) -> Collected:
    """All results in the stores of these URLs but for the allocations that are `known`. A store that can't be read is
    among the problems, and so is a record that is refused."""
    stores = StoreSet(open_store)
    for url in dict.fromkeys(urls):
        stores.add(url)
    found = Collected(stores, listings=stores.listed())
    found.problems += stores.problems
    for name, held in found.listings.items():
        keys = [key for key in held.records if _alloc_id(key) not in known]
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            read = pool.map(partial(read_whole, held), keys)
            for key, (record, problem) in zip(keys, read, strict=True):
                where = held.store.url_of(key)
                if record is None:
                    found.problems.append(Problem("record-torn", where, problem, _RESTORE))
                elif problem := _refused(found, refuse, name, record, key) or _torn(open_store, record):
                    found.problems.append(Problem("record-differs", where, problem, "it is left out"))
                else:
                    _take(found, name, record, held, key)
    return found


def _take(found: Collected, name: str, record: ResultRecord, held: StoreListing, key: str) -> None:
    """Keeps the record. The one in its own store counts; the same record in another store is a copy."""
    modified = held.records[key].modified
    written = modified.isoformat() if modified else ""
    known = found.candidates.get(record.alloc_id)
    is_own = found.stores.name_of(record.store, record) == name or record.prefix is not None
    if known is None:
        found.candidates[record.alloc_id] = Candidate(record, written, [] if is_own else [name])
    elif is_own:
        known.copies = known.copies if known.record == record else []
        known.record, known.written = record, written
    elif known.record == record and name not in known.copies:
        known.copies.append(name)


def _refused(found: Collected, refuse: Refuse, name: str, record: ResultRecord, key: str) -> str:
    """Why the record isn't believed. A copy is judged as what lies in its own store, where that has it too."""
    own = found.stores.name_of(record.store, record)
    is_copy = own in found.listings and key in found.listings[own].records
    try:
        reason = refuse(record, own if is_copy else name)
    except FedmlError as error:
        reason = error.message
    return f"result {record.alloc_id} isn't believed: {reason}" if reason else ""


def read_whole(held: StoreListing, key: str) -> tuple[ResultRecord | None, str]:
    """The record at that key, with all its files in the same store; or None and what is wrong with it."""
    where = held.store.url_of(key)
    try:
        record = checked_record(read_record(held.store, key))
        if record.key.record_key(record.alloc_id) != key:
            raise PublishError(f"{where} is the record of {record.alloc_id} for {record.key.path}")
        if not record.has_its_manifest:
            raise PublishError(f"the files that {where} names don't have its manifest's hash")
        if record.prefix is None and (torn := _missing(record, held.files.get(record.artifact_prefix, {}))):
            raise PublishError(torn)
    except FedmlError as error:
        return None, error.message
    return record, ""


def _torn(open_store: OpenStore, record: ResultRecord) -> str:
    """Returns what is missing of an artifact that jobs wrote themselves. Opens its store only after the record was accepted."""
    if record.prefix is None:
        return ""
    try:
        prefix = record.prefix
        return _missing(
            record, {info.key.removeprefix(prefix): info for info in open_store(record.store, record).list(prefix)}
        )
    except FedmlError as error:
        return error.message


def _missing(record: ResultRecord, files: Mapping[str, ObjectInfo]) -> str:
    for file in record.files:
        if file.path not in files or files[file.path].size_bytes != file.size_bytes:
            return f"result {record.alloc_id} isn't whole: {file.path} is gone or of another size"
    return ""


def _alloc_id(key: str) -> str:
    place = record_place(key)
    return place.alloc_id if place else ""
