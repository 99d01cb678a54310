"""Commands whose output can't be written, whose streams are closed, and whose locale lacks characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FEDML = Path(sys.executable).with_name("fedml")
CONFIG = """
[federation]
home = "file://./home"
[regions.us]
addresses = ["http://127.0.0.1:9"]
store = "file://./us"
[regions.us.datacenters.dc1]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "fedml.toml").write_text(CONFIG)
    return root


def shell(folder: Path, line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The shell's line, in which `$F` is the command."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("FEDML_", "LC_", "PYTHON"))
    }
    environment |= {"F": str(FEDML), "LANG": "C.UTF-8", **variables}
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("command", ["--version", "--help", "doctor --json", "index list --json"])
def test_a_full_disk_is_one_error(folder: Path, command: str) -> None:
    done = shell(folder, f"$F {command} >/dev/full")
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (
        1,
        ["Error: can't write to standard output: No space left on device"],
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_errors_that_nobody_can_read_change_nothing(folder: Path) -> None:
    assert shell(folder, "$F index list 2>/dev/full").returncode == 0
    assert shell(folder, "$F nosuch 2>/dev/full").returncode == 1


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_error(folder: Path, streams: str) -> None:
    done = shell(folder, f"$F index list {streams}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_closed_stream_s_number_is_given_to_no_file(folder: Path) -> None:
    done = shell(folder, "$F index list --json >&-; find . -type f -exec grep -l results {} + | grep -v fedml.toml")
    assert "catalog" not in done.stdout


def test_a_reader_that_stops_ends_the_command_quietly(folder: Path) -> None:
    done = shell(folder, "$F --help | true; exit ${PIPESTATUS[0]}")
    assert done.returncode in (0, 1)  # as fast as the reader went away
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_without_some_characters(folder: Path, encoding: str) -> None:
    done = shell(folder, "$F index show nösuch; $F doctor", PYTHONIOENCODING=encoding)
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr


def test_json_is_json_in_every_encoding(folder: Path) -> None:
    text = (folder / "fedml.toml").read_text()
    (folder / "fedml.toml").write_text(text.replace("./home", "./høme\U0001f600"), encoding="utf-8")
    plain, ascii_only = (shell(folder, "$F doctor --json", PYTHONIOENCODING=name) for name in ("utf-8", "ascii"))
    subjects = [[check["subject"] for check in json.loads(done.stdout)["checks"]] for done in (plain, ascii_only)]
    assert subjects[0] == subjects[1]
    assert ascii_only.stdout.isascii()


def test_a_locale_without_names_for_files_is_one_error(folder: Path) -> None:
    text = (folder / "fedml.toml").read_text()
    (folder / "fedml.toml").write_text(text.replace("./us", "./ús").replace("./home", "./høme"), encoding="utf-8")
    done = shell(folder, "$F index list", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 1
    assert "export LC_ALL=C.UTF-8" in done.stderr
    assert "bug in fedml" not in done.stderr


@pytest.mark.parametrize("command", ["index list", "init", "init x", "dev up", "plan --job x.hcl", "regions list"])
def test_a_working_folder_that_was_deleted_is_one_error(folder: Path, tmp_path: Path, command: str) -> None:
    done = shell(folder, f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && $F {command}")
    assert done.returncode in (1, 255)
    assert done.stderr.splitlines() == [
        "Error: the working folder does not exist any more",
        "  → cd to a folder that exists, and run the command again",
    ]


def test_a_project_elsewhere_can_be_used_from_a_deleted_folder(folder: Path, tmp_path: Path) -> None:
    gone = f"mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone"
    done = shell(folder, f"{gone} && $F index list --config {folder}")
    assert (done.returncode, done.stderr.count("Error")) == (0, 0)
