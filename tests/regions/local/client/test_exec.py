"""Tasks in a sandbox: what they see of the machine, their volumes, their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from regions.local.drivers import sandbox
from tests.emulators.requirements import missing
from tests.regions.local.client.test_restore import crashed_region, restore, runs
from tests.regions.local.state.builders import config, store_with


@pytest.fixture(autouse=True)
def _bubblewrap() -> None:
    if not sandbox.works():
        missing("bubblewrap", "bubblewrap isn't installed, or may not make namespaces here")


def _exec(script: str, **fields: Any) -> dict[str, Any]:
    return {"Driver": "exec", "Config": {"command": "/bin/sh", "args": ["-c", script]}} | fields


def _run(bench: Any, script: str, **fields: Any) -> tuple[dict[str, Any], str]:
    task = bench.shell("a", "") | _exec(script, **fields)
    update = bench.run(bench.job(task))
    return update, bench.log(update["ID"], "a.stdout.0")


def test_it_sees_its_own_folders_by_nomads_names(bench: Any) -> None:
    script = (
        "pwd; echo $NOMAD_TASK_DIR $NOMAD_ALLOC_DIR $NOMAD_SECRETS_DIR; echo x > $NOMAD_ALLOC_DIR/data/shared; echo $$"
    )
    update, log = _run(bench, script)
    assert update["ClientStatus"] == "complete", bench.words(update, "a")
    assert log.splitlines()[:2] == ["/", "/local /alloc /secrets"]
    assert int(log.splitlines()[2]) < 10
    assert (bench.client.alloc_dir(update["ID"]) / "alloc/data/shared").read_text() == "x\n"


def test_the_rest_of_the_machine_is_not_there(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    _, log = _run(
        bench,
        f"test -e {tmp_path}/secret || echo hidden; touch /usr/x 2>/dev/null || echo kept; test -x /bin/sh && echo sh",
    )
    assert log.splitlines() == ["hidden", "kept", "sh"]


def test_templates_and_commands_are_in_its_folder(bench: Any) -> None:
    template = {"EmbeddedTmpl": "#!/bin/sh\necho from $0\n", "DestPath": "${NOMAD_TASK_DIR}/go.sh", "Perms": "0755"}
    task = bench.shell("a", "") | {"Driver": "exec", "Templates": [template], "Config": {"command": "go.sh"}}
    update = bench.run(bench.job(task))
    assert bench.log(update["ID"], "a.stdout.0") == "from /local/go.sh\n"


def test_host_volumes_read_only_or_not(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/in").write_text("given")
    bench.node = bench.node | {
        "HostVolumes": {"data": {"Name": "data", "Path": str(tmp_path / "data"), "ReadOnly": False}}
    }
    volumes = {"v": {"Type": "host", "Source": "data", "ReadOnly": False}}
    mounts = [
        {"Volume": "v", "Destination": "/data", "ReadOnly": False},
        {"Volume": "v", "Destination": "/fixed", "ReadOnly": True},
    ]
    script = "cat /data/in; touch /fixed/no 2>/dev/null || echo ' fixed'; echo out > /data/out"
    task = bench.shell("a", "") | _exec(script, VolumeMounts=mounts)
    job = bench.job(task, group={"Volumes": volumes})
    alloc = bench.alloc(job)
    bench.client.start(alloc, job, bench.node)
    bench.ended(alloc["ID"])
    assert bench.log(alloc["ID"], "a.stdout.0") == "given fixed\n"
    assert (tmp_path / "data/out").read_text() == "out\n"


def test_what_is_not_there_is_said_in_nomads_words(bench: Any) -> None:
    task = bench.shell("a", "") | {"Driver": "exec", "Config": {"command": "/opt/nothing"}}
    update = bench.run(bench.job(task))
    [said] = [text for text in bench.words(update, "a") if "launch" in text]
    folder = bench.client.alloc_dir(update["ID"]) / "a"
    assert said.endswith(f"rpc error: code = Unknown desc = file /opt/nothing not found under path {folder}")


def test_the_kill_signal_reaches_the_task_itself(bench: Any) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    task = bench.shell("a", "") | _exec(script, KillSignal="SIGTERM")
    alloc = bench.start(bench.job(task))
    log = bench.client.alloc_dir(alloc["ID"]) / "alloc/logs/a.stdout.0"
    bench.until(alloc["ID"], lambda one: one["ClientStatus"] == "running")
    while not (log.exists() and "up" in log.read_text()):
        bench.client.stats(alloc["ID"])
    bench.client.stop(alloc["ID"])
    update = bench.ended(alloc["ID"])
    assert log.read_text() == "up\nbye\n"
    assert "Exit Code: 3" in bench.words(update, "a")


def test_a_node_has_the_driver_only_where_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"name": "a", "drivers": ["raw_exec", "exec"], "host_volumes": {"d": {"path": "/d", "read_only": True}}}
    [found] = store_with(tmp_path / "with", node).snapshot.nodes.values()
    assert set(found["Drivers"]) == {"raw_exec", "exec"}
    assert found["HostVolumes"] == {"d": {"Name": "d", "Path": "/d", "ReadOnly": True}}
    monkeypatch.setattr(sandbox, "works", lambda: False)
    [found] = store_with(tmp_path / "without", node).snapshot.nodes.values()
    assert set(found["Drivers"]) == {"raw_exec"}
    assert "driver.exec" not in found["Attributes"]


def test_pools_are_those_of_the_nodes(tmp_path: Path) -> None:
    assert config(tmp_path, {"name": "a", "node_pool": "gpu"}, {"name": "b"}).pools == ["all", "default", "gpu"]


def test_it_is_found_again_after_its_region_was_killed(bench: Any) -> None:
    script = "until [ -e $NOMAD_ALLOC_DIR/data/go ]; do sleep 0.01; done; echo on; exit 4"
    job = bench.job(bench.shell("a", "") | _exec(script))
    known = crashed_region(bench, job, runs)
    restore(bench, job, known)
    bench.until(known["ID"], runs)
    assert bench.client.stats(known["ID"])["Tasks"]["a"]["Pids"]
    (bench.client.alloc_dir(known["ID"]) / "alloc/data/go").touch()
    update = bench.ended(known["ID"])
    assert update["TaskStates"]["a"]["StartedAt"] == known["TaskStates"]["a"]["StartedAt"]
    assert "Exit Code: 4" in bench.words(update, "a")
