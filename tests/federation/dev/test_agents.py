"""`fedml dev` with real Nomad agents: the same life cycle, and nothing left of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from federation.cli import run
from federation.config.dev_state import Process, Server, new_state, read_state, state_folder, token_path
from federation.config.load import load
from federation.config.model import Config
from federation.dev import agents, lifecycle, servers
from federation.dev.launch import Launch
from federation.dev.mounts import mounted_under
from federation.dev.processes import marked
from federation.errors import DevError
from regions.nomad.client import NomadRegion

FILE = """
[federation]
home = "file://./stores/home"
[regions.us]
addresses = ["dev:us"]
store = "file://./stores/us"
datacenters = { dc1 = {}, dc2 = {} }
[regions.eu]
addresses = ["dev:us", "dev:eu"]
store = "file://./stores/eu"
datacenters.dc1 = {}
[dev.regions.us]
nodes = [
    { cpu_mhz = 1000, memory_mb = 512, node_class = "small", host_volumes = { data = "volumes/us-1" } },
    { datacenter = "dc2" },
]
[dev.regions.eu]
nodes = [{ cpu_mhz = 1000, memory_mb = 512 }]
"""


def quiet(_: str) -> None:
    pass


@pytest.fixture
def binary() -> str:
    found = agents.find_binary()
    if found is None:
        if "nomad" in os.environ.get("FEDML_REQUIRE", "").split(","):
            pytest.fail("FEDML_REQUIRE=nomad, but there is none in NOMAD_BIN or on PATH")
        pytest.skip("no Nomad binary: name one in NOMAD_BIN or put `nomad` on PATH")
    return found


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Callable[[], Config]]:
    (tmp_path / "fedml.toml").write_text(FILE)
    yield lambda: load(tmp_path)
    lifecycle.down(tmp_path, quiet, purge=True)


@pytest.mark.parametrize("has_acls", [False, True])
def test_nodes_start_when_their_servers_have_keys(
    project: Callable[[], Config], monkeypatch: pytest.MonkeyPatch, has_acls: bool
) -> None:
    config, steps, answers = project(), list[str](), iter([False, True, True])
    assert config.dev is not None

    def has_keyring(server: Server) -> bool:
        steps.append(f"keys of {server.name}?")
        return next(answers)

    monkeypatch.setattr(agents, "require_binary", lambda: "nomad")
    monkeypatch.setattr(servers, "has_keyring", has_keyring)
    launch = Launch(config, config.dev, replace(new_state(), engine="nomad", has_acls=has_acls), quiet, 60)
    monkeypatch.setattr(launch, "_start", steps.append)
    for name in ("_wait", "_set_up_acls", "_wait_until_joined"):
        monkeypatch.setattr(launch, name, lambda *_, **__: None)
    launch.start(launch.wanted(), set())
    asked = ["keys of us?", "keys of us?", "keys of eu?"]
    assert steps == ["region:us", "region:eu", *asked, "node:us/us-1", "node:us/us-2", "node:eu/eu-1"]


@pytest.mark.parametrize(
    ("answer", "has_keyring"),
    [
        ((404, b""), True),  # before 1.7
        ((200, b'{"keys":[{"kid":"1128bc3d","use":"sig"}]}'), True),
        ((200, b'{"keys":[]}'), False),
        ((200, b'{"keys":null}'), False),
        ((500, b"No cluster leader"), False),
        (ConnectionRefusedError(), False),
    ],
)
def test_whether_a_server_has_keys(
    monkeypatch: pytest.MonkeyPatch, answer: tuple[int, bytes] | OSError, has_keyring: bool
) -> None:
    def request(port: int, path: str, timeout_s: float, **_: object) -> tuple[int, bytes]:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(servers, "_request", request)
    assert servers.has_keyring(Server("region", "us", 1)) is has_keyring


def start_task(config: Config) -> Process:
    """A task in `us` that runs until it is ended."""
    pipe = config.root / "pipe"
    os.mkfifo(pipe)
    script = f"echo $$ $(command -v fedml) > '{pipe}'; exec sleep 600"
    task = {
        "Name": "t",
        "Driver": "raw_exec",
        "Config": {"command": "/bin/sh", "args": ["-c", script]},
        "Resources": {"CPU": 100, "MemoryMB": 64},
    }
    group = {"Name": "g", "Count": 1, "Tasks": [task]}
    job = {"ID": "hold", "Name": "hold", "Region": "us", "Type": "batch", "Datacenters": ["dc1"], "TaskGroups": [group]}
    client = NomadRegion(config.regions["us"])
    try:
        client.register(job, enforce_index=0)
    finally:
        client.close()
    pid, program = pipe.read_text().split()
    assert Path(program).name == "fedml"
    pipe.unlink()
    process = Process.of(int(pid))
    assert process is not None
    return process


def left_of(config: Config) -> tuple[list[Process], list[Path]]:
    state = read_state(config.root)
    assert state is not None
    return [each.process for each in marked(state.id)], mounted_under(state_folder(config.root))


def test_nodes_and_regions_are_as_declared(binary: str, project: Callable[[], Config]) -> None:
    found = lifecycle.up(project(), quiet, engine="nomad")
    assert found.engine == "nomad"
    assert [f"{each.kind} {each.name} {each.state}" for each in found.servers] == [
        "region us ready",
        "region eu ready",
        "node us/us-1 ready",
        "node us/us-2 ready",
        "node eu/eu-1 ready",
    ]
    config = project()
    client = NomadRegion(config.regions["us"])
    try:
        assert client.federation_regions() == ["eu", "us"]
        assert client.version() == agents.version(binary)
        nodes = {node.name: node for node in client.nodes()}
        assert {name: (node.datacenter, node.cpu_mhz, node.memory_mb) for name, node in nodes.items()} == {
            "us-1": ("dc1", 1000, 512),
            "us-2": ("dc2", 4000, 4096),
        }
        assert all(node.drivers == {"raw_exec"} for node in nodes.values())
        assert {name: set(node.host_volumes) for name, node in nodes.items()} == {"us-1": {"data"}, "us-2": set()}
        assert (config.root / "volumes" / "us-1").is_dir()
    finally:
        client.close()
    assert lifecycle.up(config, quiet).started == (), "`auto` is what it was started with"
    with pytest.raises(DevError, match="runs with the engine nomad"):
        lifecycle.up(config, quiet, engine="embedded")
    with pytest.raises(DevError, match="runs with no ACLs"):
        lifecycle.up(config, quiet, engine="nomad", has_acls=True)


def test_down_leaves_nothing_and_up_brings_jobs_and_tasks_back(binary: str, project: Callable[[], Config]) -> None:
    lifecycle.up(project(), quiet, engine="nomad")
    task = start_task(project())
    client = NomadRegion(project().regions["us"])
    try:
        allocation = client.allocations(job_id="hold")[0][0]
        until = time.monotonic() + 60
        while not client.usage(allocation.id):
            assert time.monotonic() < until, "the client measures nothing"
            time.sleep(0.2)
    finally:
        client.close()
    processes, _ = left_of(project())
    assert task in processes
    assert len(lifecycle.down(project().root, quiet)) == 5
    assert not any(process.is_running for process in processes)
    assert left_of(project()) == ([], [])

    pipe = project().root / "pipe"
    os.mkfifo(pipe)
    lifecycle.up(project(), quiet)
    assert pipe.read_text().split()[1].endswith("fedml"), "the task runs again"
    client = NomadRegion(project().regions["us"])
    try:
        assert client.job("hold")["Stop"] is False
    finally:
        client.close()
    pipe.unlink()
    lifecycle.down(project().root, quiet, purge=True)
    assert not state_folder(project().root).exists()
    assert not mounted_under(project().root)


def test_acls_and_their_token_in_all_regions(binary: str, project: Callable[[], Config]) -> None:
    lifecycle.up(project(), quiet, engine="nomad", has_acls=True)
    token = token_path(project().root).read_text()
    assert token_path(project().root).stat().st_mode & 0o777 == 0o600
    for region in project().regions.values():
        client = NomadRegion(region)
        try:
            record = client.acl_self()
            assert record is not None
            assert record["Type"] == "management"
        finally:
            client.close()
    lifecycle.down(project().root, quiet)
    lifecycle.up(project(), quiet)
    assert token_path(project().root).read_text() == token


def test_without_a_binary(project: Callable[[], Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOMAD_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DevError, match="no `nomad` program was found") as caught:
        lifecycle.up(project(), quiet, engine="nomad")
    assert "--engine embedded" in caught.value.hint
    assert read_state(tmp_path) is None
    other = tmp_path / "nomad"
    other.write_text("#!/bin/sh\necho Nomad the wanderer\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(DevError, match="is not Nomad: its"):
        lifecycle.up(project(), quiet, engine="nomad")


def test_acls_of_the_embedded_region_need_no_option(
    project: Callable[[], Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["dev", "up", "--acl", "--config", str(project().root)]) == 1
    assert "--acl is only for real Nomad" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root mounts")
def test_what_is_mounted_in_a_folder_is_found_and_unmounted(tmp_path: Path) -> None:
    from federation.dev.mounts import unmount_under

    inner = tmp_path / "a folder" / "in\\ner"
    inner.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", inner], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"can't mount here: {mounted.stderr!r}")
    assert mounted_under(tmp_path) == [inner]
    unmount_under(tmp_path)
    assert mounted_under(tmp_path) == []
