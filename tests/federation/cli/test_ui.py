"""`fedml ui` as a new user meets it: its link, its end, and its refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from federation.cli import INTERRUPTED, run
from federation.web.serve import Address, listening

FEDML = Path(sys.executable).with_name("fedml")
TOML = """
[federation]
home = "file://./home"
[regions.us]
addresses = ["http://127.0.0.1:9"]
store = "file://./us"
datacenters.dc1 = {}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "fedml.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_link_is_printed_even_if_quiet_and_ctrl_c_ends_it_without_a_word(project: Path) -> None:
    command = [str(FEDML), "ui", "--port", "0", "-q"]
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "/sign-in?token=" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == INTERRUPTED


def test_outside_of_a_project_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["ui", "--no-open"]) == 1
    assert "no fedml.toml" in (said := capsys.readouterr().err)
    assert "fedml init" in said


@pytest.mark.usefixtures("project")
def test_a_port_that_is_taken_or_none_is_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    with listening(Address()) as taken:
        for port, reason in ((str(taken.getsockname()[1]), "--port 0 takes a free port"), ("70000", "'--port'")):
            assert run(["ui", "--no-open", "--port", port]) == 1
            said = capsys.readouterr().err
            assert reason in said
            assert said.count("Error:") == 1
