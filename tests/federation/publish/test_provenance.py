"""Where a model comes from: the commit, the data, the size of the task; and never a secret."""

from __future__ import annotations

import platform
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from federation.errors import PublishError, UsageError
from federation.publish.provenance import (
    checked_parent,
    data_origin,
    found_origin,
    git_commit,
    installed_versions,
    package_versions,
    platform_name,
    without_secrets,
)
from federation.publish.report import given_origin

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def repository(folder: Path) -> str:
    """A git repository with one commit of `train.py`, `src/model.py` and `src/model_2.py`; the commit."""
    (folder / "src").mkdir(parents=True)
    for name in ("train.py", "src/model.py", "src/model_2.py"):
        (folder / name).write_text("code")
    for command in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first"),
    ):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return revision(folder)


def revision(folder: Path) -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_is_the_one_that_git_tells(tmp_path: Path) -> None:
    commit = repository(tmp_path / "code")
    assert git_commit(tmp_path / "code/src") == commit
    subprocess.run(["git", "pack-refs", "--all"], cwd=tmp_path / "code", check=True)
    assert not (tmp_path / "code/.git/refs/heads/main").exists()
    assert git_commit(tmp_path / "code") == commit
    subprocess.run(["git", "checkout", "-q", "--detach"], cwd=tmp_path / "code", check=True)
    assert git_commit(tmp_path / "code") == commit


def test_a_folder_that_the_checkout_does_not_track_has_no_commit(tmp_path: Path) -> None:
    commit = repository(tmp_path / "code")
    (tmp_path / "code/src/out/deep").mkdir(parents=True)
    (tmp_path / "code/sr").mkdir()
    for place, is_tracked in (("", True), ("src", True), ("src/out", False), ("src/out/deep", False), ("sr", False)):
        assert git_commit(tmp_path / "code" / place) == (commit if is_tracked else "")


def test_a_repository_starts_no_program_of_its_own(tmp_path: Path) -> None:
    commit = repository(tmp_path / "code")
    trap = f"touch {tmp_path}/started"
    subprocess.run(["git", "config", "core.fsmonitor", trap], cwd=tmp_path / "code", check=True)
    assert git_commit(tmp_path / "code") == commit
    assert not (tmp_path / "started").exists()


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path / "code")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path / "code") == ""


def test_a_worktree_has_its_own_commit(tmp_path: Path) -> None:
    repository(tmp_path / "code")
    subprocess.run(
        ["git", "worktree", "add", "-q", "-b", "other", tmp_path / "tree"],
        cwd=tmp_path / "code",
        check=True,
        capture_output=True,
    )
    assert git_commit(tmp_path / "tree") == revision(tmp_path / "tree") != ""


def test_no_repository_and_broken_ones_give_none(tmp_path: Path) -> None:
    assert git_commit(tmp_path / "nowhere") == ""
    (tmp_path / ".git").write_text("gitdir: /nowhere/at/all")
    assert git_commit(tmp_path) == ""
    (tmp_path / ".git").unlink()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/unborn\n")
    assert git_commit(tmp_path) == ""
    (tmp_path / ".git/HEAD").write_bytes(b"\xff\xfe")
    assert git_commit(tmp_path) == ""


