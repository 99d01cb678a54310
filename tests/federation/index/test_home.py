"""A store becomes a home only after it kept its promise, and once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from federation.errors import FormatTooNew, IndexCorrupt
from federation.index import Index
from federation.result import ResultRecord
from regions.storage.errors import NotFound, NotSupported, PermissionDenied
from regions.storage.store import Overwrite

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]


def test_a_store_where_several_creators_win_is_refused(
    memory_store: Any, open_index: OpenIndex, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = memory_store.put
    monkeypatch.setattr(memory_store, "put", lambda key, data, mode=None, **options: put(key, data, Overwrite()))

    with pytest.raises(NotSupported, match="create-if-absent isn't atomic") as told:
        open_index(memory_store).commit([make_record()])
    assert "another home store" in told.value.hint
    assert memory_store.objects == {}


def test_a_store_that_may_not_be_written_says_so(
    memory_store: Any, open_index: OpenIndex, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*request: Any, **options: Any) -> Any:
        raise PermissionDenied("these credentials may read only", store="memory://home")

    monkeypatch.setattr(memory_store, "put", denied)

    index = open_index(memory_store)
    assert index.query() == []
    with pytest.raises(PermissionDenied, match="may read only"):
        index.commit([make_record()])


def test_that_it_can_be_written_is_proved_anew_and_leaves_only_the_home(
    memory_store: Any, open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(memory_store)
    index.require_writable()
    assert sorted(memory_store.objects) == ["format.json"]

    def denied(*request: Any, **options: Any) -> Any:
        raise PermissionDenied("these credentials may read only", store="memory://home")

    monkeypatch.setattr(memory_store, "put", denied)
    with pytest.raises(PermissionDenied, match="may read only"):
        index.require_writable()


def test_several_that_make_it_at_once_share_one_home(
    memory_store: Any, open_index: OpenIndex, make_record: MakeRecord
) -> None:
    indexes = [open_index(memory_store) for _ in range(4)]
    barrier = threading.Barrier(4)

    def write(number: int) -> None:
        barrier.wait()
        indexes[number].commit([make_record(slot=number)])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({index._local.home_id for index in indexes}) == 1
    assert sorted(row.slot for row in indexes[0].query()) == [0, 1, 2, 3]


def test_a_newer_home_is_refused_in_one_line(memory_store: Any, open_index: OpenIndex) -> None:
    memory_store.objects["format.json"] = b'{"format": 2, "id": "%032x", "created": ""}' % 1

    with pytest.raises(
        FormatTooNew, match=r"memory://home/format.json\) has format 2, this fedml knows 1: upgrade fedml"
    ):
        open_index(memory_store).query()


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format": 1}', b'{"format": 1, "id": "../../x", "created": ""}'])
def test_what_is_no_format_json_is_told(memory_store: Any, open_index: OpenIndex, data: bytes) -> None:
    memory_store.objects["format.json"] = data

    with pytest.raises(IndexCorrupt, match="is not what fedml wrote") as told:
        open_index(memory_store).query()
    assert "restore it" in told.value.hint


def test_a_lost_format_json_loses_nothing(memory_store: Any, open_index: OpenIndex, make_record: MakeRecord) -> None:
    open_index(memory_store).commit([make_record()])
    del memory_store.objects["format.json"]

    index = open_index(memory_store)
    assert len(index.query()) == 1
    index.commit([make_record()])
    assert len(index.query()) == 2
    assert "format.json" in memory_store.objects


def test_a_home_proves_that_it_can_be_written_before_anything_happens(
    memory_store: Any, open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(memory_store)
    index.require_writable()
    assert list(memory_store.objects) == ["format.json"]

    def denied(*request: Any, **options: Any) -> Any:
        raise PermissionDenied("these credentials may read only", store="memory://home")

    monkeypatch.setattr(memory_store, "put", denied)
    with pytest.raises(PermissionDenied):
        index.require_writable()


def test_a_home_that_others_begin_meanwhile_is_not_a_lost_one(
    memory_store: Any, open_index: OpenIndex, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine makes the home and its first run between two looks of this one."""
    other = open_index(memory_store)
    listed = memory_store.list

    begun: list[str] = []

    def late(prefix: str = "", **given: Any) -> Any:
        if not begun:
            begun.append(prefix)
            other.commit([make_record(slot=0)])
            memory_store.put("runs/run-1/manifest.json", b"{}")
        return listed(prefix, **given)

    monkeypatch.setattr(memory_store, "list", late)
    index = open_index(memory_store)

    index.commit([make_record(slot=1)])
    assert sorted(row.slot for row in index.query()) == [0, 1]


def test_a_home_that_answers_not_found_twice_in_a_row_is_not_taken_for_lost(
    memory_store: Any, open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole first look was stale: format.json and the entry that this machine knows."""
    first = open_index(memory_store, "cache")
    first.open_run("run-1", "sales", "4", "5pec", 1, 1)
    first.close()
    answers = {"format.json": 1, "exists": 2}
    read, exists = memory_store.get_small, memory_store.exists

    def stale_read(key: str, **limits: int) -> Any:
        if key == "format.json" and answers["format.json"]:
            answers["format.json"] -= 1
            raise NotFound("stale", store=memory_store.url, key=key)
        return read(key, **limits)

    def stale_exists(key: str) -> Any:
        if answers["exists"]:
            answers["exists"] -= 1
            return False
        return exists(key)

    monkeypatch.setattr(memory_store, "get_small", stale_read)
    monkeypatch.setattr(memory_store, "exists", stale_exists)
    monkeypatch.setattr("federation.log.log.time.sleep", lambda seconds: None)
    assert [row.run for row in open_index(memory_store, "cache").runs()] == ["run-1"]
    assert answers == {"format.json": 0, "exists": 0}
