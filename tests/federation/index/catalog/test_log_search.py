"""The log is searched by who, what and job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation.errors import UsageError
from federation.index import Index
from federation.index.catalog import log_search
from tests.federation.index.conftest import MakeRecord


@pytest.fixture
def told(memory_store: Any, make_record: MakeRecord, tmp_path: Path) -> Index:
    ann = Index(memory_store, cache_dir=tmp_path / "a", author="ann@desk")
    records = [make_record(slot=slot, run="r1") for slot in range(3)] + [make_record(job="churn", run="r2")]
    ann.open_run("r1", "sales", "4", "s" * 8, 3, 3)
    ann.commit(records[:2])
    ann.commit(records[2:])
    ann.tag("prod", records[0].alloc_id, reason="good")
    ann.tag("prod", records[1].alloc_id)
    bob = Index(memory_store, cache_dir=tmp_path / "b", author="bob@desk")
    bob.rollback("prod", reason="worse")
    bob.note(records[3].alloc_id, "odd")
    bob.retire([records[3].alloc_id])
    bob.close_run("r1", "cancelled", "enough")
    return bob


@pytest.mark.parametrize(
    ("filters", "revisions"),
    [
        ({}, [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"author": "bob"}, [9, 8, 7, 6]),
        ({"author": "ann@desk"}, [5, 4, 3, 2, 1]),
        ({"kind": "commit"}, [3, 2]),
        ({"kind": "tag"}, [6, 5, 4]),
        ({"kind": "rollback"}, [6]),
        ({"kind": "cancel"}, [9]),
        ({"job": "churn"}, [8, 7, 3]),
        ({"job": "sales", "kind": "run"}, [9, 1]),
        ({"job": "sales", "kind": "retire"}, []),
    ],
)
def test_filters(told: Index, filters: dict[str, str], revisions: list[int]) -> None:
    assert [entry.number for entry in told.search_log(limit=100, **filters).entries] == revisions


@pytest.mark.parametrize("at_once", [1, 2, 500])
def test_pages_hold_each_entry_once(told: Index, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "_AT_ONCE", at_once)
    found, before = [], None
    while before != 0:
        page = told.search_log(limit=2, before=before, author="ann")
        found += [entry.number for entry in page.entries]
        before = page.next
    assert found == [5, 4, 3, 2, 1]


def test_a_search_looks_at_a_limited_number(told: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "LOOKED_MAX", 2)
    monkeypatch.setattr(log_search, "_AT_ONCE", 2)
    page = told.search_log(limit=5, author="ann")
    assert (page.entries, page.next, page.looked) == ([], 8, 2)


def test_an_unknown_kind_is_refused(told: Index) -> None:
    with pytest.raises(UsageError, match="not a kind of change"):
        told.search_log(limit=5, kind="gossip")


def test_the_moves_of_a_result(told: Index) -> None:
    row = told.result("prod")
    assert [(move.kind, move.revision) for move in told.moves_of(row)] == [("rollback", 6), ("tag", 5), ("tag", 4)]
