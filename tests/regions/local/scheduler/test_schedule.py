from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from regions.local.scheduler.reconcile import Decision
from regions.local.scheduler.schedule import schedule
from regions.local.state.job_writes import next_version
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.store import Store
from tests.regions.local.state.builders import job, store_with

_NOW = 1_800_000_000 * 10**9


def _dry_run(state: Snapshot, wanted: Record, *, now_ns: int = _NOW) -> Decision:
    trial = state.copy()
    key = (wanted["Namespace"], wanted["ID"])
    trial.jobs = trial.jobs.put(key, next_version(state.jobs.get(key), wanted, state.index + 1, now_ns))
    numbers = count()
    evaluation = {"ID": "e", "JobID": wanted["ID"], "Namespace": wanted["Namespace"], "Priority": 50, "Type": "batch"}
    return schedule(trial, evaluation, now_ns, lambda: f"id-{next(numbers)}")


def _place(store: Store, wanted: Record) -> Decision:
    """Registers and places the job."""
    decision = None

    def change(transaction: Any) -> None:
        nonlocal decision
        old = transaction.state.jobs.get(("default", wanted["ID"]))
        transaction.put_job(next_version(old, wanted, transaction.index, _NOW))
        evaluation = {
            "ID": wanted["ID"],
            "JobID": wanted["ID"],
            "Namespace": "default",
            "Priority": 50,
            "Type": "batch",
        }
        numbers = count(len(transaction.state.allocs))
        decision = schedule(transaction.state, evaluation, _NOW, lambda: f"{next(numbers):036d}")
        for alloc in (*decision.stops, *decision.changed, *decision.placed):
            transaction.put_alloc(alloc)

    store.commit("PlanResult", change)
    assert decision is not None
    return decision


def test_lifecycle_hooks_share_the_maximum(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"name": "a", "cpu_mhz": 1000, "memory_mb": 8000})
    wanted = job(count=50, cpu=100)
    tasks = wanted["TaskGroups"][0]["Tasks"]
    tasks.append({**tasks[0], "Name": "before", "Lifecycle": {"Hook": "prestart", "Sidecar": False}})
    assert len(_dry_run(store.snapshot, wanted).placed) == 10
    tasks[1]["Lifecycle"]["Sidecar"] = True
    assert len(_dry_run(store.snapshot, wanted).placed) == 5


def test_what_found_no_room_is_counted_as_nomad_counts_it(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"name": "a", "cpu_mhz": 2000, "node_class": "small"}, {"name": "b", "drivers": []})
    decision = _dry_run(store.snapshot, job(count=9, cpu=500))
    failed = decision.failed["g"]
    assert len(decision.placed) == 4
    assert decision.queued == {"g": 5}
    assert failed["CoalescedFailures"] == 4
    assert failed["NodesAvailable"] == {"dc1": 2}
    assert failed["NodesEvaluated"] == 2
    assert failed["ConstraintFiltered"] == {"computed class ineligible": 1}
    assert _dry_run(store.snapshot, job(cpu=3000)).failed["g"]["ConstraintFiltered"] == {"missing drivers": 1}
    assert failed["DimensionExhausted"] == {"cpu": 1}
    assert failed["ClassExhausted"] == {"small": 1}
    assert failed["ResourcesExhausted"]["t"]["CPU"] == 5 * 500


def test_nodes_of_an_ineligible_class_are_counted_as_such(tmp_path: Path) -> None:
    store = store_with(tmp_path, *({"name": f"n{number}"} for number in range(3)))
    wanted = job(Constraints=[{"LTarget": "${attr.kernel.name}", "Operand": "=", "RTarget": "beos"}])
    failed = _dry_run(store.snapshot, wanted).failed["g"]
    assert failed["ConstraintFiltered"] == {"${attr.kernel.name} = beos": 1, "computed class ineligible": 2}
    assert failed["NodesFiltered"] == 3


@pytest.mark.parametrize(
    ("patterns", "available"),
    [(["dc1"], {"dc1": 1}), (["eu-*"], {"eu-1": 1}), (["*"], {"dc1": 1, "eu-1": 1}), (["nowhere"], {})],
)
def test_datacenters_are_names_or_globs(tmp_path: Path, patterns: list[str], available: dict[str, int]) -> None:
    store = store_with(tmp_path, {"name": "a"}, {"name": "b", "datacenter": "eu-1"})
    decision = _dry_run(store.snapshot, job(cpu=100_000, Datacenters=patterns))
    assert decision.failed["g"]["NodesAvailable"] == available


