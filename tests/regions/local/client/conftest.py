"""A client of its own for each test, with builders of the JSON that a server would send."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regions.local.client import Client

NODE = {
    "ID": "6f3c1c1e-0000-4000-8000-000000000001",
    "Name": "us-1",
    "Datacenter": "us-east-1",
    "NodeClass": "",
    "Attributes": {"kernel.name": "linux"},
    "Meta": {"rack": "r1"},
}
NO_RESTARTS = {"Attempts": 0, "Interval": 60_000_000_000, "Delay": 1_000_000, "Mode": "fail"}


def shell(name: str, script: str, **fields: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "Driver": "raw_exec",
        "Config": {"command": "/bin/sh", "args": ["-c", script]},
        "KillTimeout": 5_000_000_000,
        "RestartPolicy": NO_RESTARTS,
    } | fields


def mock(name: str, *, fields: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    base = {"Name": name, "Driver": "mock_driver", "Config": config, "KillTimeout": 0, "RestartPolicy": NO_RESTARTS}
    return base | (fields or {})


def job_of(*tasks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    group = {"Name": "g", "Count": 1, "RestartPolicy": NO_RESTARTS, "Tasks": list(tasks)} | fields.pop("group", {})
    return {"ID": "job", "Name": "job", "Type": "batch", "Region": "us", "TaskGroups": [group]} | fields


def alloc_of(job: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return {
        "ID": str(uuid.uuid4()),
        "Name": f"{job['ID']}.g[{index}]",
        "Namespace": "default",
        "TaskGroup": "g",
        "DesiredStatus": "run",
        "AllocatedResources": {
            "Tasks": {
                t["Name"]: {"Cpu": {"CpuShares": 100}, "Memory": {"MemoryMB": 64}}
                for t in job["TaskGroups"][0]["Tasks"]
            }
        },
    }


class Bench:
    """A client and what it told; `until` waits for an update (of any allocation) that fulfils a condition."""

    def __init__(self, data_dir: Path, env: dict[str, str]) -> None:
        self.data_dir = data_dir
        self.env = env
        self.updates: dict[str, dict[str, Any]] = {}
        self._told = threading.Condition()
        self.client = self.new_client()

    def new_client(self) -> Client:
        return Client(self.data_dir, self._on_update, self.env, "http://127.0.0.1:0")

    def _on_update(self, updates: list[dict[str, Any]]) -> None:
        with self._told:
            for update in updates:
                self.updates[update["ID"]] = update
            self._told.notify_all()

    def start(self, job: dict[str, Any], **fields: Any) -> dict[str, Any]:
        alloc = alloc_of(job) | fields
        self.client.start(alloc, job, NODE)
        return alloc

    def until(self, alloc_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        with self._told:
            assert self._told.wait_for(lambda: alloc_id in self.updates and holds(self.updates[alloc_id]), 20)
            return self.updates[alloc_id]

    def ended(self, alloc_id: str) -> dict[str, Any]:
        return self.until(alloc_id, all_dead)

    shell = staticmethod(shell)
    mock = staticmethod(mock)
    job = staticmethod(job_of)
    alloc = staticmethod(alloc_of)
    node = NODE

    @staticmethod
    def kinds(update: dict[str, Any], task: str) -> list[str]:
        return [event["Type"] for event in update["TaskStates"][task]["Events"]]

    @staticmethod
    def words(update: dict[str, Any], task: str) -> list[str]:
        return [event["DisplayMessage"] for event in update["TaskStates"][task]["Events"]]

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        return self.ended(self.start(job)["ID"])

    def log(self, alloc_id: str, name: str) -> str:
        return (self.client.alloc_dir(alloc_id) / "alloc" / "logs" / name).read_text()


def all_dead(update: dict[str, Any]) -> bool:
    return all(state["State"] == "dead" for state in update["TaskStates"].values())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, {"PATH": "/usr/local/bin:/usr/bin:/bin", "AWS_ACCESS_KEY_ID": "AKIA", "COLOUR": "blue"})
    yield bench
    bench.client.shutdown(kill=True)
