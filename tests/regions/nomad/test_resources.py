"""The estimate of free slots, where the scheduler may not be asked."""

from __future__ import annotations

from typing import Any

import pytest

from regions.model import HeldDevices, Node
from regions.nomad.resources import Resources, estimated_slots, held_devices, together, used_by_node

NODES = [
    Node("a", "a", "dc1", True, 1000, 1000, drivers=frozenset({"exec"})),
    Node("b", "b", "dc1", True, 500, 1000, drivers=frozenset({"exec", "docker"}), host_volumes=frozenset({"data"})),
    Node("c", "c", "dc2", True, 9000, 9000, drivers=frozenset({"exec"})),
    Node("d", "d", "dc1", False, 9000, 9000, drivers=frozenset({"exec"})),
]


def job(*groups: dict[str, Any]) -> dict[str, Any]:
    return {"Datacenters": ["dc1"], "TaskGroups": list(groups)}


def group(cpu: int | None, memory: int | None, *, count: int = 1, driver: str = "exec", **more: Any) -> dict[str, Any]:
    return {
        "Name": "g",
        "Count": count,
        "Tasks": [{"Driver": driver, "Resources": {"CPU": cpu, "MemoryMB": memory}}],
        **more,
    }


@pytest.mark.parametrize(
    ("groups", "slots"),
    [
        ([group(100, 10)], 15),
        ([group(100, 10, count=2)], 7),
        ([group(None, None)], 6),
        ([group(400, 10)], 3),
        ([group(600, 10), group(400, 10)], 1),
        ([group(100, 10, driver="docker")], 5),
        ([group(100, 10, Volumes={"v": {"Type": "host", "Source": "data"}})], 5),
        ([group(2000, 10)], 0),
    ],
)
def test_whole_slots_that_fit(groups: list[dict[str, Any]], slots: int) -> None:
    assert estimated_slots(NODES, {}, job(*groups), at_most=1000) == slots


def test_what_is_used_is_not_free_and_no_more_than_was_asked() -> None:
    used = {"a": Resources(900, 0), "b": Resources(0, 995)}
    assert estimated_slots(NODES, used, job(group(100, 10)), at_most=1000) == 1
    assert estimated_slots(NODES, {}, job(group(100, 10)), at_most=3) == 3


def test_prestart_and_main_share_their_maximum_and_sidecars_run_beside() -> None:
    main, prestart = (Resources(100, 50), None), (Resources(80, 200), {"Hook": "prestart", "Sidecar": False})
    sidecar, poststart = (
        (Resources(5, 5), {"Hook": "prestart", "Sidecar": True}),
        (Resources(7, 7), {"Hook": "poststart"}),
    )
    assert together([main, prestart]) == Resources(100, 200)
    assert together([main, prestart, sidecar]) == Resources(105, 205)
    assert together([main, poststart]) == Resources(107, 57)


def test_only_allocations_that_have_not_ended_count() -> None:
    def one(client: str, desired: str = "run") -> dict[str, Any]:
        tasks = {"t": {"Cpu": {"CpuShares": 100}, "Memory": {"MemoryMB": 10}}}
        return {"NodeID": "a", "ClientStatus": client, "DesiredStatus": desired, "AllocatedResources": {"Tasks": tasks}}

    listed = [one("running"), one("pending"), one("complete"), one("failed"), one("lost"), one("running", "stop")]
    assert used_by_node(listed) == {"a": Resources(200, 20)}


def test_devices_are_held_until_an_allocation_ends():
    device = {"Vendor": "nvidia", "Type": "gpu", "Name": "A100", "DeviceIDs": ["g0", "g1"]}
    stub = {
        "ID": "a",
        "NodeID": "n",
        "JobID": "train/1",
        "Namespace": "ml",
        "ClientStatus": "running",
        "DesiredStatus": "run",
        "AllocatedResources": {"Tasks": {"main": {"Devices": [device]}, "log": {"Devices": None}}},
    }
    ended = [stub | {"ClientStatus": status} for status in ("complete", "failed", "lost")]
    assert held_devices([stub, *ended, stub | {"DesiredStatus": "stop"}, stub | {"AllocatedResources": None}]) == [
        HeldDevices("n", "a", "train/1", "ml", "nvidia/gpu/A100", ("g0", "g1"))
    ]
