"""Environments by uv: from each kind of declaration, shared by equal ones, and one clear line where that fails."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from federation.task.command_line import Command, UvDownload
from tests.federation.task.helpers import Task, errors
from tests.federation.task.package_index import asked_for, served, uv

PROGRAM = "import os, sys, tiny, deep; open(os.environ['FEDML_OUTPUT'] + '/prefix', 'w').write(sys.prefix)\n"
BLOCK = '# /// script\n# requires-python = ">=3.9"\n# dependencies = ["tiny"]\n# ///\n'
PROJECT = '[project]\nname = "trainer"\nversion = "0"\nrequires-python = ">=3.9"\ndependencies = ["tiny"]\n'


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    uv()
    with served(tmp_path_factory.mktemp("index"), {"tiny": "deep", "deep": "", "lone": ""}) as url:
        yield url


def settings(tmp_path: Path, index: str, **more: str) -> dict[str, str]:
    path = f"{Path(uv()).parent}{os.pathsep}{os.environ['PATH']}"
    cache = str(tmp_path / "uv-cache")
    return {"PATH": path, "UV_DEFAULT_INDEX": index, "UV_CACHE_DIR": cache, "UV_PYTHON_DOWNLOADS": "never", **more}


def prefix(task: Task) -> str:
    return (task.output / "prefix").read_text()


def source(tmp_path: Path, files: Mapping[str, str]) -> Path:
    folder = tmp_path / "written"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_a_scripts_block_with_and_without_a_lock(tmp_path: Path, index: str) -> None:
    """Equal blocks share one environment, whatever else the script says."""
    folder = source(tmp_path, {"train.py": BLOCK + PROGRAM})
    asked_for("lock", "--script", "train.py", cwd=folder, index=index)
    lock = (folder / "train.py.lock").read_text()
    command = Command(("python", "train.py"), "script", "train.py")
    plain = Task(tmp_path / "a", {"train.py": BLOCK + PROGRAM}, command, more=settings(tmp_path, index))
    changed = Task(tmp_path / "b", {"train.py": BLOCK + PROGRAM + "print(1)"}, command, more=settings(tmp_path, index))
    locked = Task(
        tmp_path / "c", {"train.py": BLOCK + PROGRAM, "train.py.lock": lock}, command, more=settings(tmp_path, index)
    )
    for task in (plain, changed, locked):
        done = task.run()
        assert done.returncode == 0, done.stderr
    assert prefix(plain) == prefix(changed)
    assert prefix(plain).startswith(str(tmp_path / "uv-cache/fedml/"))
    assert prefix(locked) != prefix(plain)
    environment = locked.record().environment
    assert environment["environment"] == "script"
    assert environment["lock_sha256"] == hashlib.sha256(lock.encode()).hexdigest()
    assert "lock_sha256" not in plain.record().environment
    assert environment["uv"].endswith(f"(from PATH; cache {tmp_path / 'uv-cache'})")


def test_requirements_that_name_only_the_direct_dependencies(tmp_path: Path, index: str) -> None:
    command = Command(("python", "train.py"), "requirements", "requirements.txt")
    files = {"train.py": PROGRAM, "requirements.txt": "tiny\n"}
    task = Task(tmp_path, files, command, more=settings(tmp_path, index))
    done = task.run()
    assert done.returncode == 0, done.stderr
    assert task.record().environment["environment"] == "requirements"
    again = Task(tmp_path / "again", files, command, more=settings(tmp_path, index, UV_OFFLINE="1"))
    offline = again.run()
    assert offline.returncode == 0, offline.stderr


def test_a_project_with_its_lock(tmp_path: Path, index: str) -> None:
    folder = source(tmp_path, {"pyproject.toml": PROJECT})
    asked_for("lock", cwd=folder, index=index)
    files = {"train.py": PROGRAM, "pyproject.toml": PROJECT, "uv.lock": (folder / "uv.lock").read_text()}
    command = Command(("python", "train.py"), "project", "uv.lock")
    task = Task(tmp_path / "a", files, command, more=settings(tmp_path, index))
    done = task.run()
    assert done.returncode == 0, done.stderr
    assert prefix(task) == str(tmp_path / "a/train/local/environment")
    wrong = {**files, "pyproject.toml": PROJECT.replace('"tiny"', '"tiny", "lone"')}
    stale = Task(tmp_path / "b", wrong, command, more=settings(tmp_path, index)).run()
    assert stale.returncode == 1
    problem = "The lockfile at `uv.lock` needs to be updated, but `--locked` was provided."
    assert errors(stale) == [
        f"Error in the code: uv can't make the environment of uv.lock: {problem}",
        "  → lock it again:  uv lock, then run again",
    ]
    torn = Task(tmp_path / "c", {**files, "uv.lock": "torn["}, command, more=settings(tmp_path, index)).run()
    assert torn.returncode == 1
    assert "uv can't make the environment of uv.lock: Failed to parse `uv.lock`: TOML parse error" in errors(torn)[0]


def test_a_node_with_a_wrong_setting_of_uv_is_not_the_codes_fault(tmp_path: Path, index: str) -> None:
    command = Command(("python", "train.py"), "script", "train.py")
    more = settings(tmp_path, index, UV_HTTP_TIMEOUT="soon")
    done = Task(tmp_path, {"train.py": BLOCK + PROGRAM}, command, more=more).run()
    assert done.returncode == 1
    assert errors(done)[0].startswith("Error: uv can't make the environment of train.py: Failed to parse environment")


def test_a_dependency_that_is_nowhere(tmp_path: Path, index: str) -> None:
    text = BLOCK.replace("tiny", "nowhere-to-be-found") + PROGRAM
    command = Command(("python", "train.py"), "script", "train.py")
    task = Task(tmp_path, {"train.py": text}, command, more=settings(tmp_path, index))
    done = task.run()
    assert done.returncode == 1
    assert "uv can't make the environment of train.py: No solution found" in errors(done)[0]
    assert "nowhere-to-be-found was not found in the package registry" in errors(done)[0]
    assert task.objects() == []


def test_an_index_that_does_not_answer(tmp_path: Path) -> None:
    more = settings(tmp_path, "http://127.0.0.1:9/simple", UV_HTTP_RETRIES="0")
    command = Command(("python", "train.py"), "script", "train.py")
    done = Task(tmp_path, {"train.py": BLOCK + PROGRAM}, command, more=more).run()
    assert done.returncode == 1
    assert "http://127.0.0.1:9/simple/tiny/" in errors(done)[0]
    assert errors(done)[1] == "  → let the node reach the package index, or name another one by UV_INDEX_URL"


def test_no_uv(tmp_path: Path) -> None:
    """The program's own folder may hold one, so it is run by another path."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    site = f"import sys; sys.executable = {str(python)!r}; sys.path.insert(0, {str(Path(__file__).parents[3])!r}); "
    start = f"{site}from federation.task.actions import main; sys.exit(main(sys.argv[1:]))"
    task = Task(
        tmp_path,
        {"train.py": BLOCK + PROGRAM},
        Command(("python", "train.py"), "script", "train.py"),
        more={"PATH": str(tmp_path / "bin")},
    )
    task.act("fetch")
    task.program = (*task.program[:1], "-c", start)
    done = task.act("run")
    assert done.returncode == 1
    assert errors(done) == [
        "Error: train.py declares dependencies, and uv is not on the PATH of this node or image",
        "  → install uv there, or set uv and uv_sha256 under [run] in fedml.toml, from which nodes then get it",
    ]


