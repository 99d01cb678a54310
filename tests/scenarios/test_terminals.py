"""A coordinator whose terminal or reader goes away in the middle of its run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from itertools import islice
from pathlib import Path

import pytest

from tests.scenarios.project import FEDML, Project, gate, told


def state_of(project: Project, job: str) -> str:
    (row,) = project.ran("runs", "list", "--job", job, "--json").json["runs"]
    state: str = row["state"]
    return state


@pytest.mark.parametrize("way", ["lines", "json"])
def test_a_run_goes_on_when_its_terminal_is_gone(project: Project, way: str) -> None:
    name = f"hangup-{way}"
    with gate(project.root / f"gate-{name}") as waiting:
        job = project.job(name, f"cat {waiting} && mkdir out && echo x > out/model && exec fedml publish out")
        arguments = ["dispatch", "--job", job, "-n", "2", *(["--json"] if way == "json" else [])]
        process = project.started(*arguments)
        assert process.stdout is not None
        assert process.stderr is not None
        if way == "json":
            events = (json.loads(line)["event"] for line in process.stdout)
            assert list(islice(filter("running".__eq__, events), 2)) == ["running", "running"]
        else:
            told(process, " running ", 2)
        process.stdout.close()
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
    assert process.wait(150) == 0
    assert state_of(project, name) == "done"


def test_a_run_with_nowhere_to_write(project: Project) -> None:
    job = project.job("nowhere")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [FEDML, "dispatch", "--job", job, "--json"],
            cwd=project.root,
            env=project.environment(),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=full,
            timeout=150,
            check=False,
        )
    assert (done.returncode, state_of(project, "nowhere")) == (0, "done")


def test_a_run_without_streams(project: Project) -> None:
    job = project.job("closed-streams")
    command = 'exec "$@" <&- >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", command, "sh", FEDML, "dispatch", "--job", job],
        cwd=project.root,
        env=project.environment(),
        timeout=150,
        check=False,
    )
    assert (done.returncode, state_of(project, "closed-streams")) == (0, "done")


def test_a_run_whose_working_folder_is_deleted(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    job = project.root / project.job("deleted-folder")
    command = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", command, "sh", folder, FEDML, "dispatch", "--config", project.root, "--job", job],
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not os.path.lexists(folder)
    assert state_of(project, "deleted-folder") == "done"


def test_a_log_file_on_a_full_disk_is_one_warning(project: Project) -> None:
    done = project.ran("dispatch", "--job", project.job("full-log"), "--log-file", "/dev/full")
    assert done.err.count("Warning: --log-file /dev/full: can't be written: No space left on device") == 1
    assert state_of(project, "full-log") == "done"
