from __future__ import annotations

import time
from pathlib import Path

from regions.local.server.collection import collect
from regions.local.server.worker import Worker
from regions.local.state import job_writes
from regions.local.state.nodes import declare
from regions.local.state.store import Store
from regions.local.state.times import format_time
from tests.regions.local.state.builders import (
    StillClient,
    config,
    dispatch,
    ended,
    job,
    parameterized,
    register,
    store_with,
)


def _process_open(store: Store, worker: Worker) -> None:
    for evaluation in list(store.snapshot.evals.values()):
        if evaluation["Status"] == "pending" and not evaluation.get("WaitUntil"):
            worker._process(evaluation["ID"])


def _running(store: Store) -> list[str]:
    live = [alloc for alloc in store.snapshot.allocs.values() if alloc["ClientStatus"] == "pending"]
    return sorted(alloc["JobID"] for alloc in live)


def test_blocked_evaluations_wake_by_priority_then_age(tmp_path: Path) -> None:
    store, client = store_with(tmp_path, {"name": "a", "cpu_mhz": 1000}), StillClient()
    worker = Worker(store, client)
    for name, priority in (("first", 50), ("second", 50), ("third", 50), ("urgent", 80)):
        register(store, job(name, cpu=1000, Priority=priority))
        _process_open(store, worker)
    order = []
    for _ in range(4):
        [alloc_id] = [alloc["ID"] for alloc in store.snapshot.allocs.values() if alloc["ClientStatus"] == "pending"]
        order += _running(store)
        worker.on_update([ended(alloc_id)])
        worker._unblock()
    assert order == ["first", "urgent", "second", "third"]
    assert len(client.started) == 4
    assert not list(store.snapshot.blocked.values())
    assert {one["Status"] for one in store.snapshot.evals.values()} == {"complete"}


def test_children_that_wait_are_all_run_in_the_end_by_the_thread(tmp_path: Path) -> None:
    store, client = store_with(tmp_path, {"name": "a", "cpu_mhz": 1000}), StillClient()
    worker = Worker(store, client)
    start = client.start

    def end_at_once(alloc: dict, job: dict, node: dict) -> None:
        start(alloc, job, node)
        worker.on_update([ended(alloc["ID"])])

    client.start = end_at_once  # type: ignore[method-assign]
    register(store, parameterized(cpu=500))
    for slot in range(20):
        dispatch(store, slot=str(slot))
    worker.start()
    summary = store.wait(
        lambda state: state.summaries.get(("default", "train"))["Children"]["Dead"], above=19, timeout_s=30
    ).summaries.get(("default", "train"))
    worker.stop()
    assert summary["Children"] == {"Dead": 20, "Pending": 0, "Running": 0}
    assert len(set(client.started)) == 20


def test_a_newer_evaluation_replaces_the_blocked_one_and_success_cancels_it(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"name": "a", "cpu_mhz": 1000})
    worker = Worker(store, StillClient())
    register(store, job("big", count=2, cpu=1000))
    _process_open(store, worker)
    register(store, job("big", count=3, cpu=1000))
    _process_open(store, worker)
    said = sorted(one.get("StatusDescription", "") for one in store.snapshot.job_evals("default", "big"))
    assert said[2:] == ["created to place remaining allocations", 'existing blocked evaluation exists for job "big"']
    store.commit("JobDeregistered", lambda txn: job_writes.deregister(txn, "default", "big", purge=False, now_ns=1))
    _process_open(store, worker)
    assert not list(store.snapshot.blocked.values())
    assert store.snapshot.jobs.get(("default", "big"))["Status"] == "dead"


def test_a_failure_waits_for_its_follow_up_evaluation(tmp_path: Path) -> None:
    store, client = store_with(tmp_path), StillClient()
    worker = Worker(store, client)
    register(store, job())
    _process_open(store, worker)
    worker.on_update([ended(client.started[0], "failed", finished=format_time(time.time_ns()))])
    _process_open(store, worker)
    assert store.snapshot.jobs.get(("default", "train"))["Status"] == "pending"
    [follow_up] = [one for one in store.snapshot.evals.values() if one.get("WaitUntil")]
    assert follow_up["StatusDescription"] == "created for delayed rescheduling"
    assert store.snapshot.allocs.get(client.started[0])["FollowupEvalID"] == follow_up["ID"]
    worker._process(follow_up["ID"])
    assert len(client.started) == 2
    worker.on_update([ended(client.started[1], "failed", finished=format_time(time.time_ns()))])
    _process_open(store, worker)
    assert store.snapshot.jobs.get(("default", "train"))["Status"] == "dead"


def test_collection_removes_what_is_over_with_its_folders(tmp_path: Path) -> None:
    store, client = store_with(tmp_path), StillClient()
    worker = Worker(store, client)
    register(store, parameterized())
    child, other = dispatch(store, slot="1"), dispatch(store, slot="2")
    _process_open(store, worker)
    over = [alloc["ID"] for alloc in store.snapshot.job_allocs("default", child["ID"])]
    worker.on_update([ended(over[0])])
    destroyed: list[str] = []
    collect(store, destroyed.append)
    assert destroyed == []
    collect(store, destroyed.append, force=True)
    assert destroyed == over
    assert {job["ID"] for job in store.snapshot.jobs.values()} == {"train", other["ID"]}
    assert len(store.snapshot.allocs) == 1


def test_a_node_that_is_no_longer_declared_is_forgotten_in_the_end(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"name": "a"}, {"name": "b"})
    declare(store, config(tmp_path, {"name": "b"}), "127.0.0.1:4646")
    status = {node["Name"]: node["Status"] for node in store.snapshot.nodes.values()}
    assert status == {"a": "down", "b": "ready"}
    collect(store, lambda _: None, declared={"b"})
    assert len(store.snapshot.nodes) == 2
    collect(store, lambda _: None, declared={"b"}, force=True)
    assert [node["Name"] for node in store.snapshot.nodes.values()] == ["b"]
