"""What `-q` leaves out on standard error and what `-v` adds to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.cli import run
from federation.output.streams import Verbosity, set_verbosity
from federation.run.brain.commands import Tell
from federation.ui.run_progress import progress_display
from regions.storage.errors import Unavailable
from regions.storage.retry import Patience, Retries
from tests.federation.run.brain.world import MANIFEST

CONFIG = """\
[federation]
home = "file://{folder}/home"
[regions.us]
addresses = ["http://127.0.0.1:1"]
[regions.us.datacenters.dc1]
store = "file://{folder}/us"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "fedml.toml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return str(path)


@pytest.mark.parametrize("arguments", [("-q", "runs", "list"), ("runs", "list", "-q"), ("runs", "list", "--quiet")])
def test_quiet_says_no_notes(arguments: tuple[str, ...], config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--config", config]) == 0
    assert capsys.readouterr() == ("", "")
    assert run(["runs", "list", "--config", config]) == 0
    assert "No runs yet" in capsys.readouterr().err  # the next command of the process says it again


def test_quiet_says_errors(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "show", "0193", "-q", "--config", config]) == 1
    assert capsys.readouterr().err.startswith("Error: ")


def test_quiet_shows_no_progress_and_json_is_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    set_verbosity(Verbosity.QUIET)
    try:
        for as_json in (False, True):
            with progress_display(MANIFEST, as_json=as_json) as observe:
                observe(Tell("bound", "us", count=2))
    finally:
        set_verbosity(Verbosity.NORMAL)
    told = capsys.readouterr()
    assert told.err == ""
    assert '"bound"' in told.out


@pytest.mark.parametrize("arguments", [("-v", "doctor"), ("doctor", "-v"), ("doctor", "--verbose")])
def test_verbose_says_each_request_and_each_retry(
    arguments: tuple[str, ...], config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*arguments, "--config", config])
    told = capsys.readouterr().err
    assert "us: GET " in told
    assert "at http://127.0.0.1:1: no answer in " in told
    run(["doctor", "--config", config])
    assert "GET" not in capsys.readouterr().err


def test_verbose_says_retries_of_a_store(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(["runs", "list", "-v", "--config", config])
    set_verbosity(Verbosity.VERBOSE)
    try:
        Retries(Patience(first_wait_s=0)).wait(Unavailable("get of k failed: busy", store="s3://b"))
    finally:
        set_verbosity(Verbosity.NORMAL)
    assert "store s3://b: get of k failed: busy: asked again in 0.0 s" in capsys.readouterr().err


def test_both_are_an_error(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "list", "-q", "-v", "--config", config]) == 1
    assert "-v and -q exclude each other" in capsys.readouterr().err
