"""Decides what becomes of committed results and opened runs, from the catalog as it is. Pure decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from federation.claims import difference, of_opened
from federation.errors import UsageError
from federation.index.catalog.catalog import Catalog
from federation.index.rows import COMMITTED, SUPERSEDED, OpenedRun
from federation.result import Key, ResultRecord

_ENTRY_RECORDS_BYTES_MAX = 32 * 1024 * 1024


class _Opened(NamedTuple):
    run: str
    job: str
    version: str
    spec_hash: str
    slots: int


def batches(records: Sequence[ResultRecord]) -> Iterator[list[ResultRecord]]:
    """The records in their order, as many at once as make an entry of bounded size."""
    batch: list[ResultRecord] = []
    size_bytes = 0
    for record in records:
        own_bytes = len(record.to_json())
        if batch and size_bytes + own_bytes > _ENTRY_RECORDS_BYTES_MAX:
            yield batch
            batch, size_bytes = [], 0
        batch.append(record)
        size_bytes += own_bytes
    if batch:
        yield batch


def refuse_foreign(catalog: Catalog, records: Sequence[ResultRecord]) -> None:
    """Raises UsageError for a record whose job or version isn't that of its run. The caller has compared the records with
    everything else that it knows (`federation.claims`)."""
    asked = "SELECT run, job, version, spec_hash, slots FROM run WHERE run = ?"
    runs = {name: catalog.table(asked, name) for name in {record.key.run for record in records}}
    for record in records:
        for values in runs[record.key.run]:
            known = of_opened(_Opened(*values), record)
            if reason := difference(record, {name: known[name] for name in ("job", "version")}):
                raise UsageError(f"result {record.alloc_id} isn't entered: {reason}")


def states_of(catalog: Catalog, records: Sequence[ResultRecord]) -> dict[str, str]:
    """Returns the state that each allocation would get if the records were committed in this order; "" for one that the catalog
    has already."""
    won: set[Key] = set()
    states: dict[str, str] = {}
    for record in records:
        alloc_id, key = record.alloc_id, record.key
        if alloc_id in states:
            continue
        is_known = catalog.value("SELECT 1 FROM result WHERE alloc_id = ?", alloc_id) is not None
        state = "" if is_known else catalog.state_for(key.run, key.slot, key.group, key.index)
        states[alloc_id] = SUPERSEDED if state == COMMITTED and key in won else state
        if state == COMMITTED:
            won.add(key)
    return states


def outcomes_of(states: dict[str, str]) -> dict[str, str]:
    outcomes = {COMMITTED: "added", "": "known"}
    return {alloc_id: outcomes.get(state, state) for alloc_id, state in states.items()}


def opened_run(catalog: Catalog, run: str) -> OpenedRun:
    opened = catalog.runs("run = ?", (run,))[0]
    others = "job = ? AND version = ? AND run != ?"
    named = (opened.job, opened.version, run)
    existing = catalog.value(f"SELECT COUNT(*) FROM result WHERE {others} AND state = 'committed'", *named)  # noqa: S608
    before = catalog.value(
        f"SELECT EXISTS (SELECT 1 FROM run WHERE {others} AND revision < ?) "  # noqa: S608
        f"OR EXISTS (SELECT 1 FROM result WHERE {others} AND revision < ?)",
        *(*named, opened.revision, *named, opened.revision),
    )
    return OpenedRun(opened.version, not before, existing, opened.revision)
