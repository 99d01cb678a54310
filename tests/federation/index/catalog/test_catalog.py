"""The local catalog is disposable: whatever happens to its file, the index answers the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federation.errors import IndexCorrupt, IndexLost
from federation.index import Index
from federation.index.catalog import catalog
from federation.index.catalog.catalog import Catalog, open_catalog
from federation.log import Log
from federation.result import ResultRecord

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]

RESULTS = 12


@pytest.fixture
def filled(memory_store: Any, open_index: OpenIndex, make_record: MakeRecord) -> Any:
    """A home store with results, and a catalog of it in the cache folder `cache`."""
    index = open_index(memory_store, cache="cache")
    index.open_run("run-1", "sales", "4", "hash", RESULTS, RESULTS)
    for slot in range(RESULTS):
        index.commit([make_record(slot=slot)])
    index.close()
    return memory_store


@pytest.fixture
def path(tmp_path: Path, filled: Any) -> Path:
    [found] = (tmp_path / "cache" / "index").glob("*.sqlite")
    return found


def assert_it_works(index: Index, make_record: MakeRecord) -> None:
    """It reads all, writes on, and reads what it wrote."""
    assert [row.slot for row in index.query()] == list(reversed(range(RESULTS)))
    record, rival = make_record(slot=RESULTS, params={"note": "large " * 10_000}), make_record(slot=0)
    assert index.commit([record, rival]) == {record.alloc_id: "added", rival.alloc_id: "superseded"}
    assert index.commit([record]) == {record.alloc_id: "known"}
    assert [row.slot for row in index.query(state="committed")] == list(reversed(range(RESULTS + 1)))


def edit(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "header only": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "no database": lambda path: path.write_bytes(b"something else entirely" * 1000),
    "overwritten within": lambda path: path.write_bytes(path.read_bytes()[:2048] + b"\x5a" * 40_000),
    "another schema": lambda path: edit(path, "PRAGMA user_version = 99"),
    "a table gone": lambda path: edit(path, "DROP TABLE result"),
    "no position": lambda path: edit(path, "DELETE FROM position"),
    "garbage in rows": lambda path: edit(path, "UPDATE result SET metrics = 'x'"),
    "behind": lambda path: edit(
        path, "UPDATE position SET number = 0, sha256 = '', time = ''", "DELETE FROM result", "DELETE FROM entry"
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_file_is_made_anew(
    filled: Any, path: Path, open_index: OpenIndex, make_record: MakeRecord, damage: Callable[[Path], object]
) -> None:
    damage(path)

    assert_it_works(open_index(filled, cache="cache"), make_record)
    again = open_index(filled, cache="cache")
    filled.requests.clear()
    assert len(again.query()) == RESULTS + 2
    assert [kind for kind, _ in filled.requests] == [
        "get",
        "get",
        "get",
    ]  # format.json, the log's end, and whether the last entry is still there: the file serves again


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_file_that_is_damaged_while_in_use(
    filled: Any, path: Path, open_index: OpenIndex, make_record: MakeRecord, damage: Callable[[Path], object]
) -> None:
    index = open_index(filled, cache="cache")
    assert len(index.query()) == RESULTS
    damage(path)

    assert_it_works(index, make_record)
    assert len(open_index(filled, cache="cache").query()) == RESULTS + 2


def test_a_cache_folder_that_cannot_be_made(
    filled: Any, tmp_path: Path, open_index: OpenIndex, make_record: MakeRecord
) -> None:
    (tmp_path / "no-folder").write_text("a file is in the way")

    assert_it_works(open_index(filled, cache="no-folder"), make_record)


def test_a_folder_where_the_file_should_be(
    filled: Any, path: Path, open_index: OpenIndex, make_record: MakeRecord
) -> None:
    path.unlink()
    path.mkdir()

    assert_it_works(open_index(filled, cache="cache"), make_record)


@pytest.mark.parametrize(
    "pragma", ["PRAGMA query_only = ON", "PRAGMA max_page_count = 1"], ids=["read-only folder", "full disk"]
)
@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])
def test_a_file_that_cannot_be_written(
    filled: Any,
    path: Path,
    open_index: OpenIndex,
    make_record: MakeRecord,
    monkeypatch: pytest.MonkeyPatch,
    pragma: str,
    is_warm: bool,
) -> None:
    connect = catalog._connect

    def hindered(place: str) -> sqlite3.Connection:
        db = connect(place)
        if place != ":memory:":
            db.execute(pragma)
        return db

    if not is_warm:
        path.unlink()
    monkeypatch.setattr(catalog, "_connect", hindered)
    index = open_index(filled, cache="cache")

    assert_it_works(index, make_record)
    assert index._local.is_open
    assert index._local.path is None


def test_what_a_file_that_cannot_be_written_tells_is_used(
    filled: Any, path: Path, open_index: OpenIndex, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_index(filled).commit([make_record(slot=RESULTS)])
    connect = catalog._connect

    def read_only(place: str) -> sqlite3.Connection:
        db = connect(place)
        if place != ":memory:":
            db.execute("PRAGMA query_only = ON")
        return db

    monkeypatch.setattr(catalog, "_connect", read_only)
    filled.requests.clear()

    assert len(open_index(filled, cache="cache").query()) == RESULTS + 1
    assert min(key for _, key in filled.requests if "log" in key).endswith(f"{RESULTS + 2:020d}.json")


def test_a_file_that_somebody_keeps_locked(
    filled: Any, path: Path, open_index: OpenIndex, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_BUSY_TIMEOUT_S", 0.05)
    hog = sqlite3.connect(path, isolation_level=None)
    hog.execute("BEGIN EXCLUSIVE")
    try:
        assert_it_works(open_index(filled, cache="cache"), make_record)
    finally:
        hog.close()


def test_a_catalog_lost_after_the_write_keeps_the_outcome(
    filled: Any, path: Path, open_index: OpenIndex, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(filled, cache="cache")
    index.query()
    record = make_record(slot=RESULTS)
    append = Log.append

    def then_damage(log: Log, *arguments: Any, **options: Any) -> Any:
        entry = append(log, *arguments, **options)
        DAMAGE["a table gone"](path)
        return entry

    monkeypatch.setattr(Log, "append", then_damage)

    assert index.commit([record]) == {record.alloc_id: "added"}
    assert len(index.query()) == RESULTS + 1


def test_a_home_that_was_made_anew_on_purpose_has_a_catalog_of_its_own(
    filled: Any, path: Path, open_index: OpenIndex, make_record: MakeRecord
) -> None:
    filled.objects.clear()

    with pytest.raises(IndexLost, match="holds no index any more") as told:
        open_index(filled, cache="cache").query()
    assert f"move {path} away" in told.value.hint
    path.rename(path.with_suffix(".old"))

    index = open_index(filled, cache="cache")
    assert index.query() == []
    index.commit([make_record()])
    assert len(index.query()) == 1


def test_a_home_that_moved_keeps_its_catalog(filled: Any, open_index: OpenIndex) -> None:
    moved = type(filled)("memory://elsewhere")
    moved.objects.update(filled.objects)

    assert len(open_index(moved, cache="cache").query()) == RESULTS
    assert len(moved.requests) == 3


def test_a_rewritten_history_is_told_and_how_to_accept_it(
    filled: Any, path: Path, open_index: OpenIndex, make_record: MakeRecord
) -> None:
    home = filled.objects["format.json"]
    filled.objects.clear()
    filled.objects["format.json"] = home
    other = open_index(filled, cache="elsewhere")
    for slot in range(RESULTS + 3):
        other.commit([make_record(slot=slot)])

    with pytest.raises(IndexCorrupt, match="doesn't chain") as told:
        open_index(filled, cache="cache").query()
    assert f"move {path} away" in told.value.hint
    path.unlink()
    assert len(open_index(filled, cache="cache").query()) == RESULTS + 3


def test_entries_are_applied_once_and_in_order(tmp_path: Path, filled: Any) -> None:
    entries = Log(filled, "index/log/", author="a").refresh()
    one, other = open_catalog(tmp_path / "c.sqlite"), open_catalog(tmp_path / "c.sqlite")
    one.apply(entries[:4])
    other.apply(entries[:8])
    one.apply(entries[2:6])

    assert one.position().number == other.position().number == 8
    with pytest.raises(sqlite3.DatabaseError):
        one.apply(entries[10:])
    assert one.position().number == 8
    one.close()
    other.close()


def test_a_record_is_read_from_its_entry_and_verified(filled: Any, path: Path, open_index: OpenIndex) -> None:
    index = open_index(filled, cache="cache")
    row = index.query()[0]
    assert index.record(row).files[0].path == "model.bin"

    key = f"index/log/{row.revision:020d}.json"
    filled.objects[key] = filled.objects[key].replace(b"model.bin", b"other.bin")
    with pytest.raises(IndexCorrupt, match=f"revision {row.revision} of the index was rewritten") as told:
        index.record(row)
    assert f"move {path} away" in told.value.hint


def test_a_batch_that_fails_halfway_leaves_nothing(filled: Any) -> None:
    entries = Log(filled, "index/log/", author="a").refresh()
    found = Catalog(None)
    with pytest.raises(sqlite3.DatabaseError):
        found.apply([*entries[:5], entries[8]])

    assert found.position().number == 0
    assert found.rows("1", ())[1] == []
    found.close()