def test_distinct_hosts_and_host_volumes(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"name": "a", "host_volumes": {"models": "/srv"}}, {"name": "b"})
    spread = job(count=5, Constraints=[{"Operand": "distinct_hosts", "LTarget": "", "RTarget": ""}])
    decision = _dry_run(store.snapshot, spread)
    assert {alloc["NodeName"] for alloc in decision.placed} == {"a", "b"}
    assert decision.failed["g"]["ConstraintFiltered"] == {"distinct_hosts": 2}
    mounted = job(count=2)
    mounted["TaskGroups"][0]["Volumes"] = {"v": {"Type": "host", "Source": "models", "ReadOnly": False}}
    assert {alloc["NodeName"] for alloc in _dry_run(store.snapshot, mounted).placed} == {"a"}


def test_a_change_of_the_job_updates_in_place_or_replaces(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"name": "a"})
    _place(store, job(count=2))
    assert _dry_run(store.snapshot, job(count=2, Priority=60)).updates["g"]["InPlaceUpdate"] == 2
    assert _dry_run(store.snapshot, job(count=2, cpu=501)).updates["g"]["DestructiveUpdate"] == 2
    fewer = _dry_run(store.snapshot, job(count=1))
    assert [(alloc["Name"], alloc["DesiredDescription"]) for alloc in fewer.stops] == [
        ("train.g[1]", "alloc not needed due to job update")
    ]
    stopped = _dry_run(store.snapshot, {**job(count=2), "Stop": True})
    assert [alloc["DesiredStatus"] for alloc in stopped.stops] == ["stop", "stop"]


def _failed(store: Store, alloc_id: str) -> Record:
    def change(transaction: Any) -> None:
        alloc = transaction.state.allocs.get(alloc_id)
        states = {"t": {"State": "dead", "Failed": True, "FinishedAt": "2027-01-15T08:00:00Z"}}
        transaction.put_alloc({**alloc, "ClientStatus": "failed", "TaskStates": states})

    store.commit("AllocationUpdated", change)
    alloc: Record = store.snapshot.allocs.get(alloc_id)
    return alloc


def test_a_failure_is_rescheduled_once_after_its_delay(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"name": "a"}, {"name": "b"})
    first = _failed(store, _place(store, job()).placed[0]["ID"])
    current = store.snapshot.jobs.get(("default", "train"))
    evaluation = {"ID": "e", "JobID": "train", "Namespace": "default", "Priority": 50, "Type": "batch"}
    soon = schedule(store.snapshot, evaluation, _NOW, lambda: "new")
    assert soon.placed == []
    assert [(at_ns, [alloc["ID"] for alloc in allocs]) for at_ns, allocs in soon.later] == [
        (_NOW + 5 * 10**9, [first["ID"]])
    ]
    due = schedule(store.snapshot, evaluation, _NOW + 5 * 10**9, lambda: "f" * 36)
    assert due.placed[0]["PreviousAllocation"] == first["ID"]
    assert due.placed[0]["NodeID"] != first["NodeID"]
    assert due.placed[0]["RescheduleTracker"]["Events"][0]["PrevNodeID"] == first["NodeID"]
    assert due.stops[0]["NextAllocation"] == due.placed[0]["ID"]
    assert due.stops[0]["DesiredDescription"] == "alloc was rescheduled because it failed"
    store.commit("PlanResult", lambda txn: [txn.put_alloc(alloc) for alloc in (*due.stops, *due.placed)])
    _failed(store, "f" * 36)
    last = schedule(store.snapshot, evaluation, _NOW + 3600 * 10**9, lambda: "x")
    assert (last.placed, last.stops, last.later) == ([], [], [])
    assert current["ID"] == "train"


def test_a_complete_allocation_stays_and_a_changed_job_runs_again(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    alloc_id = _place(store, job()).placed[0]["ID"]
    states = {"t": {"State": "dead", "Failed": False}}
    store.commit(
        "AllocationUpdated",
        lambda txn: txn.put_alloc({**txn.state.allocs.get(alloc_id), "ClientStatus": "complete", "TaskStates": states}),
    )
    evaluation = {"ID": "e", "JobID": "train", "Namespace": "default", "Priority": 50, "Type": "batch"}
    same = schedule(store.snapshot, evaluation, _NOW, lambda: "new")
    assert same.is_noop
    assert same.updates["g"]["Ignore"] == 1
    assert len(_dry_run(store.snapshot, job(Meta={"a": "b"})).placed) == 1
