"""The same files give the same hash on any machine; a script brings its lock alone; git's state is noted."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from federation.code import git as git_room
from federation.code import pack as packing
from federation.code.pack import pack
from federation.errors import CodeError
from tests.federation.code.helpers import git, repository, write

FILES = {"b.py": "2\r\n", "a.py": "1", "ä/ü.py": "3", "run.sh": "#!/bin/sh\n", "lib/z.py": "4"}


def tree(root: Path) -> Path:
    write(root, FILES)
    (root / "run.sh").chmod(0o755)
    (root / "lib" / "link").symlink_to("../a.py")
    return root


def test_neither_clock_nor_umask_nor_order_nor_git_count(tmp_path: Path) -> None:
    first = pack(tree(tmp_path / "one"), tmp_path / "cache")
    before = os.umask(0o077)
    try:
        other = write(tmp_path / "other", dict(reversed(FILES.items())))
        (other / "run.sh").chmod(0o700)
        (other / "lib" / "link").symlink_to("../a.py")
    finally:
        os.umask(before)
    os.utime(other / "a.py", (1, 1))
    git(other, "init", "-q")
    assert pack(other, tmp_path / "cache").sha256 == first.sha256
    git(other, "add", "-A")
    git(other, "commit", "-q", "-m", "all")
    git(tmp_path, "clone", "-q", str(other), "clone")
    assert pack(tmp_path / "clone", tmp_path / "cache").sha256 == first.sha256
    (other / "a.py").chmod(0o755)
    assert pack(other, tmp_path / "cache").sha256 != first.sha256


def test_the_hash_is_that_of_a_plain_tar_that_never_changes(tmp_path: Path) -> None:
    """Other versions of fedml and of Python must name the same code the same."""
    packed = pack(tree(tmp_path / "a"), tmp_path / "cache")
    plain = subprocess.run(["gzip", "-dc", packed.path], capture_output=True, check=True).stdout
    assert hashlib.sha256(plain).hexdigest() == packed.sha256
    assert packed.sha256 == "6586e4359095b7ec8c55556527848274a95963325b1c49086d239eaf4c5b714a"
    assert packed.unpacked_bytes == len(plain)
    assert (packed.size_bytes, packed.gzip_sha256) == (
        packed.path.stat().st_size,
        hashlib.sha256(packed.path.read_bytes()).hexdigest(),
    )
    assert packed.paths[:2] == ("a.py", "b.py")


@pytest.mark.parametrize("path", ["a.py", "ä/ü.py", "n" * 99, "n" * 100, "n" * 101, "é" * 50, "d/" + "n" * 200])
@pytest.mark.parametrize("size_bytes", [0, 1, 511, 1 << 20, 8**11 - 1, 8**11])
def test_a_header_is_what_tarfile_writes(path: str, size_bytes: int) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = size_bytes, 0o755
    expected = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")
    assert packing._header(path, tarfile.REGTYPE, 0o755, size_bytes) == expected


@pytest.mark.parametrize("environment", [{"LC_ALL": "C", "TZ": "Asia/Tokyo"}, {"LC_ALL": "C", "PATH": "/nothing"}])
def test_another_process_in_another_locale_without_git_says_the_same(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    root = tree(tmp_path / "a")
    program = (
        "import sys; from pathlib import Path; from federation.code.pack import pack; "
        "print(pack(Path(sys.argv[1]), Path(sys.argv[2])).sha256)"
    )
    there = [sys.executable, "-c", program, str(root), str(tmp_path / "other")]
    said = subprocess.run(there, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.strip() == pack(root, tmp_path / "cache").sha256


def test_a_locale_that_reads_names_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    with pytest.raises(CodeError, match="aren't UTF-8"):
        pack(tree(tmp_path / "a"), tmp_path / "cache")


def test_a_file_that_grows_while_it_is_packed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "a", {"log.txt": "1"})

    def grow(*_: object) -> bytes:
        (root / "log.txt").write_text("1" * 100)
        return b""

    monkeypatch.setattr(packing, "_header", grow)
    with pytest.raises(CodeError, match="changed while it was packed"):
        pack(root, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "code").iterdir())


def test_old_packs_leave_the_cache(tmp_path: Path) -> None:
    packed = pack(write(tmp_path / "a", {"a.py": ""}), tmp_path / "cache")
    os.utime(packed.path, (1, 1))
    other = pack(write(tmp_path / "a", {"b.py": ""}), tmp_path / "cache")
    assert [*(tmp_path / "cache" / "code").iterdir()] == [other.path]


def test_a_script_brings_its_lock_alone(tmp_path: Path) -> None:
    root = write(
        tmp_path / "a", {"train.py": "import os, fedml_task\n", "train.py.lock": "x", ".env": "", "other.py": ""}
    )
    packed = pack(root / "train.py", tmp_path / "cache")
    assert packed.paths == ("train.py", "train.py.lock")
    assert packed.lock_sha256 == hashlib.sha256(b"x").hexdigest()
    assert pack(write(tmp_path / "b", {"run.sh": "x"}) / "run.sh", tmp_path / "cache").lock_sha256 == ""


@pytest.mark.parametrize("text", ["import model", "from model.deep import x", "def f():\n    import os, model as m"])
@pytest.mark.parametrize("place", ["model.py", "model/deep.py"])
def test_a_script_that_imports_what_lies_beside_it_is_refused(tmp_path: Path, text: str, place: str) -> None:
    root = write(tmp_path / "a", {"train.py": text, place: ""})
    with pytest.raises(CodeError, match=r"train\.py imports model, which lies beside it") as error:
        pack(root / "train.py", tmp_path / "cache")
    assert "--code" in error.value.hint


@pytest.mark.parametrize("text", ["import model (", "from . import model", "model = 1", "import data", "import train"])
def test_other_scripts_are_packed(tmp_path: Path, text: str) -> None:
    root = write(tmp_path / "a", {"train.py": text, "model.py": "", "data/x.csv": ""})
    assert pack(root / "train.py", tmp_path / "cache").file_count == 1


@pytest.mark.parametrize(
    ("files", "lock"), [({"uv.lock": "u", "requirements.txt": "r"}, b"u"), ({"requirements.txt": "r"}, b"r")]
)
def test_the_lock_of_a_folder_is_noted(tmp_path: Path, files: dict[str, str], lock: bytes) -> None:
    packed = pack(write(tmp_path / "a", files), tmp_path / "cache")
    assert packed.lock_sha256 == hashlib.sha256(lock).hexdigest()


def test_where_it_stood_in_git_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "a", {"train.py": "1\n", "sub/x.py": "1\n"})
    clean = pack(root, tmp_path / "cache").git
    assert clean is not None
    assert (len(clean.commit), clean.is_dirty, clean.diff) == (40, False, b"")

    write(root, {"train.py": "2\n"})
    dirty = pack(root, tmp_path / "cache").git
    assert dirty is not None
    assert (dirty.commit, dirty.is_dirty) == (clean.commit, True)
    assert b"-1\n+2\n" in dirty.diff
    inner = pack(root / "sub", tmp_path / "cache").git
    assert inner is not None
    assert not inner.is_dirty
    script = pack(root / "sub" / "x.py", tmp_path / "cache").git
    assert script is not None
    assert not script.is_dirty

    monkeypatch.setattr(git_room, "DIFF_BYTES_MAX", 10)
    assert pack(root, tmp_path / "cache").git == git_room.GitState(clean.commit, is_dirty=True)


def test_a_scripts_name_is_no_pattern_of_git(tmp_path: Path) -> None:
    root = repository(tmp_path / "a", {":(top)train.py": "1\n", "train.py": "1\n"})
    write(root, {"train.py": "2\n"})
    state = pack(root / ":(top)train.py", tmp_path / "cache").git
    assert state is not None
    assert not state.is_dirty


def test_a_diff_that_holds_a_secret_isnt_kept(tmp_path: Path) -> None:
    root = repository(tmp_path / "a", {"train.py": "token = 'ghp_" + "a1" * 18 + "'\n"})
    write(root, {"train.py": "token = None\n"})
    state = pack(root, tmp_path / "cache").git
    assert state is not None
    assert state.is_dirty
    assert state.diff == b""


def test_outside_of_git_nothing_is_noted(tmp_path: Path) -> None:
    root = write(tmp_path / "a", {"train.py": ""})
    assert pack(root, tmp_path / "cache").git is None
    git(root, "init", "-q")
    assert pack(root, tmp_path / "cache").git is None
