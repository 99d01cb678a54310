"""What an index can name: a part of the question with few candidates is answered by it, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from federation.index import Index
from federation.index.query import candidates
from federation.index.query.syntax import parse
from federation.log import Log
from federation.result import ResultRecord

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]


@pytest.fixture
def index(open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> Index:
    made = open_index(memory_store)
    made.commit([make_record(run=f"run-{n % 3}", version=str(n % 4), metrics={"auc": n / 100}) for n in range(40)])
    made.commit([make_record(job="churn", version="1", metrics={"auc": "none"}), make_record(metrics={"ok": True})])
    made.tag("production", made.query()[0].alloc_id)
    return made


ASKED: list[dict[str, Any]] = [
    {"job": "churn"},
    {"version": "1"},
    {"job": "sales", "version": "1"},
    {"run": "run-2", "version": "0"},
    {"tag": "production"},
    {"where": "metrics.auc > 0.35"},
    {"where": "metrics.auc in (0.05, 0.06) or region = 'eu'"},
    {"where": "metrics.auc between 0.1 and 0.2 and run = 'run-1'"},
    {"where": "not metrics.auc > 0.35"},
    {"where": "metrics.ok = true"},
    {"where": "metrics.auc = 'none' and job = 'churn'"},
    {"where": "version = '1' and version = '2'"},
    {"where": "version = 1"},
]


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_the_answer_is_the_same_without_any_index(index: Index, asked: dict[str, Any]) -> None:
    found = index.query(**asked)

    with patch.object(candidates, "FEW", -1):
        assert index.query(**asked) == found
    assert len(found) < 42


def used(index: Index, text: str) -> str:
    """What stands before all else in the SQL for that condition."""

    def ask(catalog: Any) -> str:
        found = candidates.of_condition(parse(text), catalog.fields())
        return candidates.fewest(list(found), catalog.value).text

    return index.ask(ask)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("metrics.auc > 0.38 and job = 'sales'", "value > ?"),
        ("metrics.auc >= 0 and run = 'run-1' and job = 'churn'", "WHERE job = ?"),
        ("metrics.auc > 0.38 or job = 'churn'", "1"),
        ("not (metrics.auc > 0.38)", "1"),
        ("metrics.auc not between 0 and 1", "1"),
        ("region = 'us'", "1"),
    ],
)
def test_the_fewest_candidates_are_taken(index: Index, text: str, sql: str) -> None:
    found = used(index, text)

    assert sql == found if sql == "1" else sql in found


def test_where_all_have_many_the_table_is_gone_through(index: Index) -> None:
    with patch.object(candidates, "FEW", 5):
        assert used(index, "metrics.auc > 0.1 and job = 'sales'") == "1"
        assert "value > ?" in used(index, "metrics.auc > 0.36 and job = 'sales'")


def test_a_result_that_was_said_twice_has_its_metrics_once(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord
) -> None:
    record = make_record(metrics={"auc": 0.5})
    index = open_index(memory_store)
    index.commit([record])
    Log(memory_store, "index/log/", author="a").append([{"type": "supersede", "record": record.to_dict()}])

    assert len(index.query(where="metrics.auc = 0.5")) == 1
    assert index.ask(lambda catalog: catalog.value("SELECT COUNT(*) FROM metric")) == 1


@pytest.mark.parametrize("few", [3, 10, 30])
@pytest.mark.parametrize("direction", ["", ":desc"])
@pytest.mark.parametrize("limit", [1, 4, 12, 100])
def test_the_best_by_a_metric_are_the_same_with_and_without_an_index(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord, few: int, direction: str, limit: int
) -> None:
    index = open_index(memory_store)
    values: list[Any] = [0.5, float("nan"), "none", 0.7, float("inf"), 0.5, True, -1, 10**20, 0.7, float("-inf"), 0.5]
    told = [{"auc": value} for value in values * 3] + [{"other": 1.0}]
    index.commit([make_record(metrics=metrics, region="us" if n % 3 else "eu") for n, metrics in enumerate(told)])
    asked: dict[str, Any] = {"sort": f"metrics.auc{direction}", "region": "us"}
    with patch.object(candidates, "FEW", -1):
        expected = index.query(**asked)[:limit]

    with patch.object(candidates, "FEW", few):
        assert [row.alloc_id for row in index.query(**asked, limit=limit)] == [row.alloc_id for row in expected]
