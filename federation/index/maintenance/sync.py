"""Finds results that are missing in the index or in a store, and restores them there.

Results that lie in a store and not in the index are committed as what they are (first of their key, or superseded, or
late). Records that the index has and a store lost are written again. Copies that the
index doesn't know are recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from federation.claims import difference, of_opened
from federation.errors import StoreRefused, UsageError
from federation.index.columns import Row
from federation.index.index import Index
from federation.index.maintenance.collect import Collected, Refuse, believe_all, collect, read_whole
from federation.index.maintenance.problem import Problem
from federation.index.maintenance.stored_record import fields_unlike
from federation.index.rows import OPEN, RunRow
from federation.index.stores import OpenStore, shown_store
from federation.log import Change
from federation.result import ResultRecord, store_name
from regions.storage.errors import AlreadyExists
from regions.storage.store import Create

_BATCH = 200


@dataclass(slots=True)
class SyncPlan:
    """What would be done. `problems` are results that can't be taken, and why; `in_flight` counts those of open runs,
    which their coordinator commits (`fedml runs resume`)."""

    commit: list[ResultRecord] = field(default_factory=list)
    restore: list[tuple[str, ResultRecord]] = field(default_factory=list)
    """(store, record that it lost)"""
    locate: list[tuple[str, str]] = field(default_factory=list)
    """(allocation, store that holds a copy)"""
    in_flight: int = 0
    problems: list[Problem] = field(default_factory=list)


def plan_sync(index: Index, open_store: OpenStore, names: Sequence[str], refuse: Refuse = believe_all) -> SyncPlan:
    """Compare the index with the stores of these names and with all that its results name. Writes nothing. `refuse` says
    why a record isn't believed (`federation.workflows.evidence`); such a record is among the problems. Raises
    UsageError for an index without any entry while the stores hold results: that is for `rebuild`."""
    rows = {row.alloc_id: row for row in index.ask(lambda catalog: catalog.rows("1", ()))[1]}
    removed = set(index.ask(lambda catalog: catalog.values("SELECT alloc_id FROM removed")))
    copies = index.ask(lambda catalog: catalog.values("SELECT DISTINCT store FROM location"))
    found = collect(open_store, [*names, *{row.store for row in rows.values()}, *copies], refuse, known=rows)
    if found.candidates and not index.ask(lambda catalog: catalog.position().number):
        raise UsageError(
            f"the index is empty, and the stores hold {len(found.candidates)} results: its log was lost, or it is new",
            hint="fedml index rebuild brings back more than sync can (tags, order), or enters them into a new index",
        )
    plan = SyncPlan(problems=found.problems)
    _plan_commits(plan, found, {run.run: run for run in index.runs()})
    for row in rows.values():
        if row.alloc_id not in removed and not _is_adopted(row):
            _plan_restore(plan, index, open_store, found, row)
    _plan_locations(plan, index, found, [row for row in rows.values() if not _is_adopted(row)])
    return plan


def _plan_commits(plan: SyncPlan, found: Collected, runs: Mapping[str, RunRow]) -> None:
    """Results that the index doesn't have."""
    for alloc_id, candidate in found.candidates.items():
        record = candidate.record
        run = runs.get(record.key.run)
        if run is not None and run.state == OPEN:
            plan.in_flight += 1
        elif run is not None and (problem := difference(record, of_opened(run, record))):
            what = f"result {alloc_id} isn't believed: {problem}"
            plan.problems.append(Problem("record-differs", record.key.record_key(alloc_id), what, "it is left out"))
        else:
            plan.commit.append(record)
            plan.locate += [(alloc_id, name) for name in candidate.copies]
    plan.commit.sort(key=lambda record: (record.key, record.attempt, found.candidates[record.alloc_id].written))


def _plan_restore(plan: SyncPlan, index: Index, open_store: OpenStore, found: Collected, row: Row) -> None:
    """The record of a known result, where its store has the artifact and lost the record."""
    held = found.listings.get(found.stores.name_of(row.store, row))
    if held is None or row.key.record_key(row.alloc_id) in held.records:
        return
    try:
        open_store(row.store, row)
    except StoreRefused as error:
        plan.problems.append(Problem("store-refused", shown_store(row.store), error.message, error.hint))
        return
    record = index.record(row)
    if record.artifact_prefix in held.files:
        plan.restore.append((store_name(row.store), record))


def _plan_locations(plan: SyncPlan, index: Index, found: Collected, rows: Sequence[Row]) -> None:
    """Copies of known results in stores of which the index doesn't know it: whole, with the record that the index has."""
    located = index.ask(lambda catalog: catalog.table("SELECT alloc_id, store FROM location"))
    known = {(alloc_id, found.stores.name_of(url)) for alloc_id, url in located}
    known |= {(row.alloc_id, found.stores.name_of(row.store, row)) for row in rows}
    for name, held in found.listings.items():
        for row in rows:
            key = row.key.record_key(row.alloc_id)
            if key not in held.records or (row.alloc_id, name) in known:
                continue
            where = held.store.url_of(key)
            record, problem = read_whole(held, key)
            if record is None:
                plan.problems.append(Problem("record-torn", where, problem, "restore it, or delete it"))
            elif fields := fields_unlike(record, index.record(row)):
                what = f"the copy of result {row.alloc_id} differs from the record that was committed: {fields}"
                mend = "look at who wrote it, and delete it; it is not recorded as a copy"
                plan.problems.append(Problem("record-differs", where, what, mend))
            else:
                plan.locate.append((row.alloc_id, name))


def apply_sync(index: Index, open_store: OpenStore, plan: SyncPlan) -> dict[str, str]:
    """Carries out the plan and returns what became of each committed result (see `Index.commit`). After a crash it can be
    repeated."""
    index.require_writable()
    outcomes: dict[str, str] = {}
    for start in range(0, len(plan.commit), _BATCH):
        outcomes |= index.commit(plan.commit[start : start + _BATCH], reason="sync: found in the stores")
    for _, record in plan.restore:
        with suppress(AlreadyExists):
            key = record.key.record_key(record.alloc_id)
            open_store(record.store, record).put(key, record.to_json(), Create(), content_type="application/json")
    if plan.locate:
        changes: list[Change] = [
            {"type": "locate", "alloc_id": alloc_id, "store": name} for alloc_id, name in plan.locate
        ]
        index.change(lambda _: changes, reason="sync: copies found in the stores")
    return outcomes


def _is_adopted(row: Row) -> bool:
    """Whether the artifact lies where a job wrote it, and its record in its datacenter's own store."""
    return not row.url.startswith(f"{store_name(row.store)}/artifacts/")
