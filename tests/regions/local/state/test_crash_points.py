"""kill -9 at every change of the disk that a session makes: before it, in the midst of it, and after it.

Here the region's writer, scheduler and hurt nodes without HTTP and processes, so that all crash points are tried each
time. The same through a real process: `tests/regions/local/http/test_process.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regions.local.server import heartbeats
from regions.local.server.collection import collect
from regions.local.server.heartbeats import Heartbeats
from regions.local.server.worker import Worker
from regions.local.state import job_writes, journal, node_writes
from regions.local.state.nodes import declare
from regions.local.state.snapshot import Record, Snapshot
from regions.local.state.store import Store
from regions.local.state.transaction import Change
from tests.regions.local.state.builders import (
    StillClient,
    config,
    contents,
    dispatch,
    ended,
    job,
    parameterized,
    register,
)
from tests.regions.local.state.dying import Died, DyingOs, When

_NODES = ({"name": "a", "cpu_mhz": 1000}, {"name": "b", "cpu_mhz": 1000})


class _Region:
    """One life of a region on its folder. `known` are its states, by index, as they were in memory when written."""

    def __init__(self, folder: Path, known: dict[int, Any]) -> None:
        self.store = Store(folder / "data")
        if self.store.snapshot.index:
            assert contents(self.store.snapshot) == known[self.store.snapshot.index]
        append = self.store._journal.append

        def noted(before: Snapshot, after: Snapshot, changes: list[Change]) -> None:
            known[after.index] = contents(after)
            append(before, after, changes)

        self.store._journal.append = noted  # type: ignore[method-assign]
        self.worker = Worker(self.store, StillClient())
        self.heartbeats = Heartbeats(self.store, self.worker, StillClient(), folder / "data", 3600)
        declare(self.store, config(folder, *_NODES), "127.0.0.1:4646")
        self.heartbeats.resume()

    def settle(self) -> None:
        """What the scheduler's thread does until nothing is left to do."""
        while pending := [one for one in self.store.snapshot.evals.values() if one["Status"] == "pending"]:
            for evaluation in pending:
                self.worker._process(evaluation["ID"])
        self.worker._unblock()

    def node(self, name: str) -> Record:
        return next(node for node in self.store.snapshot.nodes.values() if node["Name"] == name)

    def dispatch(self, slot: str) -> str:
        """As a client does that was not answered: again by the same token, and evaluated where that was left out."""
        child = dispatch(self.store, slot=slot, token=f"token-{slot}")
        if not self.store.snapshot.job_evals("default", child["ID"]):
            self.store.commit("EvaluationUpdated", lambda txn: job_writes.evaluate(txn, child, "job-register", 1))
        return str(child["ID"])

    def end_one(self, status: str) -> None:
        live = (one for one in self.store.snapshot.allocs.values() if one["ClientStatus"] == "pending")
        if alloc := next(live, None):
            self.worker.on_update([ended(alloc["ID"], status)])


def _variable(region: _Region) -> None:
    made = {"Namespace": "default", "Path": "nomad/jobs/train", "Items": {"a": "b"}, "CreateIndex": 1, "ModifyIndex": 1}
    region.store.commit("VariablePut", lambda txn: txn.put_variable(made))


def _node(change: Callable[..., Any], name: str, *given: Any, **more: Any) -> Callable[[_Region], Any]:
    return lambda region: region.store.commit(
        "NodeDrain", lambda txn: change(txn, region.node(name)["ID"], *given, **more)
    )


