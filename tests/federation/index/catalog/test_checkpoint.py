"""A new machine starts from one object and reads the tail; whatever is wrong with a checkpoint costs a warning at most."""

from __future__ import annotations

import gzip
import itertools
import logging
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from federation.index import Index
from federation.index.catalog.checkpoint import checkpoint_key, checkpoints, is_due, write_checkpoint
from federation.log import Log
from federation.result import ResultRecord
from regions.storage.errors import PermissionDenied

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]
ENTRIES = 70


@pytest.fixture
def filled(memory_store: Any, open_index: OpenIndex, make_record: MakeRecord) -> Any:
    """A home with 70 entries, so with one checkpoint: of revision 64."""
    index = open_index(memory_store, cache="writer")
    for _ in range(ENTRIES):
        index.commit([make_record()])
    memory_store.requests.clear()
    return memory_store


def entries_read(store: Any) -> list[str]:
    return [key for operation, key in store.requests if operation == "get" and key.startswith("index/log/")]


def test_checkpoints_are_written_ever_more_seldom() -> None:
    due = [number for number in range(1, 200_001) if is_due(number)]

    assert due[:3] == [64, 128, 192]
    gaps = [(after - before) / before for before, after in itertools.pairwise(due) if before > 4096]
    assert max(gaps) <= 1 / 32
    assert len(due) < 1000


def test_a_committing_process_writes_one(filled: Any) -> None:
    assert checkpoints(filled) == [64]


def test_a_new_machine_gets_one_object_and_reads_the_tail(filled: Any, open_index: OpenIndex) -> None:
    index = open_index(filled, cache="new machine")

    assert len(index.query()) == ENTRIES
    read = entries_read(filled)
    assert f"index/log/{1:020d}.json" not in read
    assert [key for _, key in filled.requests if key.startswith("index/checkpoints/")] == [checkpoint_key(64)]


def test_what_a_new_machine_sees_is_what_the_log_says(
    filled: Any, open_index: OpenIndex, caplog: pytest.LogCaptureFixture
) -> None:
    from_checkpoint = open_index(filled, cache="new machine").query()
    for revision in checkpoints(filled):
        filled.delete(checkpoint_key(revision))

    assert open_index(filled, cache="another").query() == from_checkpoint
    assert caplog.records == []


def torn(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data[:200] + bytes([data[200] ^ 0xFF]) + data[201:]


def no_catalog(data: bytes) -> bytes:
    return gzip.compress(b"hello" * 100)


def of_another_schema(data: bytes) -> bytes:
    unpacked = bytearray(gzip.decompress(data))
    unpacked[60:64] = (99).to_bytes(4, "big")  # SQLite's user_version
    return gzip.compress(bytes(unpacked))


def at_its_middle(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 64]) + data[middle + 64 :]


@pytest.mark.parametrize("damage", [torn, flipped, at_its_middle, no_catalog, of_another_schema, lambda _: b""])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    filled: Any, open_index: OpenIndex, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    filled.objects[checkpoint_key(64)] = damage(filled.objects[checkpoint_key(64)])

    index = open_index(filled, cache="new machine")

    assert len(index.query()) == ENTRIES
    (record,) = caplog.records
    assert (record.levelno, record.getMessage().startswith("Warning: checkpoint memory://home/index/check")) == (
        logging.WARNING,
        True,
    )


def rewritten(data: bytes, *statements: str) -> bytes:
    """The catalog in a checkpoint, changed by somebody else's hand."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sqlite"
        path.write_bytes(gzip.decompress(data))
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for statement in statements:
                db.execute(statement)
        return gzip.compress(path.read_bytes())


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM result; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE more (a)",
        "DROP TABLE tag",
        "ALTER TABLE result ADD COLUMN more",
        "UPDATE position SET number = 'x'",
        "UPDATE position SET number = 63",
        "UPDATE position SET sha256 = x'00'",
        "DELETE FROM position",
    ],
)
def test_a_checkpoint_that_is_no_catalog_of_ours_is_passed_over(
    filled: Any, open_index: OpenIndex, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    filled.objects[checkpoint_key(64)] = rewritten(filled.objects[checkpoint_key(64)], statement)

    assert len(open_index(filled, cache="new machine").query()) == ENTRIES

    assert [record.getMessage().startswith("Warning: checkpoint") for record in caplog.records] == [True]


def test_a_checkpoint_that_unpacks_without_end_is_passed_over(
    filled: Any, open_index: OpenIndex, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.index.catalog.checkpoint._UNPACKED_BYTES_MAX", 4_000_000)
    filled.objects[checkpoint_key(64)] = gzip.compress(bytes(50_000_000))

    assert len(open_index(filled, cache="new machine").query()) == ENTRIES

    assert "unpacks to more than 4,000,000 bytes" in caplog.text


def test_a_checkpoint_of_another_log_is_passed_over(
    filled: Any, open_index: OpenIndex, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    other = type(filled)("memory://other")
    index = open_index(other, cache="other writer")
    for _ in range(ENTRIES):
        index.commit([make_record()])
    other.objects[checkpoint_key(64)] = filled.objects[checkpoint_key(64)]

    rows = open_index(other, cache="new machine").query()

    assert [row.alloc_id for row in rows] == [row.alloc_id for row in index.query()]
    assert "it is of another log" in caplog.text


def test_a_damaged_one_costs_the_one_before(
    filled: Any, open_index: OpenIndex, caplog: pytest.LogCaptureFixture
) -> None:
    filled.objects[checkpoint_key(70)] = b"torn"

    assert len(open_index(filled, cache="new machine").query()) == ENTRIES
    assert f"index/log/{1:020d}.json" not in entries_read(filled)
    assert len(caplog.records) == 1


def test_a_reader_that_may_not_list_reads_the_log(
    filled: Any, open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionDenied("may not list", store="memory://home")

    monkeypatch.setattr(filled, "list", refuse)

    assert len(open_index(filled, cache="new machine").query()) == ENTRIES
    assert caplog.records == []


def test_a_checkpoint_that_cannot_be_written_loses_nothing(
    memory_store: Any, open_index: OpenIndex, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionDenied("may not write there", store="memory://home")

    monkeypatch.setattr(memory_store, "put_file", refuse)
    index = open_index(memory_store)
    for _ in range(64):
        assert set(index.commit([make_record()]).values()) == {"added"}

    assert checkpoints(memory_store) == []
    assert Log(memory_store, "index/log/").refresh()[-1].number == 64


def test_the_newest_three_are_kept(filled: Any, open_index: OpenIndex, make_record: MakeRecord, tmp_path: Path) -> None:
    index = open_index(filled, cache="writer again")
    path = next((tmp_path / "writer again" / "index").glob("*.sqlite"), None)
    for _ in range(5):
        index.commit([make_record()])
        path = path or next((tmp_path / "writer again" / "index").glob("*.sqlite"))
        assert write_checkpoint(filled, path) == ""

    assert checkpoints(filled) == [75, 74, 73]
