"""`fedml dev` with the region that people get, and a task that really runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.config.dev_state import Process, read_state
from federation.config.load import load
from federation.config.model import Config
from federation.dev import lifecycle
from federation.dev.processes import end, marked
from regions.nomad.client import NomadRegion

FILE = """
[federation]
home = "file://./stores/home"
[regions.us]
addresses = ["dev:us"]
store = "file://./stores/us"
datacenters.dc1 = {}
[regions.eu]
addresses = ["dev:us", "dev:eu"]
store = "file://./stores/eu"
datacenters.dc1 = {}
[dev.regions.us]
nodes = [{ cpu_mhz = 1000, memory_mb = 512, count = 2 }]
[dev.regions.eu]
nodes = [
    { cpu_mhz = 1000, memory_mb = 512, host_volumes = { data = "volumes" }, read_only_volumes = ["data"], devices = [
        { vendor = "nvidia", name = "A100", count = 2, attributes = { memory = "80 GiB" } },
    ], cores = 3, node_pool = "gpu" },
]
"""


def quiet(_: str) -> None:
    pass


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    (tmp_path / "fedml.toml").write_text(FILE)
    lifecycle.up(load(tmp_path), quiet, deadline_s=120)
    yield load(tmp_path)
    lifecycle.down(tmp_path, quiet, purge=True)


def marked_of(config: Config) -> list[Process]:
    state = read_state(config.root)
    assert state is not None
    return [each.process for each in marked(state.id)]


def kill_region(config: Config, name: str) -> None:
    """As `kill -9`; it is gone when this returns."""
    (pid,) = (each.pid for each in lifecycle.status(config) if each.name == name)
    assert pid is not None
    process = Process.of(pid)
    assert process is not None
    os.kill(pid, signal.SIGKILL)
    end([process])


def start_task(config: Config) -> Process:
    """A task that runs until it is ended; the process that it is."""
    pipe = config.root / "pipe"
    os.mkfifo(pipe)
    script = f"echo $$ $(command -v python3) $NOMAD_ALLOC_ID > '{pipe}'; exec sleep 600"
    task = {
        "Name": "t",
        "Driver": "raw_exec",
        "Config": {"command": "/bin/sh", "args": ["-c", script]},
        "Resources": {"CPU": 100, "MemoryMB": 64},
    }
    job = {
        "ID": "hold",
        "Name": "hold",
        "Region": "us",
        "Namespace": "default",
        "Type": "batch",
        "Datacenters": ["dc1"],
        "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [task]}],
    }
    client = NomadRegion(config.regions["us"])
    try:
        client.register(job, enforce_index=0)
    finally:
        client.close()
    pid, python, _ = pipe.read_text().split()
    assert Path(python).parent == Path(sys.executable).parent, "python3 is the one that fedml runs in"
    process = Process.of(int(pid))
    assert process is not None
    return process


def test_regions_know_one_another_and_the_token(config: Config) -> None:
    for region in config.regions.values():
        client = NomadRegion(region)
        try:
            assert client.federation_regions() == ["eu", "us"]
            assert len(client.nodes()) == {"us": 2, "eu": 1}[region.name]
        finally:
            client.close()


def test_declared_volumes_and_devices_are_the_nodes(config: Config) -> None:
    client = NomadRegion(config.regions["eu"])
    try:
        (node,) = client.nodes()
        assert set(node.host_volumes) == {"data"}
        assert (config.root / "volumes").is_dir()
        task = {"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"}}
        asks = task | {"Resources": {"CPU": 20, "MemoryMB": 10, "Devices": [{"Name": "nvidia/gpu/A100", "Count": 1}]}}
        group = {"Name": "g", "Count": 3, "Tasks": [asks]}
        job = {"ID": "gpu", "Name": "gpu", "Type": "batch", "Datacenters": ["dc1"], "TaskGroups": [group]}
        job |= {"NodePool": "gpu"}
        assert client.plan_job(job).shortfalls["g"].coalesced == 0, "two of three found a device"
        asks["Resources"] = {"Cores": 1, "MemoryMB": 10}
        assert client.plan_job(job | {"TaskGroups": [group | {"Count": 4}]}).shortfalls["g"].coalesced == 0, "3 cores"
        group["Volumes"] = {"v": {"Name": "v", "Type": "host", "Source": "data"}}
        assert client.plan_job(job).shortfalls["g"].coalesced == 2, "it can only be read"
    finally:
        client.close()


def test_down_ends_the_tasks_of_a_living_and_of_a_killed_region(config: Config) -> None:
    task = start_task(config)
    kill_region(config, "us")
    assert task.is_running
    assert lifecycle.up(config, quiet, deadline_s=120).started == ("region:us",)
    assert task.is_running, "the region found it again"
    kill_region(config, "us")
    assert lifecycle.down(config.root, quiet) == ("region:eu",)
    assert not task.is_running
    assert marked_of(config) == []


def test_down_leaves_nothing(config: Config) -> None:
    task = start_task(config)
    before = marked_of(config)
    assert task in before
    lifecycle.down(config.root, quiet)
    assert not any(process.is_running for process in before)
    assert marked_of(config) == []