_SESSION: list[Callable[[_Region], Any]] = [
    lambda region: register(region.store, parameterized(cpu=500)),
    *(lambda region, slot=str(slot): region.dispatch(slot) for slot in range(6)),  # type: ignore[misc]
    lambda region: region.settle(),
    lambda region: region.end_one("complete"),
    lambda region: register(region.store, job("plain", count=2, cpu=300)),
    lambda region: region.settle(),
    lambda region: region.end_one("failed"),
    _variable,
    _node(node_writes.set_eligibility, "a", "ineligible"),
    _node(node_writes.set_drain, "b", {"Deadline": 3600}, mark_eligible=False, meta={}),
    _node(node_writes.set_drain, "b", None, mark_eligible=True, meta={}),
    _node(node_writes.set_eligibility, "a", "eligible"),
    lambda region: region.heartbeats.silence(region.node("a"), "killed"),
    lambda region: region.heartbeats._update(region.node("a")["ID"], "down", "Node heartbeat missed"),
    lambda region: region.settle(),
    lambda region: region.heartbeats.restore(region.node("a")),
    lambda region: region.settle(),
    lambda region: region.store.commit(
        "JobDeregistered",
        lambda txn: job_writes.deregister(txn, "default", "plain", purge=False, now_ns=time.time_ns()),
    ),
    lambda region: region.settle(),
    *([lambda region: region.end_one("complete"), lambda region: region.settle()] * 7),
    lambda region: collect(region.store, lambda _: None, force=True),
    lambda region: region.dispatch("late"),
    lambda region: region.settle(),
]


class _Life:
    """The session, over as many processes as it takes. `acknowledged` is the highest index that a client was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[int, Any] = {}
        self.step = self.acknowledged = 0
        self.region: _Region | None = None

    def go_on(self, disk: DyingOs, monkeypatch: pytest.MonkeyPatch) -> None:
        """Starts the region and does what is left, until the end or its death."""
        monkeypatch.setattr(journal, "os", disk)
        monkeypatch.setattr(heartbeats, "os", disk)
        try:
            self.region = _Region(self.folder, self.known)
            assert self.region.store.snapshot.index >= self.acknowledged, "an acknowledged index is never taken back"
            self.region.settle()
            while self.step < len(_SESSION):
                _SESSION[self.step](self.region)
                self.acknowledged = self.region.store.snapshot.index
                self.step += 1
        except Died:
            if self.region:
                self.region.heartbeats.stop()
        disk.bury()


@pytest.fixture(autouse=True)
def _often_rewritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is rewritten several times within the session, and at each start."""
    monkeypatch.setattr(journal, "_REWRITE_BYTES", 20_000)
    monkeypatch.setattr(journal, "_REWRITE_FACTOR", 1.5)
    monkeypatch.setattr(journal, "_REWRITE_AT_START_BYTES", 0)


def _points(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, When]]:
    """All moments at which the session's process can die."""
    disk, life = DyingOs(), _Life(folder)
    life.go_on(disk, monkeypatch)
    assert life.step == len(_SESSION)
    assert disk.kinds.count("replace") >= 5, "the journal was rewritten, and hurt nodes were noted"
    assert disk.kinds.count("write") >= 60
    torn = [(at, "torn") for at, kind in enumerate(disk.kinds, 1) if kind == "write"]
    return [*torn, *((at, "after") for at in range(1, len(disk.kinds) + 1))]  # type: ignore[list-item]


def test_nothing_acknowledged_is_lost_wherever_the_process_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = _points(tmp_path / "whole", monkeypatch)
    for at, when in points:
        life = _Life(tmp_path / f"{at}-{when}")
        life.go_on(DyingOs(at, when), monkeypatch)
        life.go_on(DyingOs(), monkeypatch)
        assert life.step == len(_SESSION), (at, when)
        assert life.region is not None
        _check(life.region.store.snapshot, (at, when))


def _check(state: Snapshot, point: Any) -> None:
    children = [one for one in state.jobs.values() if one["ParentID"]]
    tokens = {one["DispatchIdempotencyToken"]: one for one in children}
    assert len(tokens) == len(children), point
    late = tokens["token-late"]
    (alloc,) = state.job_allocs("default", late["ID"])
    assert (alloc["ClientStatus"], late["Status"]) == ("pending", "running"), point
    assert not [one for one in state.evals.values() if one["Status"] == "pending"], point
    assert {node["Status"] for node in state.nodes.values()} == {"ready"}, point
