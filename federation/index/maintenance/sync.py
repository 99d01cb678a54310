"""The index and the stores enter, what either lacks leaves as a plan; applied, both have it.

Results that lie in a store and not in the index are committed as what they are (first of their key, or superseded, or
late). Records that the index has and a store lost are written again. Copies that nobody recorded are recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from federation.claims import difference, of_opened
from federation.errors import StoreRefused, UsageError
from federation.index.columns import Row
from federation.index.index import Index
from federation.index.maintenance.collect import Refuse, believe_all, collect
from federation.index.maintenance.problem import Problem
from federation.index.rows import OPEN
from federation.index.stores import OpenStore, shown_store
from federation.log import Change
from federation.result import Key, ResultRecord, store_name
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
    runs = {run.run: run for run in index.runs()}
    removed = set(index.ask(lambda catalog: catalog.values("SELECT alloc_id FROM removed")))
    copies = index.ask(lambda catalog: catalog.values("SELECT DISTINCT store FROM location"))
    found = collect(open_store, [*names, *{row.store for row in rows.values()}, *copies], refuse, known=rows)
    if found.candidates and not index.ask(lambda catalog: catalog.position().number):
        raise UsageError(
            f"the index is empty, and the stores hold {len(found.candidates)} results: its log was lost, or it is new",
            hint="fedml index rebuild brings back more than sync can (tags, order), or enters them into a new index",
        )
    plan = SyncPlan(problems=found.problems)
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
    for row in rows.values():
        held = found.surveys.get(store_name(row.store))
        key = _key(row).record_key(row.alloc_id)
        if row.alloc_id in removed or held is None or key in held[1].records or _is_adopted(row):
            continue
        try:
            open_store(row.store, row)
        except StoreRefused as error:
            plan.problems.append(Problem("store-refused", shown_store(row.store), error.message, error.hint))
            continue
        record = index.record(row)
        if record.artifact_prefix in held[1].files:
            plan.restore.append((store_name(row.store), record))
    plan.locate += _unrecorded(index, rows, {name: set(held.records) for name, (_, held) in found.surveys.items()})
    return plan


def apply_sync(index: Index, open_store: OpenStore, plan: SyncPlan) -> dict[str, str]:
    """Do it, and return what became of each committed result (see `Index.commit`). A crash leaves some of it done; doing
    it again is right."""
    index.require_writable()
    outcomes: dict[str, str] = {}
    for start in range(0, len(plan.commit), _BATCH):
        outcomes |= index.commit(plan.commit[start : start + _BATCH], reason="sync: found in the stores")
    for name, record in plan.restore:
        with suppress(AlreadyExists):
            key = record.key.record_key(record.alloc_id)
            open_store(name).put(key, record.to_json(), Create(), content_type="application/json")
    if plan.locate:
        changes: list[Change] = [
            {"type": "locate", "alloc_id": alloc_id, "store": name} for alloc_id, name in plan.locate
        ]
        index.change(lambda _: changes, reason="sync: copies found in the stores")
    return outcomes


def _unrecorded(index: Index, rows: Mapping[str, Row], records: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Copies of known results, record and all, in stores of which the index doesn't know that."""
    known = set(index.ask(lambda catalog: catalog.values("SELECT alloc_id || ' ' || store FROM location")))
    return [
        (row.alloc_id, name)
        for name, keys in records.items()
        for row in rows.values()
        if _key(row).record_key(row.alloc_id) in keys
        and store_name(row.store) != name
        and f"{row.alloc_id} {name}" not in known
        and not _is_adopted(row)
    ]


def _key(row: Row) -> Key:
    return Key(row.run, row.slot, row.group, row.index)


def _is_adopted(row: Row) -> bool:
    """Whether the artifact lies where a job wrote it, and its record in its datacenter's own store."""
    return not row.url.startswith(f"{store_name(row.store)}/artifacts/")
