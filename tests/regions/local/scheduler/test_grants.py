"""Two GPU models on two nodes: what jobs get that ask for a type, a vendor, a model, or an attribute of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regions.local.state.snapshot import Record
from regions.local.state.store import Store
from tests.regions.local.scheduler.test_schedule import _dry_run, _place
from tests.regions.local.state.builders import ended, job, store_with

A100 = {
    "vendor": "nvidia",
    "type": "gpu",
    "name": "A100",
    "count": 2,
    "attributes": {"memory": "40 GiB", "cores": 6912},
}
T4 = {"vendor": "nvidia", "type": "gpu", "name": "T4", "count": 3, "attributes": {"memory": "16 GiB", "cores": 2560}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_with(
        tmp_path,
        {"name": "big", "cpu_mhz": 8000, "devices": [A100, T4]},
        {"name": "small", "cpu_mhz": 8000, "devices": [T4]},
        {"name": "none", "cpu_mhz": 8000},
    )


def _asking(name: str, count: int = 1, *, instances: int = 9, job_id: str = "train", **fields: Any) -> Record:
    wanted = job(job_id, count=instances, cpu=10, memory_mb=10)
    ask = {"Affinities": None, "Constraints": None, "Count": count, "Name": name, **fields}
    wanted["TaskGroups"][0]["Tasks"][0]["Resources"]["Devices"] = [ask]
    return wanted


def _attribute(name: str, operand: str, value: str, **fields: Any) -> list[Record]:
    return [{"LTarget": f"${{device.{name}}}", "Operand": operand, "RTarget": value, **fields}]


@pytest.mark.parametrize(
    ("wanted", "placed"),
    [
        (_asking("gpu"), 8),
        (_asking("nvidia/gpu"), 8),
        (_asking("nvidia/gpu/A100"), 2),
        (_asking("nvidia/gpu/T4", 2), 2),
        (_asking("gpu", 2), 3),
        (_asking("gpu", Constraints=_attribute("attr.memory", ">=", "20 GiB")), 2),
        (_asking("gpu", Constraints=_attribute("attr.memory", "<", "20000 MiB")), 6),
        (_asking("gpu", Constraints=_attribute("attr.cores", ">", "3000")), 2),
        (_asking("gpu", Constraints=_attribute("model", "=", "T4")), 6),
    ],
)
def test_instances_are_given_once(store: Store, wanted: Record, placed: int) -> None:
    decision = _dry_run(store.snapshot, wanted)
    given = [
        instance
        for alloc in decision.placed
        for device in alloc["AllocatedResources"]["Tasks"]["t"]["Devices"]
        for instance in device["DeviceIDs"]
    ]
    assert len(decision.placed) == placed
    assert len(given) == len(set(given))
    failed = decision.failed["g"]
    assert failed["CoalescedFailures"] == 9 - placed - 1
    assert set(failed["DimensionExhausted"]) == {"devices: no devices match request"}
    assert failed["NodesFiltered"] + failed["NodesExhausted"] == 3


def test_nobody_has_such_a_device(store: Store) -> None:
    failed = _dry_run(store.snapshot, _asking("amd/gpu", instances=1)).failed["g"]
    assert failed["ConstraintFiltered"] == {"missing devices": 3}
    assert _dry_run(store.snapshot, _asking("nvidia/gpu/A100", 3, instances=1)).failed["g"]["NodesFiltered"] == 3


def test_an_affinity_chooses_the_model(store: Store) -> None:
    for model in ("T4", "A100"):
        liking = _attribute("model", "=", model, Weight=50)
        (alloc,) = _dry_run(store.snapshot, _asking("gpu", instances=1, Affinities=liking)).placed
        (device,) = alloc["AllocatedResources"]["Tasks"]["t"]["Devices"]
        assert device["Name"] == model
        assert alloc["Metrics"]["ScoreMetaData"][0]["Scores"]["devices"] == 1.0


def test_what_ended_gives_its_devices_back(store: Store) -> None:
    first = _place(store, _asking("nvidia/gpu/A100", instances=2, job_id="a"))
    assert _dry_run(store.snapshot, _asking("nvidia/gpu/A100", instances=1)).failed
    over = {**store.snapshot.allocs.get(first.placed[0]["ID"]), **ended(first.placed[0]["ID"])}
    store.commit("AllocationUpdated", lambda transaction: transaction.put_alloc(over))
    (again,) = _dry_run(store.snapshot, _asking("nvidia/gpu/A100", instances=1)).placed
    same = first.placed[0]["AllocatedResources"]["Tasks"]["t"]["Devices"]
    assert again["AllocatedResources"]["Tasks"]["t"]["Devices"] == same


def test_cores_are_given_once(tmp_path: Path) -> None:
    store = store_with(tmp_path, {"name": "a", "cpu_mhz": 4000, "cores": 4})
    wanted = job(count=9, cpu=0, memory_mb=10)
    wanted["TaskGroups"][0]["Tasks"][0]["Resources"]["Cores"] = 1
    decision = _dry_run(store.snapshot, wanted)
    given = [alloc["AllocatedResources"]["Tasks"]["t"]["Cpu"] for alloc in decision.placed]
    assert given == [{"CpuShares": 1000, "ReservedCores": [core]} for core in range(4)]
    assert decision.failed["g"]["DimensionExhausted"] == {"cores": 1}


def test_a_spread_without_targets_takes_turns(tmp_path: Path) -> None:
    racks = [{"name": f"n{number}", "meta": {"rack": "r1" if number < 3 else "r2"}} for number in range(4)]
    store = store_with(tmp_path, *racks)
    wanted = job(count=8, cpu=10, Spreads=[{"Attribute": "${meta.rack}", "Weight": 100}])
    nodes = [alloc["NodeName"] for alloc in _dry_run(store.snapshot, wanted).placed]
    assert nodes.count("n3") == 4


def test_a_spread_by_percent(tmp_path: Path) -> None:
    racks = [{"name": f"n{number}", "meta": {"rack": "r1" if number < 3 else "r2"}} for number in range(4)]
    store = store_with(tmp_path, *racks)
    targets = [{"Value": "r1", "Percent": 25}, {"Value": "r2", "Percent": 75}]
    wanted = job(count=8, cpu=10, Spreads=[{"Attribute": "${meta.rack}", "Weight": 100, "SpreadTarget": targets}])
    nodes = [alloc["NodeName"] for alloc in _dry_run(store.snapshot, wanted).placed]
    assert nodes.count("n3") >= 5
