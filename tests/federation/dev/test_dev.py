from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from federation.cli import run
from federation.config.dev_state import Process, Server, new_state, read_state, state_folder, token_path, write_state
from federation.config.load import load
from federation.config.model import Config, DevStore
from federation.dev import lifecycle, servers
from federation.dev.lock import locked
from federation.dev.processes import MARKER, end, marked, spawn
from federation.errors import DevError, FormatTooNew
from federation.index.last_sync import last_sync, note_sync
from regions.storage import emulators

STAND_IN = Path(__file__).parent / "stand_in.py"

REGION = """
[regions.{name}]
addresses = ["dev:{name}"]
store = "file://./stores/{name}"
[regions.{name}.datacenters.dc1]
[dev.regions.{name}]
nodes = [{{ name = "{node}" }}]
"""


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "REGION", ("-P", str(STAND_IN), "region"))
    for name in ("FEDML_CONFIG", "FEDML_CACHE_DIR", MARKER):
        monkeypatch.delenv(name, raising=False)


Project = Callable[..., Config]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Makes (or changes) a project with regions and the names of their nodes; all that it started is ended."""
    roots: set[Path] = set()

    def make(folder: str = "p", /, extra: str = "", **regions: str) -> Config:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        roots.add(root)
        text = '[federation]\nhome = "file://./stores/home"\n'
        text += "".join(REGION.format(name=name, node=node) for name, node in regions.items())
        (root / "fedml.toml").write_text(text + extra)
        return load(root)

    yield make
    for root in roots:
        lifecycle.down(root, lambda _: None, purge=True, patience_s=0.2)


def quiet(_: str) -> None:
    pass


def states(config: Config) -> dict[str, str]:
    return {f"{each.kind}:{each.name}": each.state for each in lifecycle.status(config)}


def pids(config: Config) -> dict[str, int]:
    return {each.name: each.pid for each in lifecycle.status(config) if each.pid}


def starts(config: Config, name: str) -> int:
    return len((servers.region_folder(config.root, name) / "data" / "starts").read_text().split())


def process_of(pid: int) -> Process:
    process = Process.of(pid)
    assert process is not None
    return process


def kill(pid: int) -> None:
    """As `kill -9`, and gone when it returns."""
    process = process_of(pid)
    os.kill(pid, signal.SIGKILL)
    end([process])


def test_up_status_down(project: Project) -> None:
    config = project(us="n1", eu="n1")
    assert states(config) == {"region:us": "down", "region:eu": "down"}
    told: list[str] = []
    found = lifecycle.up(config, told.append)
    assert found.started == ("region:us", "region:eu")
    assert found.outdated == ()
    assert sorted(line.split(" at ")[0] for line in told) == ["region eu is ready", "region us is ready"]
    assert states(config) == {"region:us": "ready", "region:eu": "ready"}
    running = load(config.root)
    assert running.regions["us"].addresses == (found.servers[0].address,)
    assert running.regions["us"].token is not None
    assert len(running.regions["us"].token.read()) == 36
    assert token_path(config.root).stat().st_mode & 0o777 == 0o600
    mine = [process_of(pid) for pid in pids(config).values()]
    assert lifecycle.down(config.root, quiet) == ("region:us", "region:eu")
    assert not any(process.is_running for process in mine)
    assert states(config) == {"region:us": "down", "region:eu": "down"}
    assert load(config.root).regions["us"].addresses == ("dev:us",)
    assert lifecycle.down(config.root, quiet) == ()


def test_settings_name_peers_and_where_programs_are(project: Project) -> None:
    config = project(us="n1", eu="n2")
    found = lifecycle.up(config, quiet)
    addresses = {each.name: each.address for each in found.servers}
    settings = json.loads(servers.settings_path(config.root, "us").read_text())
    assert settings["region"] == "us"
    assert settings["address"] == addresses["us"].removeprefix("http://")
    assert settings["peers"] == {"eu": addresses["eu"]}
    assert settings["nodes"][0]["name"] == "n1"
    assert settings["nodes"][0]["datacenter"] == "dc1"
    assert settings["path_prepend"] == [str(Path(sys.executable).parent)]


def test_up_again_starts_nothing(project: Project) -> None:
    config = project(us="n1")
    lifecycle.up(config, quiet)
    before = pids(config)
    again = lifecycle.up(config, quiet)
    assert again.started == ()
    assert pids(config) == before
    assert starts(config, "us") == 1


def test_a_killed_region_comes_back_with_its_port_and_data_and_its_task_goes_on(project: Project) -> None:
    config = project(us="task", eu="n1")
    addresses = {each.name: each.address for each in lifecycle.up(config, quiet).servers}
    data = servers.region_folder(config.root, "us") / "data"
    task = process_of(int((data / "task").read_text()))
    kill(pids(config)["us"])
    assert states(config) == {"region:us": "down", "region:eu": "ready"}
    found = lifecycle.up(config, quiet)
    assert found.started == ("region:us",)
    assert {each.name: each.address for each in found.servers} == addresses
    assert starts(config, "us") == 2
    assert task.is_running


def test_down_ends_tasks_whose_region_was_killed(project: Project) -> None:
    config = project(us="task")
    lifecycle.up(config, quiet)
    task = process_of(int((servers.region_folder(config.root, "us") / "data" / "task").read_text()))
    kill(pids(config)["us"])
    assert task.is_running
    assert lifecycle.down(config.root, quiet) == ()
    assert not task.is_running


def test_what_ignores_sigterm_is_killed(project: Project) -> None:
    config = project(us="stubborn")
    lifecycle.up(config, quiet)
    process = process_of(pids(config)["us"])
    lifecycle.down(config.root, quiet, patience_s=0.1)
    assert not process.is_running


def test_a_stopped_process_is_ended_too(project: Project) -> None:
    config = project(us="n1")
    lifecycle.up(config, quiet)
    process = process_of(pids(config)["us"])
    os.kill(process.pid, signal.SIGSTOP)
    lifecycle.down(config.root, quiet, patience_s=0.1)
    assert not process.is_running


@pytest.mark.parametrize("change", [{"start_time": 1}, {"boot_id": "another boot"}])
def test_a_reused_pid_is_never_ended(project: Project, change: dict[str, object]) -> None:
    """After a reboot or a long time the recorded pid is somebody else's: here this test's own child."""
    config = project(us="n1")
    lifecycle.up(config, quiet)
    lifecycle.down(config.root, quiet)
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        recorded = replace(process_of(stranger.pid), **change)
        state = read_state(config.root)
        assert state is not None
        port = state.servers["region:us"].port
        write_state(config.root, state.with_server("region:us", Server("region", "us", port, recorded)))
        assert states(config) == {"region:us": "down"}
        assert lifecycle.down(config.root, quiet) == ()
        assert stranger.poll() is None
        write_state(config.root, state.with_server("region:us", Server("region", "us", port, recorded)))
        assert lifecycle.up(config, quiet).started == ("region:us",)
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")
    assert stranger.returncode == 0


def test_a_region_that_fails_shows_its_log_and_ends_what_was_started(project: Project) -> None:
    config = project(us="n1", eu="fail")
    with pytest.raises(DevError, match=r"region eu ended while it started; .*\n  the last words of a region"):
        lifecycle.up(config, quiet)
    assert states(config) == {"region:us": "down", "region:eu": "down"}
    state = read_state(config.root)
    assert state is not None
    assert marked(state.id) == []


def test_a_failing_up_leaves_alone_what_ran_before(project: Project) -> None:
    config = project(us="n1")
    lifecycle.up(config, quiet)
    before = pids(config)
    config = project(us="n1", eu="mute")
    with pytest.raises(DevError, match=r"region eu wasn't ready after 0\.3 seconds") as caught:
        lifecycle.up(config, quiet, deadline_s=0.3)
    assert "fedml dev down" in caught.value.hint
    assert states(config) == {"region:us": "ready", "region:eu": "down"}
    assert pids(config) == before


def test_interrupted_in_the_middle_everything_ends(project: Project) -> None:
    config = project(us="n1", eu="mute")

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lifecycle.up(config, interrupt)
    state = read_state(config.root)
    assert state is not None
    assert marked(state.id) == []


def test_a_server_that_a_crashed_up_could_not_record_is_found(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` was killed between starting a region and writing that down."""
    config = project(us="n1")
    state = new_state()
    state_folder(config.root).mkdir(parents=True)
    write_state(config.root, state)
    token_path(config.root).write_text("t")
    address = {"us": "http://127.0.0.1:1"}
    assert config.dev is not None
    settings = servers.settings_path(config.root, "us")
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(servers.region_settings(config, config.dev.regions["us"], address)))

    def orphan() -> Process:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return spawn(
                servers.region_command(settings, listener.fileno()),
                environment=servers.environment(state.id),
                folder=config.root,
                log=config.root / "log",
                keep_fds=[listener.fileno()],
            )

    first = orphan()
    found = lifecycle.up(config, quiet)
    assert not first.is_running
    assert found.started == ("region:us",)
    second = orphan()
    lifecycle.down(config.root, quiet)
    assert not second.is_running


