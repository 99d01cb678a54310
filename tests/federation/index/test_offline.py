"""Answers without the home store: what the catalog knew last, and as of when; whatever happened to the catalog's file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federation.errors import FederationError
from federation.index import Index
from federation.index.catalog import catalog
from federation.result import ResultRecord
from tests.federation.index.catalog.test_catalog import DAMAGE

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]


@pytest.fixture
def cache(tmp_path: Path, open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> Path:
    """A cache folder that knows three results, a tag and a note; another writer has entered one more since."""
    index = open_index(memory_store, cache="cache")
    index.commit([make_record(slot=slot, alloc_id=f"alloc-{slot}") for slot in range(3)])
    index.tag("production", "alloc-1")
    index.note("alloc-1", "good")
    index.close()
    [seen] = (tmp_path / "cache" / "index").glob("*.home")
    os.utime(seen, (1_760_000_000, 1_760_000_000))
    open_index(memory_store, cache="other").commit([make_record(slot=9)])
    memory_store.requests.clear()
    return tmp_path / "cache" / "index"


@pytest.fixture
def offline(cache: Path, open_index: OpenIndex, memory_store: Any) -> Index:
    return open_index(memory_store, cache="cache")


def test_it_answers_as_of_the_last_look_and_asks_no_store(offline: Index, memory_store: Any) -> None:
    assert offline.go_offline() == offline.as_of == "2025-10-09T08:53:20.000000Z"

    assert {row.alloc_id for row in offline.query()} == {"alloc-0", "alloc-1", "alloc-2"}
    assert offline.revision == 3
    assert offline.result("production").tags == ("production",)
    assert [note.text for note in offline.notes(offline.result("alloc-1"))] == ["good"]
    assert len(offline.log()) == 3
    assert offline.at("1").query(tag="production") == []
    assert memory_store.requests == []


def test_what_only_the_store_has_and_every_write_are_refused(
    offline: Index, memory_store: Any, make_record: MakeRecord
) -> None:
    offline.go_offline()
    row = offline.result("production")

    for refused in (
        lambda: offline.record(row),
        lambda: offline.commit([make_record()]),
        lambda: offline.tag("production", "alloc-0"),
        lambda: offline.note("alloc-0", "x"),
    ):
        with pytest.raises(FederationError, match=r"^offline: ") as told:
            refused()
        assert told.value.hint == "run it without --offline"
    assert memory_store.requests == []


def test_a_look_online_makes_it_as_of_now(cache: Path, open_index: OpenIndex, memory_store: Any) -> None:
    assert len(open_index(memory_store, cache="cache").query()) == 4
    later = open_index(memory_store, cache="cache")

    assert later.go_offline() > "2025-10-10"
    assert len(later.query()) == 4


def test_a_home_that_was_never_seen_here_is_told(
    cache: Path, open_index: OpenIndex, memory_store: Any, tmp_path: Path
) -> None:
    elsewhere = type(memory_store)("memory://elsewhere")
    for index in (open_index(elsewhere, cache="cache"), open_index(memory_store, cache="empty")):
        with pytest.raises(FederationError, match="this machine has no catalog of memory://") as told:
            index.go_offline()
        assert "without --offline" in told.value.hint


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_catalog_is_never_taken_for_an_empty_index(
    cache: Path, offline: Index, damage: Callable[[Path], object]
) -> None:
    [path] = cache.glob("*.sqlite")
    damage(path)

    def ask() -> int:
        offline.go_offline()
        return len(offline.query())

    with pytest.raises(FederationError, match="this machine has no catalog"):
        ask()


@pytest.mark.parametrize("pragma", ["PRAGMA query_only = ON", "PRAGMA max_page_count = 1"])
def test_a_read_only_folder_and_a_full_disk_still_answer(
    offline: Index, monkeypatch: pytest.MonkeyPatch, pragma: str
) -> None:
    connect = catalog._connect

    def hindered(place: str) -> sqlite3.Connection:
        db = connect(place)
        if place != ":memory:":
            db.execute(pragma)
        return db

    monkeypatch.setattr(catalog, "_connect", hindered)

    offline.go_offline()
    assert len(offline.query()) == 3


def test_a_file_of_homes_that_is_none_is_passed_over(cache: Path, offline: Index, memory_store: Any) -> None:
    [seen] = cache.glob("*.home")
    seen.write_bytes(b"../\xff")

    with pytest.raises(FederationError, match="no catalog"):
        offline.go_offline()
