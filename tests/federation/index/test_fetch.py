"""`get`: what lands in the folder is what was published, or nothing lands."""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federation.errors import FederationError, UsageError
from federation.index import Index
from federation.index.fetch import fetch
from federation.result import ResultFile, ResultRecord
from regions.storage.errors import IntegrityError, NotFound, Unavailable

fetching = importlib.import_module("federation.index.fetch")
MakeRecord = Callable[..., ResultRecord]

FILES = {"metrics.json": b'{"auc": 0.7}', "model/model.bin": bytes(range(256)) * 40, "model/deep/empty": b""}


def published(store: Any, make_record: MakeRecord, files: dict[str, bytes], **fields: Any) -> ResultRecord:
    listed = tuple(ResultFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items())
    record = make_record(files=listed, **fields)
    for path, data in files.items():
        store.objects[record.artifact_prefix + path] = data
    return record


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def record(memory_store: Any, make_record: MakeRecord) -> ResultRecord:
    return published(memory_store, make_record, FILES)


def test_all_files_land_in_a_new_folder(memory_store: Any, record: ResultRecord, tmp_path: Path) -> None:
    fetched = fetch(record, memory_store, tmp_path / "new" / "model")

    assert fetched.path == tmp_path / "new" / "model"
    assert (fetched.files, fetched.size_bytes, fetched.is_new) == (3, record.size_bytes, True)
    assert contents(fetched.path) == FILES
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"]
    assert fetched.path.stat().st_mode & 0o700 == 0o700


def test_the_same_content_is_left_as_it_is(memory_store: Any, record: ResultRecord, tmp_path: Path) -> None:
    fetch(record, memory_store, tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    memory_store.requests.clear()

    assert fetch(record, memory_store, tmp_path / "model").is_new is False
    assert memory_store.requests == []
    assert contents(tmp_path / "model") == FILES | {"notes.txt": b"mine"}


def test_a_flipped_byte_is_seen_and_nothing_is_placed(memory_store: Any, record: ResultRecord, tmp_path: Path) -> None:
    key = record.artifact_prefix + "model/model.bin"
    data = bytearray(memory_store.objects[key])
    data[7] ^= 1
    memory_store.objects[key] = bytes(data)

    with pytest.raises(IntegrityError, match=r"model/model\.bin is not the file that result .* published") as told:
        fetch(record, memory_store, tmp_path / "model")
    assert "restore it" in told.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
def test_another_size_is_seen(
    memory_store: Any, record: ResultRecord, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    key = record.artifact_prefix + "metrics.json"
    memory_store.objects[key] = change(memory_store.objects[key])

    with pytest.raises(IntegrityError):
        fetch(record, memory_store, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(memory_store: Any, record: ResultRecord, tmp_path: Path) -> None:
    del memory_store.objects[record.artifact_prefix + "metrics.json"]

    with pytest.raises(NotFound, match=f"metrics.json is gone: the artifact of result {record.alloc_id}"):
        fetch(record, memory_store, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/x",
        "a/../../x",
        "a//b",
        "./a",
        "a\\..\\x",
        "",
        "a/",
        "x\x00",
        "x\ny",
        "../" * 20 + "tmp/x",
        "\ud800",
    ],
)
def test_a_file_name_that_would_leave_the_folder_is_refused(
    memory_store: Any, make_record: MakeRecord, tmp_path: Path, path: str
) -> None:
    record = make_record(files=(ResultFile(path, 1, "0" * 64),))

    with pytest.raises(IntegrityError, match="would leave its folder"):
        fetch(record, memory_store, tmp_path / "model")
    assert memory_store.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), ("a/b/c/d", "a/b")])
def test_names_that_collide_are_refused(
    memory_store: Any, make_record: MakeRecord, tmp_path: Path, paths: tuple[str, str]
) -> None:
    record = make_record(files=tuple(ResultFile(path, 0, hashlib.sha256().hexdigest()) for path in paths))

    with pytest.raises(IntegrityError, match=r"twice|inside another file"):
        fetch(record, memory_store, tmp_path / "model")


def test_a_folder_with_something_else_is_refused_without_force(
    memory_store: Any, record: ResultRecord, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "metrics.json").write_bytes(b"older")
    (folder / "mine.txt").write_bytes(b"mine")

    with pytest.raises(UsageError, match="holds something else") as told:
        fetch(record, memory_store, folder)
    assert "--force" in told.value.hint
    assert contents(folder) == {"metrics.json": b"older", "mine.txt": b"mine"}

    assert fetch(record, memory_store, folder, force=True).is_new
    assert contents(folder) == FILES | {"mine.txt": b"mine"}
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_force_never_places_what_is_not_verified(memory_store: Any, record: ResultRecord, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "metrics.json").write_bytes(b"older")
    memory_store.objects[record.artifact_prefix + "model/model.bin"] = b"forged"

    with pytest.raises(IntegrityError):
        fetch(record, memory_store, folder, force=True)
    assert contents(folder) == {"metrics.json": b"older"}


