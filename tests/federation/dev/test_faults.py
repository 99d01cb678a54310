"""Hurting a development federation on purpose: what `status` shows, what the region does, and that all is restored."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.cli import run
from federation.config.dev_state import Process, read_state
from federation.config.load import load
from federation.config.model import Config
from federation.dev import agents, faults, lifecycle, servers
from federation.dev.processes import marked
from federation.errors import DevError
from regions.nomad.client import NomadRegion

FILE = """
[federation]
home = "file://./stores/home"
[regions.us]
addresses = ["dev:us"]
store = "file://./stores/us"
datacenters.dc1 = {}
[regions.eu]
addresses = ["dev:eu"]
store = "file://./stores/eu"
datacenters.dc1 = {}
[dev.regions.us]
heartbeat_grace_s = 0.5
nodes = [{ cpu_mhz = 1000, memory_mb = 512, count = 2 }]
[dev.regions.eu]
nodes = [{ cpu_mhz = 1000, memory_mb = 512 }]
"""


def quiet(_: str) -> None:
    pass


@pytest.fixture(params=["embedded", "nomad"])
def engine(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    if chosen == "nomad" and agents.find_binary() is None:
        if "nomad" in os.environ.get("FEDML_REQUIRE", "").split(","):
            pytest.fail("FEDML_REQUIRE=nomad, but there is none in NOMAD_BIN or on PATH")
        pytest.skip("no Nomad binary: name one in NOMAD_BIN or put `nomad` on PATH")
    return chosen


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Callable[[], Config]]:
    (tmp_path / "fedml.toml").write_text(FILE)
    yield lambda: load(tmp_path)
    lifecycle.down(tmp_path, quiet, purge=True)


@pytest.fixture
def config(engine: str, project: Callable[[], Config]) -> Config:
    lifecycle.up(project(), quiet, engine=engine)
    return project()


def states(config: Config) -> dict[str, str]:
    return {f"{each.kind} {each.name}": each.state for each in lifecycle.status(config)}


def tasks(config: Config) -> list[Process]:
    """The shells of the job `hold`."""
    state = read_state(config.root)
    assert state is not None
    return [each.process for each in marked(state.id) if each.command[:2] == ("/bin/sleep", "612")]


def word(process: Process) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def until_true(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def wait(client: NomadRegion, holds: Callable[[list[Any]], bool]) -> list[Any]:
    """The allocations of `hold`, once that holds of them."""
    until = time.monotonic() + 60
    while not holds(found := client.allocations(job_id="hold")[0]):
        assert time.monotonic() < until, found
        time.sleep(0.1)
    return found


def running(found: list[Any]) -> bool:
    return [one.client_status for one in found].count("running") == 1


def replaced(found: list[Any]) -> bool:
    return sorted(one.client_status for one in found) == ["lost", "running"]


@pytest.fixture
def client(config: Config) -> Iterator[NomadRegion]:
    """Of region `us`, where a task of the job `hold` runs."""
    task = {
        "Name": "t",
        "Driver": "raw_exec",
        "Config": {"command": "/bin/sleep", "args": ["612"]},
        "Resources": {"CPU": 100, "MemoryMB": 64},
    }
    group = {"Name": "g", "Count": 1, "Tasks": [task]}
    job = {"ID": "hold", "Name": "hold", "Region": "us", "Type": "batch", "Datacenters": ["dc1"], "TaskGroups": [group]}
    made = NomadRegion(config.regions["us"])
    made.register(job, enforce_index=0)
    wait(made, running)
    yield made
    made.close()


def test_a_killed_node_is_down_and_its_allocation_replaced(config: Config, client: NomadRegion) -> None:
    (first,) = wait(client, running)
    (task,) = tasks(config)
    assert faults.node(config, first.node_name, "kill", quiet) == f"us/{first.node_name}"
    until_true(lambda: not task.is_running)
    assert states(config)[f"node us/{first.node_name}"] == "killed"
    wait(client, replaced)
    faults.node(config, first.node_name, "restore", quiet)
    assert [node.is_ready for node in client.nodes()] == [True, True]


def test_a_paused_node_stands_still(config: Config, client: NomadRegion) -> None:
    (first,) = wait(client, running)
    (task,) = tasks(config)
    faults.node(config, f"us/{first.node_name}", "pause", quiet)
    until_true(lambda: word(task) == "T")
    assert states(config)[f"node us/{first.node_name}"] == "paused"
    wait(client, replaced)
    assert lifecycle.up(config, quiet).started == ()
    until_true(lambda: not task.is_running)  # what was replaced is stopped
    assert "paused" not in states(config).values()


def test_a_drained_node_gives_its_work_away(config: Config, client: NomadRegion) -> None:
    (first,) = wait(client, running)
    faults.node(config, first.node_name, "drain", quiet)
    assert states(config)[f"node us/{first.node_name}"] == "drained"
    found = wait(client, lambda found: [one.client_status for one in found if one.id != first.id] == ["running"])
    assert [one.node_name for one in found if one.id != first.id] != [first.node_name]
    faults.node(config, first.node_name, "restore", quiet)
    assert [node.is_ready for node in client.nodes()] == [True, True]


def test_a_killed_region_comes_back_and_its_task_has_gone_on(config: Config, client: NomadRegion) -> None:
    (task,) = tasks(config)
    faults.region(config, "us", "kill", quiet)
    assert states(config)["region us"] == "killed"
    assert states(config)["region eu"] == "ready"
    assert task.is_running
    with pytest.raises(DevError, match="region us isn't running"):
        faults.region(config, "us", "pause", quiet)
    faults.region(config, "us", "restore", quiet)
    assert states(config)["region us"] == "ready"
    assert client.job("hold")["Stop"] is False
    assert task.is_running


def test_a_paused_region_is_silent_until_it_is_restored(config: Config) -> None:
    faults.region(config, "eu", "pause", quiet)
    state = read_state(config.root)
    assert state is not None
    assert states(config)["region eu"] == "paused"
    assert not servers.is_ready(state.servers["region:eu"], timeout_s=0.1)
    faults.region(config, "eu", "restore", quiet)
    assert states(config)["region eu"] == "ready"


def test_a_region_that_is_cut_off(config: Config, engine: str) -> None:
    if engine == "nomad":
        with pytest.raises(DevError, match="can't be cut off"):
            faults.region(config, "us", "cut", quiet)
        return
    faults.region(config, "us", "cut", quiet)
    state = read_state(config.root)
    assert state is not None
    assert states(config)["region us"] == "cut"
    assert not servers.is_ready(state.servers["region:us"], timeout_s=0.1)
    told: list[str] = []
    lifecycle.up(config, told.append)
    assert "region us was cut: restored" in told
    assert states(config)["region us"] == "ready"


@pytest.mark.parametrize("engine", ["embedded"])
def test_the_commands(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--config", str(config.root)]
    assert run(["dev", "node", "kill", "eu-1", *where]) == 0
    assert run(["dev", "region", "pause", "us", *where]) == 0
    assert capsys.readouterr().err == "node eu/eu-1: killed.\nregion us: paused.\n"
    assert run(["dev", "status", *where]) == 0
    shown = capsys.readouterr().out
    assert "eu/eu-1" in shown
    assert "killed" in shown
    assert "paused" in shown
    assert run(["dev", "node", "kill", "eu-7", *where]) == 1
    assert "one of: us/us-1, us/us-2, eu/eu-1" in capsys.readouterr().err
    assert run(["dev", "region", "kill", "mars", *where]) == 1
    assert "there are: us, eu" in capsys.readouterr().err


def test_nothing_can_be_hurt_that_is_not_up(project: Callable[[], Config]) -> None:
    with pytest.raises(DevError, match="isn't up"):
        faults.node(project(), "us-1", "kill", quiet)