def test_uv_is_fetched_once_and_verified(tmp_path: Path, index: str) -> None:
    archive = tmp_path / "uv.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(uv(), "uv-x86_64/uv")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    files, more = {"train.py": BLOCK + PROGRAM}, settings(tmp_path, index)
    source = UvDownload(archive.as_uri(), sha256)
    wrong = Task(
        tmp_path / "a",
        files,
        Command(("python", "train.py"), "script", "train.py", uv=UvDownload(archive.as_uri(), "0" * 64)),
        more=more,
    ).run()
    assert wrong.returncode == 1
    assert f"has the sha256 {sha256}, not {'0' * 64}; it was not run" in errors(wrong)[0]
    command = Command(("python", "train.py"), "script", "train.py", uv=source)
    task = Task(tmp_path / "b", files, command, more=more)
    assert task.run().returncode == 0
    assert "(downloaded; cache " in task.record().environment["uv"]
    archive.unlink()
    assert Task(tmp_path / "c", files, command, more=more).run().returncode == 0
    other = tmp_path / "other.tar.gz"
    other.write_bytes(gzip.compress(b"not a tar"))
    known = UvDownload(other.as_uri(), hashlib.sha256(other.read_bytes()).hexdigest())
    done = Task(tmp_path / "e", files, Command(("python", "train.py"), "script", "train.py", uv=known), more=more).run()
    assert done.returncode == 1
    assert errors(done)[0] == f"Error: the archive at {other.as_uri()} holds no file named uv"
    gone = Command(("python", "train.py"), "script", "train.py", uv=UvDownload(archive.as_uri(), "1" * 64))
    done = Task(tmp_path / "d", files, gone, more=more).run()
    assert done.returncode == 1
    assert f"can't get uv from {archive.as_uri()}" in errors(done)[0]


def test_an_environment_that_a_crash_left_unfinished_is_made_again(tmp_path: Path, index: str) -> None:
    command = Command(("python", "train.py"), "script", "train.py")
    files, more = {"train.py": BLOCK + PROGRAM}, settings(tmp_path, index)
    first = Task(tmp_path / "a", files, command, more=more)
    assert first.run().returncode == 0
    made = Path(prefix(first))
    (made / "fedml.json").unlink()
    next(made.rglob("tiny.py")).unlink()
    assert Task(tmp_path / "b", files, command, more=more).run().returncode == 0


def test_a_cache_that_cannot_be_written_is_not_used(tmp_path: Path, index: str) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    command = Command(("python", "train.py"), "script", "train.py")
    more = settings(tmp_path, index, UV_CACHE_DIR=str(blocked))
    task = Task(tmp_path, {"train.py": BLOCK + PROGRAM}, command, more=more)
    done = task.run()
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"Note: UV_CACHE_DIR {blocked} can't be written")


def test_a_task_is_stopped_while_its_environment_is_made(tmp_path: Path) -> None:
    """By a uv that hangs."""
    slow = tmp_path / "bin/uv"
    slow.parent.mkdir()
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexec sleep 600\n")
    slow.chmod(0o755)
    more = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    task = Task(
        tmp_path, {"train.py": BLOCK + PROGRAM}, Command(("python", "train.py"), "script", "train.py"), more=more
    )
    task.act("fetch")
    process = task.start("run")
    while not (tmp_path / "asked").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.splitlines() == ["Stopped before the command was done, so nothing was published"]
