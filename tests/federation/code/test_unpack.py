"""Nothing is unpacked before all of it is verified, and nothing lands outside of the folder, whatever the tar says."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.code import unpack as unpacking
from federation.code.pack import pack
from federation.code.unpack import decompress, fetch_code, link_problem, unpack
from federation.code.upload import put_code
from federation.errors import CodeError
from jobs.code_run import code_object
from regions.storage.errors import NotFound
from tests.examples import examples
from tests.federation.code.helpers import write
from tests.federation.conftest import MemoryStore

Member = tuple[str, bytes, str, int, bytes]
"""Name, type, link, mode, data."""


def tar_of(*members: Member) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind, link, mode, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.size = kind, link, mode, len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def file(name: str, data: bytes = b"x", mode: int = 0o644) -> Member:
    return name, tarfile.REGTYPE, "", mode, data


def link(name: str, target: str) -> Member:
    return name, tarfile.SYMTYPE, target, 0o777, b""


def put(store: MemoryStore, plain: bytes, *, level: int = 6) -> str:
    sha256 = hashlib.sha256(plain).hexdigest()
    store.objects[code_object(sha256)] = gzip.compress(plain, level)
    return sha256


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_the_gzip_around_it_doesnt_count(tmp_path: Path, memory_store: MemoryStore) -> None:
    plain = tar_of(file("a.py", b"1" * 5_000_000), file("b.py"))
    for level in (0, 1, 9):
        assert fetch_code(memory_store, put(memory_store, plain, level=level), tmp_path / "code") == 2
    assert (tmp_path / "code" / "a.py").stat().st_size == 5_000_000


def test_modes_are_reduced_to_the_x_bit(tmp_path: Path, memory_store: MemoryStore) -> None:
    before = os.umask(0)
    try:
        fetch_code(
            memory_store, put(memory_store, tar_of(file("a", mode=0o6777), file("b", mode=0o666))), tmp_path / "code"
        )
    finally:
        os.umask(before)
    assert [(tmp_path / "code" / name).stat().st_mode & 0o7777 for name in ("a", "b")] == [0o755, 0o644]


def test_a_folder_that_is_there_is_replaced_whole(tmp_path: Path, memory_store: MemoryStore) -> None:
    write(tmp_path / "code", {"old.py": "", "sub/old.py": ""})
    fetch_code(memory_store, put(memory_store, tar_of(file("new.py"))), tmp_path / "code")
    assert left_in(tmp_path) == ["code", "code/new.py"]


@pytest.mark.parametrize("how", ["other", "cut", "torn", "trailing", "no gzip", "empty"])
def test_bytes_that_arent_the_code_are_never_unpacked(tmp_path: Path, memory_store: MemoryStore, how: str) -> None:
    sha256 = put(memory_store, tar_of(file("a.py", os.urandom(50_000))))
    good = memory_store.objects[code_object(sha256)]
    bad = {
        "other": gzip.compress(tar_of(file("a.py", b"evil"))),
        "cut": good[:-5],
        "torn": good[:5000] + b"\0" * 50 + good[5050:],
        "trailing": good + b"more",
        "no gzip": b"hello",
        "empty": b"",
    }
    memory_store.objects[code_object(sha256)] = bad[how]
    with pytest.raises(CodeError, match="isn't the code that it is named for"):
        fetch_code(memory_store, sha256, tmp_path / "code")
    assert left_in(tmp_path) == []


def test_code_that_is_gone_is_named(tmp_path: Path, memory_store: MemoryStore) -> None:
    with pytest.raises(NotFound, match="is gone") as error:
        fetch_code(memory_store, "0" * 64, tmp_path / "code")
    assert "new run" in error.value.hint


def test_a_bomb_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(CodeError, match="more than 10,000,000 bytes"):
        decompress(tmp_path / "bomb", tmp_path / "plain", bytes_max=10_000_000)
    assert (tmp_path / "plain").stat().st_size <= 10_000_000


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([file("../x")], "leads out"), ([file("a/../../x")], "leads out"), ([file("/x")], "leads out"),
        ([link("a", "/etc")], "is absolute"), ([link("a", "..")], "leaves"), ([link("a", "b"), file("a/x")], "below 'a'"),
        ([link("s/l", ".."), link("m", "s/l/../../x")], "shortest form"), ([file("a"), file("a")], "twice"),
        ([file("a"), file("a/b")], "below 'a'"), ([("a", tarfile.LNKTYPE, "/etc/passwd", 0, b"")], "neither"),
        ([("a", tarfile.CHRTYPE, "", 0, b"")], "neither"), ([("a", tarfile.FIFOTYPE, "", 0, b"")], "neither"),
        ([("a", tarfile.DIRTYPE, "", 0, b"")], "neither"), ([file("n" * 300)], "too long"),
        ([file("a" + "/a" * 600)], "too long"),
    ],
)  # fmt: skip
def test_hostile_tars_are_refused_before_anything_is_written(
    tmp_path: Path, members: list[Member], problem: str, memory_store: MemoryStore
) -> None:
    sha256 = put(memory_store, tar_of(file("ok.py"), *members))
    with pytest.raises(CodeError, match=problem):
        fetch_code(memory_store, sha256, tmp_path / "code")
    assert left_in(tmp_path) == []


def test_too_many_files_or_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tar").write_bytes(tar_of(*(file(str(number)) for number in range(5))))
    (tmp_path / "out").mkdir()
    for name in ("FILES_MAX", "BYTES_MAX"):
        with monkeypatch.context() as patch:
            patch.setattr(unpacking, name, 4)
            with pytest.raises(CodeError, match="more than"):
                unpack(tmp_path / "tar", tmp_path / "out")
    assert left_in(tmp_path / "out") == []


names = st.text(st.sampled_from("ab./\0é"), min_size=1, max_size=6)
kinds = st.sampled_from(
    [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE]
)
hostile = st.lists(st.tuples(names, kinds, names, st.integers(0, 0o7777), st.binary(max_size=3)), max_size=6)


@settings(
    max_examples=examples(400),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(hostile, st.lists(st.tuples(st.integers(0, 8000), st.integers(0, 255)), max_size=2), st.integers(0, 3000))
def test_no_tar_writes_outside_of_its_folder(
    tmp_path_factory: pytest.TempPathFactory, members: list[Member], flips: list[tuple[int, int]], cut: int
) -> None:
    root = tmp_path_factory.mktemp("hostile")
    plain = bytearray(tar_of(*[(n, k, t, m, d if k == tarfile.REGTYPE else b"") for n, k, t, m, d in members]))
    for place, byte in flips:
        plain[place % len(plain)] = byte
    (root / "tar").write_bytes(plain[: len(plain) - cut])
    write(root, {"place/out/.keep": ""})
    (root / "place" / "out" / ".keep").unlink()
    try:
        count = unpack(root / "tar", root / "place" / "out")
    except CodeError:
        count = 0
    assert [path.name for path in root.iterdir() if path.name != "tar"] == ["place"]
    assert [path.name for path in (root / "place").iterdir()] == ["out"]
    real = (root / "place" / "out").resolve()
    for path in real.rglob("*"):
        assert path.is_symlink() or path.is_file() or path.is_dir()
        if path.is_symlink():
            assert os.path.realpath(path).startswith(str(real)), path.readlink()
        elif path.is_file():
            assert path.stat().st_mode & 0o7777 & ~0o755 == 0
    if count:
        assert count == sum(1 for path in real.rglob("*") if path.is_symlink() or path.is_file())


paths = st.text(st.sampled_from("ab/."), min_size=1, max_size=8)


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(["l", "a/l", "a/b/l"]), paths)
def test_a_link_that_is_kept_stays_inside(path: str, target: str) -> None:
    if not link_problem(path, target):
        joined = os.path.normpath(Path("/root", path).parent / target)
        assert joined == "/root" or joined.startswith("/root/")


def test_what_is_packed_is_what_is_unpacked(tmp_path: Path, memory_store: MemoryStore) -> None:
    files = {
        "ä b\n.py": "1",
        "n" * 200 + "/" + "m" * 200: "2",
        "empty": "",
        "bin": bytes(range(256)) * 5000,
        "quote'\"": "3",
    }
    root = write(tmp_path / "a", files)
    (root / "l").symlink_to("./bin")
    packed = pack(root, tmp_path / "cache")
    put_code([memory_store], packed)
    fetch_code(memory_store, packed.sha256, tmp_path / "b")
    assert left_in(tmp_path / "a") == left_in(tmp_path / "b")
    for name in [*files, "l"]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert zlib.decompress(packed.path.read_bytes(), 31).startswith(b"bin\0")