def test_an_environment_tells_commit_and_size(tmp_path: Path) -> None:
    environ = {"GIT_COMMIT": COMMIT.upper(), "NOMAD_CPU_LIMIT": "500", "NOMAD_MEMORY_LIMIT": "256"}
    commit = repository(tmp_path / "code")
    assert found_origin(environ, [tmp_path / "code"]) == {
        "task_cpu_mhz": "500",
        "task_memory_mb": "256",
        "git_commit": COMMIT,
    }
    assert found_origin({"GIT_COMMIT": "main"}, [tmp_path, tmp_path / "code"]) == {"git_commit": commit}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://data.example/a.csv?v=3", "https://data.example/a.csv?v=3"),
        ("https://me:planted@data.example:8443/a.csv", "https://data.example:8443/a.csv"),
        ("https://b.s3.amazonaws.com/a?X-Amz-Signature=planted&X-Amz-Date=1", "https://b.s3.amazonaws.com/a"),
        ("https://a.blob.core.windows.net/c/a.csv?sv=1&sig=planted", "https://a.blob.core.windows.net/c/a.csv"),
        ("https://storage.googleapis.com/b/a?X-Goog-Credential=planted", "https://storage.googleapis.com/b/a"),
        ("https://data.example/a?access_token=planted", "https://data.example/a"),
        ("s3://bucket/data.csv", "s3://bucket/data.csv"),
        ("http://[broken@x/a?token=planted", "x/a"),
        ("data/a.csv", "data/a.csv"),
    ],
)
def test_credentials_in_a_data_url_are_left_out(url: str, told: str) -> None:
    assert without_secrets(url) == told


def test_data_origin() -> None:
    assert data_origin("", "") == {}
    assert data_origin("s3://b/a", "AB" * 32) == {"data_url": "s3://b/a", "data_sha256": "ab" * 32}
    with pytest.raises(PublishError, match="is not a valid sha256 of the data"):
        data_origin("", "abc")


def test_a_parent_is_an_allocation_id_or_its_beginning() -> None:
    assert checked_parent(" 52F51EF5-7c74 ") == "52f51ef5-7c74"
    assert given_origin("", "", "", "", ["52f51ef5", "cfe9fc16-2c55"]) == {"parents": "52f51ef5,cfe9fc16-2c55"}
    for wrong in ("production", "52f51e", "", "52f51ef5/.."):
        with pytest.raises(UsageError, match="is not an allocation id"):
            checked_parent(wrong)


def test_versions_of_the_packages_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this Python, or in the folders of another one."""
    for name, version in (("torch", "2.9.0"), ("scikit_learn", "1.7.2"), ("unknown", "1")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
    found = {"torch": "2.9.0", "scikit-learn": "1.7.2"}
    assert package_versions([str(tmp_path)]) == found
    assert package_versions([]) == {}
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert package_versions() == found


def test_the_platform_has_the_name_that_python_gives_it() -> None:
    assert platform_name() == platform.platform(terse=True)


def test_versions_are_asked_for_where_the_names_of_folders_do_not_tell_them(tmp_path: Path) -> None:
    """An egg of an editable installation, an archive, a version that its folder's name escapes."""
    egg = tmp_path / "source/torch.egg-info"
    egg.mkdir(parents=True)
    (egg / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.1\n")
    assert package_versions([str(tmp_path / "source")]) == {"torch": "2.9.1"}
    with zipfile.ZipFile(tmp_path / "all.pyz", "w") as archive:
        archive.writestr("numpy-2.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: numpy\nVersion: 2.1.0\n")
    assert package_versions([str(tmp_path / "all.pyz")]) == {"numpy": "2.1.0"}
    escaped = tmp_path / "escaped/jax-1.0+a_b.dist-info"
    escaped.mkdir(parents=True)
    (escaped / "METADATA").write_text("Metadata-Version: 2.1\nName: jax\nVersion: 1.0+a-b\n")
    assert package_versions([str(tmp_path / "escaped")]) == {"jax": "1.0+a-b"}


def test_versions_are_those_of_importlib() -> None:
    everything = {one.name.lower(): one.version for one in reversed([*metadata.distributions()]) if one.name.isalpha()}
    assert installed_versions([*everything], sys.path) == everything


def test_git_is_not_started_outside_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if any((above / ".git").exists() for above in tmp_path.parents):
        pytest.skip("the temporary folder is in a repository")
    monkeypatch.setattr("federation.publish.provenance._git", lambda *_: pytest.fail("git was started"))
    assert git_commit(tmp_path) == ""
    assert git_commit(tmp_path / "missing") == ""
