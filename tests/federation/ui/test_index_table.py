"""The table of the index: fits, tells what it left out, and lets no name steer the terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from federation.index import Row
from federation.index.query.fields import Field
from federation.text import size_text
from federation.ui.index_table import (
    aligned,
    number_text,
    plain_table,
    print_table,
    ranked,
    when_text,
)


def row(**given: Any) -> Row:
    fields: dict[str, Any] = {
        "job": "sales",
        "version": "4",
        "run": "019ab3a0-52be-7cc1-a9cf-2a1f4c7de001",
        "slot": 0,
        "group": "train",
        "index": 0,
        "attempt": 1,
        "region": "us",
        "datacenter": "us-east-1",
        "node": "us-1",
        "alloc_id": "8f14e45f-ceea-467f-8b6a-000000000000",
        "state": "committed",
        "metrics": {"roc_auc": 0.7421, "log_loss": 0.21, "lift": 2.5, "rows": 9, "train_seconds": 1.0},
        "params": {},
        "size_bytes": 43_200,
        "store": "s3://models-us",
        "url": "s3://models-us/artifacts/x/",
        "created": "2026-11-24T10:00:00Z",
        "committed": "2026-11-24T10:02:31.000000Z",
        "revision": 3,
        "code": "",
    }
    return Row(**(fields | given))


def printed(rows: list[Row], width: int, *sorted_by: Field) -> tuple[list[str], tuple[str, ...]]:
    text = io.StringIO()
    console = Console(file=text, width=width, color_system=None)
    short = {rows[0].run: "4c7de001", rows[0].alloc_id: "8f14e45f"}
    hidden = print_table(rows, console, short=short, sorted_by=sorted_by)
    return text.getvalue().splitlines(), hidden


@pytest.mark.parametrize(
    ("field", "heading", "cell"),
    [
        (
            Field("metrics.train_seconds", "metric", "train_seconds", frozenset({"number"})),
            "metrics.train_seconds",
            "1",
        ),
        (Field("metrics.lift", "metric", "lift", frozenset({"number"})), "lift", "2.5"),
        (Field("params.zz", "param", "zz", frozenset({"text or number"})), "zz", "deep"),
        (Field("size_bytes", "fixed", "size_bytes", frozenset({"number"})), "size", "43.2 kB"),
        (Field("node", "fixed", "node", frozenset({"text"})), "node", "us-1"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
@pytest.mark.parametrize("width", [40, 80, 400])
def test_the_column_that_is_sorted_by_is_always_shown(field: Field, heading: str, cell: str, width: int) -> None:
    params = {f"p{number}": "x" * 30 for number in range(6)}
    others = {f"p{number}": "y" * 30 for number in range(6)}
    rows = [row(params={**params, "zz": "deep"}), row(params={**others, "zz": "flat"})]
    lines, hidden = printed(rows, width, field)
    assert lines[0].split().count(heading) == 1
    assert cell in lines[1]
    assert heading not in hidden
    assert plain_table(rows, sorted_by=[field]).splitlines()[0].split().count(heading) == 1


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 160, 200, 400])
def test_each_row_is_one_line_that_fits(width: int) -> None:
    lines, hidden = printed([row(), row(slot=12, region="onprem")], width)

    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    assert "version" in lines[0]
    for heading in ("run", "slot", "region", "datacenter", "allocation", "state", "roc_auc", "size", "when", "url"):
        assert (heading in lines[0].split()) is (heading not in hidden)


def test_what_matters_most_stays_on_a_narrow_terminal() -> None:
    lines, _ = printed([row()], 80)

    assert {"version", "slot", "region", "allocation", "state", "roc_auc", "when"} <= set(lines[0].split())
    assert lines[1].split()[:4] == ["4", "0", "us", "8f14e45f"]


def test_a_wide_terminal_has_all_in_order() -> None:
    lines, hidden = printed([row()], 250)

    assert hidden == ()
    assert " ".join(lines[0].split()) == (
        "version run slot region datacenter allocation state roc_auc log_loss lift size when url"
    )


def test_the_job_is_shown_where_there_are_several() -> None:
    assert "job" not in printed([row()], 250)[0][0].split()
    assert "job" in printed([row(), row(job="other")], 80)[0][0].split()
    assert "job" in plain_table([row(), row(job="other")]).splitlines()[0].split()


def test_rows_without_a_metric_have_a_dash() -> None:
    lines = plain_table([row(), row(metrics={})]).splitlines()

    assert lines[2].split()[7:10] == ["-", "-", "-"]


def test_names_cannot_steer_the_terminal() -> None:
    evil = row(region="us\x1b[2J", node="\x07", version="4\n5", metrics={"a\x1b]0;x\x07": 1.0})

    for text in (plain_table([evil]), "\n".join(printed([evil], 250)[0])):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert len(text.splitlines()) == 2


def test_a_metric_may_be_named_as_a_column() -> None:
    lines, _ = printed([row(metrics={"state": 0.5, "run": 0.25})], 250)

    assert lines[0].split().count("state") == lines[0].split().count("run") == 2
    assert {"committed", "0.5", "0.25"} <= set(lines[1].split())


def test_names_in_wide_scripts_stay_in_their_columns() -> None:
    lines, _ = printed([row(version="模型版本四"), row()], 80)

    assert len(lines) == 3


def test_scores_come_before_counts_and_times() -> None:
    metrics = {"a_seconds": 1.0, "count": 3, "other": 0.5, "val_loss": 0.1, "roc_auc": 0.7, "rss_mb": 2.0}

    assert ranked(metrics) == ["roc_auc", "val_loss", "other", "count", "a_seconds", "rss_mb"]


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (5 * 10**18, "5000.0 PB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def test_small_texts() -> None:
    assert when_text("2026-11-24T10:02:31.123456Z") == "2026-11-24 10:02Z"
    assert when_text("yesterday") == "yesterday"
    assert [number_text(value) for value in (None, 1, 0.123456, float("nan"), "x", True)] == [
        "-",
        "1",
        "0.1235",
        "nan",
        "x",
        "True",
    ]
    assert aligned([("a", "b"), ("long", "")]) == "a     b\nlong"


def test_the_parameters_in_which_rows_differ_are_shown() -> None:
    rows = [row(params={"lr": "0.1", "save_path": "/x"}), row(params={"lr": "0.01", "save_path": "/x", "state": "new"})]
    lines, hidden = printed(rows, 120)

    assert "lr" in lines[0].split()
    assert "save_path" not in (*lines[0].split(), *hidden)
    assert "params.state" in (*lines[0].split(), *hidden)
    assert "0.01" in lines[2].split()
    assert plain_table(rows).splitlines()[0].split()[7:9] == ["lr", "params.state"]


def test_parameters_stay_on_a_narrow_terminal_and_long_ones_are_cut() -> None:
    lines, _ = printed([row(params={"note": "x" * 500}), row(params={"note": "y"})], 80)

    assert {"version", "slot", "region", "note"} <= set(lines[0].split())
    assert max(map(len, lines)) <= 80
    assert "x" * 500 in plain_table([row(params={"note": "x" * 500}), row()])
