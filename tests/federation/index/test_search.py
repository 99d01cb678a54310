"""Results are paged, counted and sampled by the very question that finds them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from federation.index import Index
from tests.federation.index.conftest import MakeRecord

VALUES = (0.5, 0.7, 0.7, math.nan, math.inf, "high", True, 3, None)
SORTS = (
    None,
    "metrics.auc",
    "metrics.auc:desc",
    "params.lr:desc,metrics.auc",
    "tags,slot:desc",
    "created,region",
    "job",
)


@pytest.fixture
def filled(memory_store: Any, make_record: MakeRecord, tmp_path: Any) -> Index:
    dice = random.Random(5)
    index = Index(memory_store, cache_dir=tmp_path, author="ann")
    records = []
    for number in range(40):
        value = dice.choice(VALUES)
        records.append(
            make_record(
                slot=number,
                region=dice.choice(("us", "eu")),
                metrics={} if value is None else {"auc": value},
                params={"lr": dice.choice(("0.1", "0.01", "auto"))},
            )
        )
    index.commit(records)
    index.tag("best", records[3].alloc_id)
    index.retire([records[4].alloc_id])
    return index


@pytest.mark.parametrize("sort", SORTS)
def test_pages_hold_each_result_once_and_in_order(filled: Index, sort: str | None) -> None:
    whole = [row.alloc_id for row in filled.query(sort=sort)]
    paged: list[str] = []
    while page := filled.query(sort=sort, limit=7, after=paged[-1] if paged else None):
        paged += [row.alloc_id for row in page]
        assert len(paged) <= len(whole)
    assert paged == whole
    assert len(whole) == 39


def test_nothing_comes_after_a_result_that_is_not_there(filled: Index) -> None:
    assert filled.query(after="nobody") == []
    assert filled.query(after="nobody", sort="metrics.auc") == []


@pytest.mark.parametrize(
    "filters",
    [{}, {"job": "sales"}, {"region": "us"}, {"state": "retired"}, {"where": "metrics.auc > 0.6"}, {"tag": "best"}],
)
def test_the_count_is_that_of_the_question(filled: Index, filters: dict[str, str]) -> None:
    found = len(filled.query(**filters))
    assert filled.count(**filters) == filled.count(is_exact=False, **filters) == found


def test_a_wide_question_is_counted_only_when_that_is_wanted(filled: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.index.search.FEW", 10)
    assert filled.count(is_exact=False, region="us") is None
    assert filled.count(region="us") == len(filled.query(region="us"))
    assert filled.count(is_exact=False) == 39


def test_a_sample_says_of_how_many(filled: Index) -> None:
    total, rows = filled.sample(10, where="slot < 30")
    assert (total, len(rows)) == (29, 10)
    again = filled.sample(10, where="slot < 30")[1]
    assert [row.alloc_id for row in again] == [row.alloc_id for row in rows]
    assert filled.sample(100)[0] == len(filled.sample(100)[1]) == 39


def test_every_field_is_named_as_it_is_written(filled: Index, make_record: Callable[..., Any]) -> None:
    filled.commit([make_record(slot=99, metrics={'a "b" c': 1.0})])
    filled.query(limit=1)
    names = filled.field_names()
    assert {"version", "metrics.auc", "params.lr", 'metrics."a ""b"" c"'} <= {*names}
    assert filled.query(where='metrics."a ""b"" c" = 1')
