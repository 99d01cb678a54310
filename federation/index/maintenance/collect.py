"""Find the results that lie whole in stores: what `sync` and `rebuild` may enter into an index.

A result is taken only where its record lies under its own key, agrees with all that is known without it (`Refuse`), its files
have its manifest's hash, and all of them are there with their sizes. Artifacts themselves aren't read.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from federation.errors import PublishError, StoreRefused
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.store_listing import Survey, record_place, survey
from federation.index.stores import OpenStore, shown_store
from federation.index.validation import checked_record
from federation.result import ResultRecord, store_name
from jobs.errors import FedmlError
from regions.storage.store import ObjectInfo, Store

_READS_AT_ONCE = 16
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

    candidates: dict[str, Candidate] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    surveys: dict[str, tuple[Store, Survey]] = field(default_factory=dict)


def collect(
    open_store: OpenStore, urls: Sequence[str], refuse: Refuse = believe_all, *, known: Container[str] = ()
) -> Collected:
    """All results in the stores of these URLs but for the allocations that are `known`. A store that can't be read is
    among the problems, and so is a record that is refused."""
    found = Collected()
    opened: dict[str, Store] = {}
    for url in dict.fromkeys(urls):
        try:
            store = open_store(url)
            opened.setdefault(store_name(store.url), store)
        except StoreRefused as error:
            found.problems.append(Problem("store-refused", shown_store(url), error.message, error.hint))
        except FedmlError as error:
            found.problems.append(_unreachable(shown_store(url), error))
    for name, store in sorted(opened.items()):
        try:
            found.surveys[name] = store, survey(store)
        except FedmlError as error:
            found.problems.append(_unreachable(name, error))
    for name, (store, held) in found.surveys.items():
        keys = [key for key in held.records if _alloc_id(key) not in known]
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            read = pool.map(partial(_read, store, held), keys)
            for key, (record, problem) in zip(keys, read, strict=True):
                if record is None:
                    mend = "restore its objects from the bucket's version history, or leave it out"
                    found.problems.append(Problem("record-torn", store.url_of(key), problem, mend))
                elif problem := _refused(found, refuse, name, record, key) or _torn(open_store, record):
                    found.problems.append(Problem("record-differs", store.url_of(key), problem, "it is left out"))
                else:
                    _take(found, name, record, held, key)
    return found


def _unreachable(name: str, error: FedmlError) -> Problem:
    what = f"store {name} can't be read, so its results aren't taken: {error.message}"
    return Problem("store-unreachable", name, what, error.hint or f"fedml stores check {name}")


def _take(found: Collected, name: str, record: ResultRecord, held: Survey, key: str) -> None:
    """Keep the record. That in its own store counts; the same in another store is a copy of it."""
    modified = held.records[key].modified
    written = modified.isoformat() if modified else ""
    known = found.candidates.get(record.alloc_id)
    is_own = store_name(record.store) == name or record.prefix is not None
    if known is None:
        found.candidates[record.alloc_id] = Candidate(record, written, [] if is_own else [name])
    elif is_own:
        known.copies = known.copies if known.record == record else []
        known.record, known.written = record, written
    elif known.record == record and name not in known.copies:
        known.copies.append(name)


def _refused(found: Collected, refuse: Refuse, name: str, record: ResultRecord, key: str) -> str:
    """Why the record isn't believed. A copy is judged as what lies in its own store, where that has it too."""
    own = store_name(record.store)
    is_copy = own in found.surveys and key in found.surveys[own][1].records
    try:
        reason = refuse(record, own if is_copy else name)
    except FedmlError as error:
        reason = error.message
    return f"result {record.alloc_id} isn't believed: {reason}" if reason else ""


def _read(store: Store, held: Survey, key: str) -> tuple[ResultRecord | None, str]:
    """The record at that key, or None and why it isn't one."""
    where = store.url_of(key)
    try:
        record = checked_record(ResultRecord.from_json(store.get(key), source=where))
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
    """What is missing of an artifact that lies in place. Its store is opened only after the record was believed."""
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
