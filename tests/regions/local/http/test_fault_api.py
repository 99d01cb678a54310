"""A region whose nodes are hurt apart from their server, and one that nobody reaches."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.regions.local.http.served import TOKEN, Api
from tests.regions.local.http.test_jobs import parameterized
from tests.regions.local.http.test_process import Region, running

NODES = [{"name": name, "cpu_mhz": 2000, "memory_mb": 2000} for name in ("us-1", "us-2")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def region(folder: Path) -> Iterator[Region]:
    with running(folder, nodes=NODES, heartbeat_grace_s=0.3) as started:
        yield started


def sleeper(script: str = "exec sleep 600") -> dict[str, Any]:
    task = {
        "Name": "t",
        "Driver": "raw_exec",
        "Config": {"command": "/bin/sh", "args": ["-c", script]},
        "Resources": {"CPU": 100, "MemoryMB": 64},
    }
    group = {"Name": "g", "Count": 1, "Tasks": [task], "RestartPolicy": {"Attempts": 0, "Mode": "fail"}}
    return {"Job": {"ID": "j", "Name": "j", "Type": "batch", "Datacenters": ["dc1"], "TaskGroups": [group]}}


def allocs(region: Region, holds: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = region.until("/v1/job/j/allocations", holds)
    return sorted(found, key=lambda alloc: alloc["CreateIndex"])


def all_running(count: int) -> Any:
    return lambda found: [alloc["ClientStatus"] for alloc in found].count("running") == count


def is_lost_and_replaced(found: list[dict[str, Any]]) -> bool:
    return sorted(alloc["ClientStatus"] for alloc in found) == ["lost", "running"]


def processes(folder: Path) -> list[int]:
    """The tasks that run, by the allocation folder in their environment."""
    wanted = f"NOMAD_ALLOC_DIR={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if any(one.startswith(wanted) for one in (entry / "environ").read_bytes().split(b"\0")):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def hurt(region: Region, name: str, order: str) -> dict[str, Any]:
    answer: dict[str, Any] = region.ask("PUT", f"/v1/fedml/node/{name}", {"Do": order})
    return answer


def test_a_killed_node_loses_its_tasks_and_they_are_replaced(region: Region, folder: Path) -> None:
    region.ask("PUT", "/v1/jobs", sleeper())
    (first,) = allocs(region, all_running(1))
    (pid,) = processes(folder)
    assert hurt(region, first["NodeName"], "kill")["Nodes"] == {first["NodeName"]: "killed"}
    lost, second = allocs(region, is_lost_and_replaced)
    assert (lost["ID"], lost["DesiredStatus"]) == (first["ID"], "stop")
    assert lost["DesiredDescription"] == "alloc is lost since its node is down"
    assert second["NodeName"] != first["NodeName"]
    assert pid not in processes(folder)
    (down,) = (node for node in region.ask("GET", "/v1/nodes") if node["Status"] == "down")
    assert down["Name"] == first["NodeName"]
    node = region.ask("GET", f"/v1/node/{down['ID']}")
    assert node["Events"][-1]["Message"] == "Node heartbeat missed"
    evaluations = region.ask("GET", "/v1/job/j/evaluations")
    assert [one["NodeID"] for one in evaluations if one["TriggeredBy"] == "node-update"] == [down["ID"]]
    assert hurt(region, first["NodeName"], "restore")["Nodes"] == {}
    assert all(node["Status"] == "ready" for node in region.ask("GET", "/v1/nodes"))
    assert len(processes(folder)) == 1


def test_a_killed_node_that_is_back_in_time_runs_its_tasks_again(folder: Path) -> None:
    with running(folder, nodes=NODES, heartbeat_grace_s=600) as region:
        region.ask("PUT", "/v1/jobs", sleeper())
        (first,) = allocs(region, all_running(1))
        (pid,) = processes(folder)
        hurt(region, first["NodeName"], "kill")
        hurt(region, first["NodeName"], "restore")
        started = "TaskStates"
        (again,) = allocs(region, lambda found: len(found[0][started]["t"]["Events"]) > 3 and all_running(1)(found))
        assert again["ID"] == first["ID"]
        (new,) = processes(folder)
        assert new != pid


def test_a_paused_node_stands_still_and_learns_what_happened(region: Region, folder: Path) -> None:
    region.ask("PUT", "/v1/jobs", sleeper())
    (first,) = allocs(region, all_running(1))
    (pid,) = processes(folder)
    hurt(region, first["NodeName"], "pause")
    allocs(region, is_lost_and_replaced)
    assert state_of(pid) == "T"
    assert len(processes(folder)) == 2
    hurt(region, first["NodeName"], "restore")
    ended = allocs(region, lambda found: "lost" not in [alloc["ClientStatus"] for alloc in found])
    assert [alloc["ID"] for alloc in ended if alloc["ClientStatus"] != "running"] == [first["ID"]]
    assert pid not in processes(folder), "it was stopped, since another one runs in its place"


def test_a_node_stays_hurt_over_a_crash_of_its_region(region: Region, folder: Path) -> None:
    region.ask("PUT", "/v1/jobs", sleeper())
    (first,) = allocs(region, all_running(1))
    (pid,) = processes(folder)
    hurt(region, first["NodeName"], "pause")
    region.process.send_signal(signal.SIGKILL)
    region.process.wait()
    with running(folder, nodes=NODES, heartbeat_grace_s=0.3) as again:
        assert again.ask("GET", "/v1/fedml/hurt") == {"IsCut": False, "Nodes": {first["NodeName"]: "paused"}}
        allocs(again, is_lost_and_replaced)
        assert state_of(pid) == "T"


def test_a_region_that_is_cut_is_silent_and_goes_on_afterwards(region: Region, folder: Path) -> None:
    with socket.create_connection(("127.0.0.1", region.port), timeout=30) as stream:
        head = f"GET /v1/event/stream?topic=Job HTTP/1.1\r\nHost: localhost\r\nX-Nomad-Token: {TOKEN}\r\n\r\n"
        stream.sendall(head.encode())
        assert stream.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert region.ask("PUT", "/v1/fedml/region", {"Do": "cut"})["IsCut"] is True
        with socket.create_connection(("127.0.0.1", region.port), timeout=30) as asking:
            asking.sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\n\r\n")
            asking.settimeout(0.2)
            with pytest.raises(TimeoutError):
                asking.recv(1)
            region.ask("PUT", "/v1/fedml/region", {"Do": "restore"})
            asking.settimeout(30)
            assert asking.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_orders_that_are_none(api: Api) -> None:
    assert api.ask("GET", "/v1/fedml/hurt", token="") == (403, "Permission denied")
    assert api.ask("PUT", "/v1/fedml/node/nowhere", {"Do": "kill"}) == (404, "no node nowhere")
    name = api.get("/v1/nodes")[0]["Name"]
    assert api.ask("PUT", f"/v1/fedml/node/{name}", {"Do": "dance"}) == (400, '"dance" is not a valid order for a node')
    assert api.ask("PUT", "/v1/fedml/region", {"Do": "kill"}) == (400, '"kill" is not a valid order for a region')
    assert api.ask("GET", "/v1/fedml/what")[0] == 404


def test_two_dispatches_race_with_one_token(api: Api) -> None:
    api.put("/v1/jobs", {"Job": parameterized()})
    path = "/v1/job/train/dispatch?idempotency_token=t"
    slot = {"Meta": {"slot": "7"}}
    first = api.put(path, slot)["DispatchedJobID"]
    api.put("/v1/fedml/faults", {"ForgottenTokens": 1})
    api.put("/v1/job/train/dispatch?idempotency_token=other", slot)
    second = api.put(path, slot)
    assert second["DispatchedJobID"] != first
    assert second["EvalID"]
    assert api.put(path, slot)["DispatchedJobID"] in (first, second["DispatchedJobID"]), "only once"


def test_a_child_is_left_without_an_evaluation(api: Api) -> None:
    api.put("/v1/jobs", {"Job": parameterized()})
    api.put("/v1/fedml/faults", {"LostEvaluations": 1})
    path = "/v1/job/train/dispatch?idempotency_token=t"
    assert api.ask("PUT", path, {"Meta": {"slot": "7"}}) == (500, "rpc error: EOF")
    (child,) = (stub for stub in api.get("/v1/jobs") if stub["ParentID"] == "train")
    assert child["Status"] == "pending"
    again = api.put(path, {"Meta": {"slot": "7"}})
    assert (again["DispatchedJobID"], again["EvalID"]) == (child["ID"], "")
    quoted = child["ID"].replace("/", "%2F")
    assert api.get(f"/v1/job/{quoted}/evaluations") == []
    api.finished(api.put(f"/v1/job/{quoted}/evaluate", {"JobID": child["ID"]})["EvalID"])
    assert len(api.get(f"/v1/job/{quoted}/allocations")) == 1
