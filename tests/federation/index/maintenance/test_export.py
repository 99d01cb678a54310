"""What is exported says all of a result, and enters another index as what it is there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from federation.errors import UsageError
from federation.index import Index
from federation.index.maintenance.export import Format, export, import_results

Clouds = Any
OpenIndex = Callable[..., Index]


def exported(index: Index, kind: Format) -> str:
    text = io.StringIO()
    export(index, text, kind)
    return text.getvalue()


@pytest.fixture
def filled(clouds: Clouds) -> Clouds:
    clouds.publish(0, metrics={"auc": 0.7, "loss": float("nan"), "note": "=SUM(A1)"}, params={"lr": "-1"})
    clouds.publish(0, region="eu", attempt=2, metrics={'Ünïcode, "quoted"': True})
    clouds.publish(1, version="5", environment={"python": "3.11"})
    return clouds


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_round_trip(filled: Clouds, memory_store: Any, open_index: OpenIndex, kind: Format) -> None:
    other = open_index(memory_store)
    text = exported(filled.index, kind)

    done = import_results(other, io.StringIO(text), kind, name="results")

    assert [done.count(outcome) for outcome in ("added", "superseded", "known")] == [2, 1, 0]
    assert [other.record(row).to_json() for row in other.query()] == [
        filled.index.record(row).to_json() for row in filled.index.query()
    ]
    assert [row.state for row in other.query()] == [row.state for row in filled.index.query()]
    again = import_results(other, io.StringIO(text), kind, name="results")
    assert again.count("known") == 3


def test_a_line_of_json_is_one_result(filled: Clouds) -> None:
    lines = [json.loads(line) for line in exported(filled.index, "jsonl").splitlines()]

    assert [line["state"] for line in lines] == ["committed", "superseded", "committed"]
    assert lines[0]["metrics"] == {"auc": 0.7, "loss": {"$float": "nan"}, "note": "=SUM(A1)"}
    assert lines[2]["record"]["environment"] == {"python": "3.11"}


def test_a_row_of_csv_has_metrics_and_parameters_in_columns_and_no_formula(filled: Clouds) -> None:
    rows = list(csv.DictReader(io.StringIO(exported(filled.index, "csv"))))

    assert rows[0]["metrics.auc"] == "0.7"
    assert (rows[0]["metrics.note"], rows[0]["params.lr"]) == ("'=SUM(A1)", "'-1")
    assert rows[1]['metrics.Ünïcode, "quoted"'] == "True"
    assert rows[1]["metrics.auc"] == ""


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_an_empty_index_is_an_empty_export(clouds: Clouds, kind: Format) -> None:
    text = exported(clouds.index, kind)

    assert import_results(clouds.index, io.StringIO(text), kind, name="results").outcomes == {}


def first_line(text: str, change: Callable[[dict[str, Any]], object]) -> str:
    lines = text.splitlines()
    data = json.loads(lines[1])
    change(data)
    return "\n".join([lines[0], json.dumps(data), *lines[2:]])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data.pop("record"), "record"),
        (lambda data: data["record"].update(job="../x"), "segment"),
        (lambda data: data["record"]["files"][0].update(size_bytes=1), "manifest's hash"),
        (lambda data: data["record"].update(format=99), "upgrade fedml"),
        (lambda data: data["record"].pop("key"), "key is missing"),
    ],
)
def test_one_wrong_line_and_nothing_is_entered(
    filled: Clouds, memory_store: Any, open_index: OpenIndex, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    other = open_index(memory_store)
    text = first_line(exported(filled.index, "jsonl"), change)

    with pytest.raises(UsageError, match=r"results\.jsonl, line 2: ") as raised:
        import_results(other, io.StringIO(text), "jsonl", name="results.jsonl")

    assert told in raised.value.message
    assert memory_store.objects == {}


@pytest.mark.parametrize("text", ["hello", "[]", "{}", "a,b\n1,2\n", '"', "record\n{\n"])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_what_is_no_export_is_refused(clouds: Clouds, kind: Format, text: str) -> None:
    if kind == "csv" and "\n" not in text:
        assert import_results(clouds.index, io.StringIO(text), kind, name="x").outcomes == {}  # a heading only
        return
    with pytest.raises(UsageError, match="x, line"):
        import_results(clouds.index, io.StringIO(text), kind, name="x")
