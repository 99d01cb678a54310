"""The files that git has or would take; without git, what no .gitignore names; .fedmlignore has the last word."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from federation.code.selection import select
from federation.errors import CodeError
from tests.federation.code.helpers import git, repository, write

TREE = {
    "train.py": "1",
    "lib/model.py": "2",
    "lib/.gitignore": "*.tmp\n!kept.tmp\n",
    "lib/a.tmp": "",
    "lib/kept.tmp": "",
    ".gitignore": "/out\n*.log\n",
    "out/model.bin": "",
    "run.log": "",
    "lib/run.log": "",
    "node_modules/x/index.js": "",
    "lib/__pycache__/model.pyc": "",
    "mlruns/0/meta.yaml": "",
    ".fedml/token": "",
    "sub/deep/x.py": "3",
}
CODE = [".gitignore", "lib/.gitignore", "lib/kept.tmp", "lib/model.py", "sub/deep/x.py", "train.py"]


@pytest.fixture
def no_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def test_what_git_would_take_is_code(tmp_path: Path) -> None:
    root = write(tmp_path, TREE)
    git(root, "init", "-q")
    assert sorted(select(root)) == CODE
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "all")
    write(root, {"new.py": "4"})
    assert sorted(select(root)) == sorted([*CODE, "new.py"])


@pytest.mark.usefixtures("no_git")
def test_without_git_its_rules_count_as_well(tmp_path: Path) -> None:
    assert sorted(select(write(tmp_path / "a", TREE))) == CODE


def test_a_folder_of_a_repository_has_the_repositorys_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "a", {"x.py": "", ".gitignore": "*.log\n/sub/out\n", "sub/y.py": ""})
    write(root / "sub", {"z.log": "", "out/a": "", "deep/out/b.py": ""})
    assert sorted(select(root / "sub")) == ["deep/out/b.py", "y.py"]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert sorted(select(root / "sub")) == ["deep/out/b.py", "y.py"]


@pytest.mark.parametrize("has_git", [True, False])
def test_a_folder_that_its_repository_ignores_is_packed_when_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_git: bool
) -> None:
    root = write(tmp_path / "home", {".gitignore": "*\n"})
    git(root, "init", "-q")
    write(root / "project", {"train.py": "", ".gitignore": "*.log", "a.log": ""})
    if not has_git:
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert sorted(select(root / "project")) == [".gitignore", "train.py"]


@pytest.mark.parametrize("has_git", [True, False])
def test_fedmlignore_leaves_out_and_takes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_git: bool) -> None:
    rules = "lib/\n*.md\n!out/model.bin\n!mlruns\n# a comment\n\n"
    root = write(tmp_path / "a", {**TREE, "README.md": "", ".fedmlignore": rules})
    git(root, "init", "-q")
    if not has_git:
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    taken = [".fedmlignore", ".gitignore", "mlruns/0/meta.yaml", "out/model.bin", "sub/deep/x.py", "train.py"]
    assert sorted(select(root)) == taken


def test_an_ignore_file_that_cant_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CodeError, match=r"\.fedmlignore can't be read"):
        select(write(tmp_path, {"a.py": "", ".fedmlignore": "!\n"}))


def test_submodules_and_nested_repositories_are_code(tmp_path: Path) -> None:
    repository(tmp_path / "library", {"lib.py": "", ".gitignore": "*.log\n"})
    root = repository(tmp_path / "a", {"train.py": "", "module/x": ""})
    git(root, "submodule", "-q", "add", str(tmp_path / "library"), "library")
    git(root, "commit", "-q", "-m", "submodule")
    repository(root / "nested", {"n.py": ""})
    write(root, {"library/new.py": "", "library/a.log": "", "nested/n.log": ""})
    expected = {
        ".gitmodules", "library/.gitignore", "library/lib.py", "library/new.py", "module/x", "nested/n.log", "nested/n.py",
        "train.py",
    }  # fmt: skip
    assert set(select(root)) == expected

    git(tmp_path, "clone", "-q", str(root), "clone")
    with pytest.raises(CodeError, match="the submodule library isn't checked out") as error:
        select(tmp_path / "clone")
    assert "git submodule update --init" in error.value.hint
    write(tmp_path / "clone", {".fedmlignore": "/library\n"})
    assert "train.py" in select(tmp_path / "clone")


def test_what_was_deleted_or_lies_behind_a_link_now_is_no_code(tmp_path: Path) -> None:
    root = repository(tmp_path / "a", {"gone.py": "", "kept.py": "", "folder/x.py": "", "file": "", "other/x.py": ""})
    (root / "gone.py").unlink()
    shutil.rmtree(root / "folder")
    (root / "folder").symlink_to("other")
    (root / "file").unlink()
    write(root, {"file/inside.py": ""})
    assert sorted(select(root)) == ["file/inside.py", "folder", "kept.py", "other/x.py"]


def test_a_git_hooks_repository_isnt_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path / "other", {"other.py": ""})
    root = repository(tmp_path / "a", {"a.py": ""})
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / ".git" / "index"))
    assert sorted(select(root)) == ["a.py"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("has_git", [True, False])
def test_a_folder_that_cant_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_git: bool) -> None:
    root = repository(tmp_path / "a", {"a.py": ""})
    write(root, {"closed/x.py": ""})
    if not has_git:
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    (root / "closed").chmod(0)
    try:
        with pytest.raises(CodeError, match="closed"):
            select(root)
    finally:
        (root / "closed").chmod(0o755)


def test_a_folder_that_git_cant_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "a", {"a.py": ""})
    stand_in = write(
        tmp_path / "bin", {"git": "#!/bin/sh\necho \"warning: could not open directory 'closed/': No\" >&2\n"}
    )
    (stand_in / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(stand_in))
    with pytest.raises(CodeError, match="could not open directory 'closed/'"):
        select(root)


def test_a_broken_repository_is_read_by_its_rules(tmp_path: Path) -> None:
    root = repository(tmp_path / "a", {"a.py": "", ".gitignore": "*.log\n"})
    write(root, {".git/index": b"not an index", "a.log": ""})
    assert sorted(select(root)) == [".gitignore", "a.py"]
