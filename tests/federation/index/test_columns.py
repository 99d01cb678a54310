"""A column of a result is declared once: everything that shows, stores or filters it follows from that line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from federation.index import Index, Row
from federation.index.catalog.catalog import SCHEMA
from federation.index.columns import COLUMNS, FIELDS, SELECTED, TABLE, Entered, row_of, values_of
from federation.log import Entry
from federation.result import ResultRecord
from federation.ui.index_table import cells, result_json

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]

SCHEMA_7 = """CREATE TABLE result (
    job TEXT, version TEXT, run TEXT, slot INTEGER, grp TEXT, idx INTEGER, attempt INTEGER, region TEXT,
    datacenter TEXT, node TEXT, alloc_id TEXT UNIQUE, state TEXT, metrics TEXT, params TEXT, size_bytes INTEGER,
    store TEXT, url TEXT, code TEXT, created TEXT, committed TEXT, revision INTEGER, entered TEXT)"""


@pytest.fixture
def index(open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> Index:
    made = open_index(memory_store)
    code = {"code_sha256": "c0de"}
    made.commit(
        [make_record(metrics={"auc": 0.7, "loss": float("nan")}, params={"lr": "0.1"}, slot=3, environment=code)]
    )
    made.tag("production", made.query()[0].alloc_id)
    return made


def test_the_table_is_that_of_its_schema() -> None:
    """Checkpoints and catalogs of this schema hold this very text: other columns need another SCHEMA."""
    assert (SCHEMA, TABLE) == (7, SCHEMA_7)


def test_what_is_stored_is_read_back_by_name(make_record: MakeRecord) -> None:
    record = make_record(metrics={"auc": 0.5, "loss": float("inf")}, params={"lr": "0.1"}, slot=7, group="g", index=2)
    db = sqlite3.connect(":memory:")
    db.execute(TABLE)
    db.execute("CREATE TABLE tag (name TEXT, alloc_id TEXT)")
    db.executemany("INSERT INTO tag VALUES (?, ?)", [("b", record.alloc_id), ("a", record.alloc_id)])
    entry = Entry(4, "2026-11-24T10:00:00.000000Z", "ann", "", "", ())
    marks = ", ".join("?" * len(values := values_of(Entered(record, entry, "late"))))
    db.execute(f"INSERT INTO result VALUES ({marks})", values)

    row = row_of(db.execute(f"SELECT {SELECTED} FROM result").fetchone())

    assert (row.group, row.index, row.slot, row.state, row.revision) == ("g", 2, 7, "late", 4)
    assert (dict(row.metrics), dict(row.params)) == ({"auc": 0.5, "loss": float("inf")}, {"lr": "0.1"})
    assert (row.committed, row.tags) == (entry.time, ("a", "b"))
    assert row.url == f"memory://us/{record.artifact_prefix}"
    db.close()


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_can_be_asked_for_sorted_by_and_shown(index: Index, name: str) -> None:
    [row] = index.query(where=f"{name} is not null", sort=f"{name}:desc")
    [field] = index.columns(name)
    value = getattr(row, FIELDS[name].name)

    assert field.of(row) == (", ".join(value) if isinstance(value, tuple) else value)
    assert cells([row], [field])[0] == [name]
    [same] = index.query(where=f"{name} = {value!r}" if not isinstance(value, tuple) else f"{name} = 'production'")
    assert same.alloc_id == row.alloc_id


def test_each_column_is_in_json_and_those_that_are_shown_are_in_the_table(index: Index) -> None:
    [row] = index.query()
    headings, _ = cells([row])

    assert [each.name for each in fields(Row)] == list(COLUMNS) == list(result_json(row))
    shown = {column.shown.heading or name for name, column in COLUMNS.items() if column.shown}
    assert shown - set(headings) == {"job", "url"}  # one job only; the URL is too long for text
    assert headings.index("tags") < headings.index("auc") < headings.index("size")
