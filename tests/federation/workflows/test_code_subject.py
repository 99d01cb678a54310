"""What `fedml run` is to run: scripts, folders, their dependencies, and each thing that can't run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from federation.errors import UsageError
from federation.workflows.code_subject import Subject, folder_of, script_of

BLOCK = '# /// script\n# dependencies = ["numpy"]\n# ///\n'
Notes = list[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(*words: str, notes: Notes | None = None) -> Subject:
    return script_of(words, (notes if notes is not None else []).append)


def folder(*command: str, notes: Notes | None = None) -> Subject:
    return folder_of(Path(), command, (notes if notes is not None else []).append)


def test_a_script_with_a_block_brings_its_dependencies(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "train.py").write_text(BLOCK)
    found = script("sub/train.py", "--epochs", "3")
    assert (found.path, found.argv) == (Path("sub/train.py"), ("python", "train.py", "--epochs", "3"))
    assert (found.kind, found.file, found.name) == ("script", "train.py", "train")


def test_a_script_without_one_has_none_and_says_what_it_leaves_behind(here: Path) -> None:
    (here / "train.py").write_text("print()")
    notes: Notes = []
    assert script("train.py", notes=notes).kind == "none"
    assert notes == []
    (here / "uv.lock").touch()
    script("train.py", notes=notes)
    assert "--code ." in notes[0]


def test_a_file_with_a_first_line_of_python_is_a_script(here: Path) -> None:
    (here / "train").write_text("#!/usr/bin/env python3\nprint()\n")
    assert script("train").argv == ("python", "train")


@pytest.mark.parametrize(
    ("files", "kind", "file"),
    [
        (["uv.lock", "requirements.txt", "train.py"], "project", "uv.lock"),
        (["requirements.txt", "train.py"], "requirements", "requirements.txt"),
        (["train.py"], "none", ""),
    ],
)
def test_a_folder_declares_its_dependencies(here: Path, files: list[str], kind: str, file: str) -> None:
    for name in files:
        (here / name).touch()
    found = folder("python", "train.py", "{lr}")
    assert (found.path, found.argv, found.kind, found.file) == (Path(), ("python", "train.py", "{lr}"), kind, file)
    assert found.name == here.name


def test_the_block_of_a_folders_script_counts_where_nothing_else_does(here: Path) -> None:
    (here / "a").mkdir()
    (here / "a" / "train.py").write_text(BLOCK)
    assert folder("python3", "a/train.py").file == "a/train.py"
    assert folder("python", "-m", "a.train").file == "a/train.py"
    (here / "uv.lock").touch()
    assert folder("python3", "a/train.py").file == "uv.lock"


def test_dependencies_that_nobody_locked_are_noted(here: Path) -> None:
    (here / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["numpy"]\n')
    notes: Notes = []
    folder("node", "train.js", notes=notes)
    assert "uv lock" in notes[0]


@pytest.mark.parametrize(
    ("run", "message", "hint"),
    [
        (lambda: script(), "nothing to run is named", "fedml run train.py"),
        (lambda: script("no.py"), "there is no script no.py", "--code"),
        (lambda: script("sub"), "sub is a folder", "--code sub --"),
        (lambda: script("train.sh"), "not a Python script", "-- sh train.sh"),
        (lambda: script("train.js"), "not a Python script", "-- node train.js"),
        (lambda: script("broken.py"), r"broken.py:2: syntax error: .*nothing was sent", ""),
        (lambda: script("latin.py"), "latin.py is not text in its encoding", "UTF-8"),
        (lambda: script("nul.py"), "nul.py.*: syntax error", ""),
        (lambda: folder(), "no command is named", "-- python train.py"),
        (lambda: folder("python", "no.py"), "there is no no.py", "in the folder of --code"),
        (lambda: folder("python", "broken.py"), "broken.py:2: syntax error", ""),
        (lambda: folder("python", "-m", "package"), "__main__.py:1: syntax error", ""),
        (lambda: folder_of(Path("no"), ("x",), print), "--code no is not a folder", ""),
    ],
)
def test_what_can_not_run(here: Path, run: Callable[[], object], message: str, hint: str) -> None:
    (here / "sub").mkdir()
    (here / "package").mkdir()
    (here / "package" / "__main__.py").write_text("(")
    (here / "train.sh").write_text("echo")
    (here / "train.js").write_text("1")
    (here / "broken.py").write_text("x = 1\ndef f(:\n")
    (here / "latin.py").write_bytes(b"x = '\xff'")
    (here / "nul.py").write_bytes(b"x = 1\0")
    with pytest.raises(UsageError, match=message) as caught:
        run()
    assert hint in caught.value.hint


def test_a_script_for_a_newer_python_may_have_syntax_that_this_one_lacks(here: Path) -> None:
    (here / "train.py").write_text('# /// script\n# requires-python = ">=3.99"\n# ///\nnew syntax\n')
    assert script("train.py").kind == "script"


def test_commands_that_are_not_pythons_are_not_checked(here: Path) -> None:
    (here / "broken.py").write_text("(")
    assert folder("sh", "broken.py").argv == ("sh", "broken.py")
    assert folder("python", "-c", "print(").argv == ("python", "-c", "print(")