LAUNCH = """
import sys
from pathlib import Path
from federation.config.load import load
from federation.dev import lifecycle, servers
servers.REGION = ("-P", sys.argv[2], "region")
lifecycle.up(load(Path(sys.argv[1])), lambda text: print(text, flush=True))
"""


def test_an_up_that_is_killed_in_the_middle_is_taken_up_or_ended(project: Project) -> None:
    """One region is ready, the other not yet, when the launcher dies."""
    config = project(us="n1", eu="mute")
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(config.root), str(STAND_IN)], stdout=subprocess.PIPE, text=True
    )
    with launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline().startswith("region us is ready")
        launcher.kill()
    assert states(config)["region:us"] == "ready"
    mute = process_of(pids(config)["eu"])
    with pytest.raises(DevError, match="region eu wasn't ready"):
        lifecycle.up(config, quiet, deadline_s=0.2)
    assert mute.is_running, "that call didn't start it"
    assert set(lifecycle.down(config.root, quiet)) == {"region:us", "region:eu"}
    assert not mute.is_running
    state = read_state(config.root)
    assert state is not None
    assert marked(state.id) == []


def test_a_state_that_can_not_be_written(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    config = project(us="n1")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/x/state.json")

    monkeypatch.setattr(lifecycle, "write_state", full)
    with pytest.raises(DevError, match=r"/x/state\.json: No space left on device"):
        lifecycle.up(config, quiet)
    monkeypatch.undo()


def test_two_projects_do_not_meet(project: Project) -> None:
    one, two = project("one", us="n1"), project("two", us="n1")
    found = [each.address for config in (one, two) for each in lifecycle.up(config, quiet).servers]
    assert len(set(found)) == 2
    lifecycle.down(one.root, quiet, purge=True)
    assert states(two) == {"region:us": "ready"}
    assert not state_folder(one.root).exists()


def test_a_home_that_is_purged_is_not_taken_for_a_lost_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its catalog isn't compared with the new home at the same address; that of a home elsewhere still is."""
    monkeypatch.delenv("FEDML_CACHE_DIR", raising=False)
    stores = '[dev.stores.s3]\nbuckets = ["fedml-us"]\n'
    for home in ('{ url = "s3://fedml-us/home", endpoint = "dev:s3" }', '"file://./stores/home"'):
        (tmp_path / "fedml.toml").write_text(
            f"[federation]\nhome = {home}\n{REGION.format(name='us', node='n1')}{stores}"
        )
        config = load(tmp_path / "fedml.toml")
        (config.cache_dir / "index").mkdir(parents=True, exist_ok=True)
        note_sync(config.cache_dir, config.home.url, "a" * 32)
        state_folder(tmp_path).mkdir(parents=True)

        lifecycle.down(tmp_path, quiet, purge=True)

        assert (last_sync(config.cache_dir, config.home.url) is None) == ("s3://" in home)


def test_a_second_up_waits_and_says_so(project: Project) -> None:
    config = project(us="n1")
    waiting = threading.Event()
    told: list[str] = []
    found: list[lifecycle.Up] = []

    def tell(text: str) -> None:
        told.append(text)
        waiting.set()

    second = threading.Thread(target=lambda: found.append(lifecycle.up(config, tell)))
    with locked(config.root, quiet):
        second.start()
        assert waiting.wait(30)
        assert states(config) == {"region:us": "down"}
    second.join(60)
    assert "waiting" in told[0]
    assert found[0].started == ("region:us",)


def test_of_many_ups_at_once_one_starts(project: Project) -> None:
    config = project(us="n1", eu="n1")
    found: list[lifecycle.Up] = []
    threads = [threading.Thread(target=lambda: found.append(lifecycle.up(config, quiet))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(len(each.started) for each in found) == [0, 0, 0, 2]
    assert starts(config, "us") == 1


def test_the_lock_gives_up_in_time(tmp_path: Path) -> None:
    with locked(tmp_path, quiet), pytest.raises(DevError, match="held the lock"), locked(tmp_path, quiet, patience_s=0):
        pass


def test_purge_under_a_waiting_lock_leaves_one_holder(tmp_path: Path) -> None:
    """The second's lock file was removed with the folder: it takes the new one's instead."""
    waiting, holding, release = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path, lambda _: waiting.set()):
            holding.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    with locked(tmp_path, quiet):
        thread.start()
        assert waiting.wait(30)
        lifecycle.shutil.rmtree(state_folder(tmp_path))
    assert holding.wait(30)
    try:
        with pytest.raises(DevError), locked(tmp_path, quiet, patience_s=0):
            pass
    finally:
        release.set()
        thread.join(30)


def test_settings_that_changed_while_it_runs_are_told(project: Project) -> None:
    config = project(us="n1")
    lifecycle.up(config, quiet)
    config = project(us="n1", eu="n1")
    found = lifecycle.up(config, quiet)
    assert found.started == ("region:eu",)
    assert found.outdated == ("us",)


def test_a_server_that_left_the_file_is_still_shown_and_ended(project: Project) -> None:
    config = project(us="n1", eu="n1")
    lifecycle.up(config, quiet)
    config = project(us="n1")
    assert states(config) == {"region:us": "ready", "region:eu": "ready"}
    assert set(lifecycle.down(config.root, quiet)) == {"region:us", "region:eu"}


def test_a_port_that_somebody_took_meanwhile_is_left_to_them(project: Project) -> None:
    config = project(us="n1")
    first = lifecycle.up(config, quiet).servers[0].address
    lifecycle.down(config.root, quiet)
    with socket.create_server(("127.0.0.1", int(first.rpartition(":")[2]))):
        second = lifecycle.up(config, quiet).servers[0].address
    assert second != first


def test_nothing_of_nomads_own_environment_reaches_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOMAD_TOKEN", "secret")
    environment = servers.environment("id")
    assert environment[MARKER] == "id"
    assert not [name for name in environment if name.startswith("NOMAD_")]
    assert "AZURE_STORAGE_KEY" not in environment
    azure = DevStore("local", "azure", ("box",))
    assert servers.environment("id", [azure])["AZURE_STORAGE_KEY"] == emulators.AZURITE_KEY


def test_no_development_federation_declared(project: Project) -> None:
    config = project(us="n1")
    (config.root / "fedml.toml").write_text(
        '[federation]\nhome = "file://./h"\n[regions.us]\naddresses = ["http://h:1"]\nstore = "file://./s"\n'
        "datacenters.dc1 = {}\n"
    )
    with pytest.raises(DevError, match="declares no development federation") as caught:
        lifecycle.up(load(config.root), quiet)
    assert "[dev.regions.us]" in caught.value.hint


def test_a_missing_extra_is_named_before_anything_starts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    config = project(us="n1", extra='[dev.stores.s3]\nbuckets = ["fedml-us"]\n')
    monkeypatch.setattr(servers, "find_spec", lambda _: None)
    with pytest.raises(DevError, match="s3 needs moto's server") as caught:
        lifecycle.up(config, quiet)
    assert "uv tool install '.[demo]'" in caught.value.hint
    config = project(us="n1", extra='[dev.stores.google]\nkind = "gcs"\nbuckets = ["fedml-eu"]\n')
    monkeypatch.setattr(emulators, "find_spec", lambda _: None)
    with pytest.raises(DevError, match="google needs fake-gcs-server"):
        lifecycle.up(config, quiet)
    config = project(us="n1", extra='[dev.stores.blobs]\nkind = "azure"\nbuckets = ["fedml-north"]\n')
    monkeypatch.setattr(emulators, "azure_command", lambda _: None)
    with pytest.raises(DevError, match="blobs needs Azurite") as caught:
        lifecycle.up(config, quiet)
    assert "tools/azurite.py" in caught.value.hint
    assert read_state(config.root) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_state_file_that_is_none(project: Project, text: str) -> None:
    config = project(us="n1")
    state_folder(config.root).mkdir(parents=True)
    (state_folder(config.root) / "state.json").write_text(text)
    with pytest.raises(DevError, match="can't be read") as caught:
        lifecycle.up(config, quiet)
    assert "--purge" in caught.value.hint
    with pytest.raises(DevError):
        lifecycle.down(config.root, quiet)
    assert lifecycle.down(config.root, quiet, purge=True) == ()
    assert not state_folder(config.root).exists()


def test_a_state_of_a_newer_program(tmp_path: Path) -> None:
    state_folder(tmp_path).mkdir(parents=True)
    (state_folder(tmp_path) / "state.json").write_text('{"format": 2}')
    with pytest.raises(FormatTooNew, match="upgrade fedml"):
        read_state(tmp_path)


def test_a_purge_says_what_it_removes_and_wants_to_be_agreed_to(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    config = project(us="n1")
    where = ["--config", str(config.root)]
    lifecycle.up(config, quiet)
    lost = state_folder(config.root) / "lost.bin"
    lost.write_bytes(b"x" * 5_000_000)
    assert run(["dev", "down", "--purge", *where]) == 1
    err = capsys.readouterr().err
    assert f"--purge removes {state_folder(config.root)} (" in err
    assert " files, 5." in err
    assert " MB), the data of region us; nothing was stopped or removed" in err
    assert "fedml dev down --purge --yes" in err
    assert [server.state for server in lifecycle.status(config)] == ["ready"]
    assert run(["dev", "down", "--purge", "--yes", *where]) == 0
    assert not state_folder(config.root).exists()
    assert run(["dev", "down", "--purge", *where]) == 0, "there is nothing to remove"


# ── the command line ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_commands(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    config = project(us="n1")
    where = ["--config", str(config.root)]
    assert run(["dev", "status", *where]) == 0
    shown = capsys.readouterr()
    assert "down" in shown.out
    assert "fedml dev up" in shown.err
    assert run(["dev", "up", "--json", *where]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["started"] == ["region:us"]
    assert document["servers"][0]["state"] == "ready"
    assert Path(document["token_file"]).exists()
    assert run(["dev", "up", *where]) == 0
    shown = capsys.readouterr()
    assert document["servers"][0]["address"] in shown.out
    assert "Already up" in shown.err
    assert "fedml run" in shown.err
    assert run(["dev", "status", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["servers"] == document["servers"]
    (config.root / "fedml.toml").write_text("no [toml")
    assert run(["dev", "down", *where]) == 0, "whatever the file says"
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "Ended: region us.\n")
    assert run(["dev", "down", *where]) == 0
    assert capsys.readouterr().err == "Nothing was running.\n"


def test_a_failure_is_one_error(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    config = project(us="fail")
    assert run(["dev", "up", "--config", str(config.root)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Error: region us ended while it started")
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("node", "region", "note"),
    [
        ("", "", "No task is ended for using more memory than it asks for, as by Nomad before 1.7."),
        ("", 'version = "1.8.0"', "Tasks are ended when they use more memory than they ask for, in us."),
        (', drivers = ["exec"]', "", "Tasks of the driver exec are ended when"),
    ],
)
def test_what_is_said_of_memory_names_drivers_only_where_nodes_have_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str, region: str, note: str
) -> None:
    monkeypatch.setattr(lifecycle.memory_cgroups, "why_not", lambda: "")
    (tmp_path / "fedml.toml").write_text(
        '[federation]\nhome = "file://./home"\n[regions.us]\naddresses = ["dev:us"]\n'
        '[regions.us.datacenters.dc1]\nstore = "file://./us"\n'
        f"[dev.regions.us]\n{region}\nnodes = [{{ cpu_mhz = 1000, memory_mb = 1000{node} }}]\n"
    )
    assert lifecycle.memory_note(load(tmp_path)).startswith(note)
