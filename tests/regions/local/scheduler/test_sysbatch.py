"""A sysbatch job on several nodes: one allocation on each that can run it, none where it ran already."""

from __future__ import annotations

from pathlib import Path

import pytest

from regions.local.state.store import Store
from tests.regions.local.scheduler.test_schedule import _dry_run, _place
from tests.regions.local.state.builders import ended, job, store_with


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_with(
        tmp_path,
        {"name": "a", "cpu_mhz": 1000},
        {"name": "b", "cpu_mhz": 1000},
        {"name": "docker", "cpu_mhz": 1000, "drivers": ["docker"]},
    )


def test_each_node_that_can_run_it_gets_one(store: Store) -> None:
    decision = _place(store, job(Type="sysbatch", cpu=600))
    assert {alloc["NodeName"]: alloc["Name"] for alloc in decision.placed} == {"a": "train.g[0]", "b": "train.g[0]"}
    assert not decision.failed
    assert decision.updates["g"]["Place"] == 2
    assert _dry_run(store.snapshot, job(Type="sysbatch", cpu=600)).updates["g"]["InPlaceUpdate"] == 2


def test_a_full_node_is_a_failure_and_the_others_are_not(store: Store) -> None:
    _place(store, job("other", cpu=600))
    decision = _dry_run(store.snapshot, job(Type="sysbatch", cpu=600))
    assert len(decision.placed) == 1
    assert decision.queued == {"g": 1}
    assert decision.failed["g"]["DimensionExhausted"] == {"cpu": 1}


def test_what_ran_is_run_again_only_for_a_changed_job(store: Store) -> None:
    for alloc in _place(store, job(Type="sysbatch", cpu=10)).placed:
        over = {**store.snapshot.allocs.get(alloc["ID"]), **ended(alloc["ID"], "failed")}
        store.commit("AllocationUpdated", lambda transaction, over=over: transaction.put_alloc(over))
    assert _dry_run(store.snapshot, job(Type="sysbatch", cpu=10)).is_noop
    changed = _dry_run(store.snapshot, job(Type="sysbatch", cpu=20))
    assert len(changed.placed) == len(changed.stops) == 2
    assert all(alloc["PreviousAllocation"] for alloc in changed.placed)


def test_count_is_by_node(store: Store) -> None:
    decision = _dry_run(store.snapshot, job(Type="sysbatch", cpu=10, count=2))
    assert sorted((alloc["NodeName"], alloc["Name"][-3:]) for alloc in decision.placed) == [
        ("a", "[0]"),
        ("a", "[1]"),
        ("b", "[0]"),
        ("b", "[1]"),
    ]


def test_a_job_that_is_stopped_stops_everywhere(store: Store) -> None:
    _place(store, job(Type="sysbatch", cpu=10))
    assert len(_dry_run(store.snapshot, {**job(Type="sysbatch", cpu=10), "Stop": True}).stops) == 2