def test_an_empty_folder_is_filled_in_place(
    memory_store: Any, record: ResultRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    fetched = fetch(record, memory_store, Path())

    assert fetched.path == tmp_path
    assert contents(tmp_path) == FILES


def test_what_is_in_the_way_is_told(memory_store: Any, record: ResultRecord, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        fetch(record, memory_store, tmp_path / "file", force=True)

    folder = tmp_path / "folder"
    (folder / "metrics.json").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"metrics\.json is in the way"):
        fetch(record, memory_store, folder, force=True)
    assert contents(folder) == {}


def test_a_link_in_the_folder_leads_nowhere(memory_store: Any, record: ResultRecord, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model").symlink_to(tmp_path / "outside")

    with pytest.raises(UsageError, match="in the way"):
        fetch(record, memory_store, folder, force=True)
    assert contents(tmp_path / "outside") == {}


def test_a_file_that_is_a_link_is_replaced_and_its_goal_left_alone(
    memory_store: Any, record: ResultRecord, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_bytes(FILES["metrics.json"])
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "metrics.json").symlink_to(tmp_path / "precious")

    assert fetch(record, memory_store, folder, force=True).is_new
    assert not (folder / "metrics.json").is_symlink()
    assert (tmp_path / "precious").read_bytes() == FILES["metrics.json"]


def test_a_lost_line_leaves_nothing(
    memory_store: Any, record: ResultRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(key: str, path: Path) -> Any:
        raise Unavailable("no answer", store="memory://us", operation="get", key=key)

    monkeypatch.setattr(memory_store, "get_file", lost)

    with pytest.raises(Unavailable):
        fetch(record, memory_store, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_what_arrived_before_the_line_was_lost_is_not_brought_again(
    memory_store: Any, record: ResultRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[str] = []
    get_file = memory_store.get_file
    is_down = True

    def fragile(key: str, path: Path) -> Any:
        if is_down and key.endswith("model.bin"):
            raise Unavailable("no answer", store="memory://us", operation="get", key=key)
        brought.append(key.removeprefix(record.artifact_prefix))
        return get_file(key, path)

    monkeypatch.setattr(fetching, "_DOWNLOADS_AT_ONCE", 1)
    monkeypatch.setattr(memory_store, "get_file", fragile)
    with pytest.raises(Unavailable):
        fetch(record, memory_store, tmp_path / "model")
    assert "metrics.json" in brought
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".fedml-get-")
    (left / "of-nobody").write_text("x")
    is_down = False
    assert fetch(record, memory_store, tmp_path / "model").is_new
    assert sorted(brought) == sorted(FILES)
    assert contents(tmp_path / "model") == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_a_killed_fetch_left_damaged_is_brought_again(
    memory_store: Any, record: ResultRecord, tmp_path: Path
) -> None:
    left = tmp_path / fetching._left_name(record)
    left.mkdir()
    (left / "metrics.json").write_bytes(FILES["metrics.json"][:-1])
    (tmp_path / "model").mkdir()
    fetch(record, memory_store, tmp_path / "model")
    fetch(record, memory_store, tmp_path / "other")
    assert contents(tmp_path / "model") == contents(tmp_path / "other") == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "other"]


def test_two_that_fetch_the_same_do_not_meet(memory_store: Any, record: ResultRecord, tmp_path: Path) -> None:
    place, lock = fetching._locked(tmp_path / fetching._left_name(record))
    assert lock is not None
    (place / "metrics.json").write_text("another process is writing this")
    assert fetching._locked(place) == (place, None)
    fetch(record, memory_store, tmp_path / "model")
    assert contents(tmp_path / "model") == FILES
    assert (place / "metrics.json").read_text() == "another process is writing this"
    os.close(lock)


def test_a_full_disk_is_told_without_a_traceback(
    memory_store: Any, record: ResultRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(key: str, path: Path) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(memory_store, "get_file", full)

    with pytest.raises(FederationError, match=r"can't write to .*model: No space left on device"):
        fetch(record, memory_store, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_an_artifact_without_files_is_an_empty_folder(
    memory_store: Any, make_record: MakeRecord, tmp_path: Path
) -> None:
    fetched = fetch(make_record(files=()), memory_store, tmp_path / "model")

    assert fetched.is_new
    assert list(fetched.path.iterdir()) == []


def test_the_index_brings_it_from_the_store_that_the_caller_opens(
    open_index: Callable[..., Index], memory_store: Any, make_record: MakeRecord, tmp_path: Path
) -> None:
    us = type(memory_store)("memory://us")
    record = published(us, make_record, FILES, region="us")
    index = open_index(memory_store)
    index.commit([record])
    asked: list[str] = []

    def open_store(url: str, result: Any = None) -> Any:
        asked.append(url)
        return us

    fetched = index.get(index.result(record.alloc_id[:6]), open_store=open_store, to=tmp_path / "model")

    assert asked == ["memory://us"]
    assert contents(fetched.path) == FILES
