"""Folding: understood before it is written, never the end of an index, and linear in the names of metrics."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import FederationError, UsageError
from federation.index import Index
from federation.index.catalog.catalog import Catalog
from federation.index.catalog.changes import RECORD_CHANGES, problem_of
from federation.index.catalog.fold import TABLES, fold
from federation.log import Change, Entry, Log
from federation.result import Key, ResultFile, ResultRecord
from federation.ui.index_history import change_text, without_effect
from jobs.json_limits import WHOLE_NUMBER_MAX
from tests.examples import examples
from tests.federation.index.conftest import MakeRecord, OpenIndex

_STEPS = 100
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_KINDS = ["open", "close", "tag", "untag", "retire", "note", "locate", "sign", "doom", "spare", "remove", "freed"]
_KINDS += ["rebuild", "later", "unreadable", *RECORD_CHANGES]
_NAMES = [
    "run",
    "job",
    "version",
    "spec_hash",
    "slots",
    "expected_keys",
    "state",
    "reason",
    "name",
    "alloc_id",
    "depth",
]
_NAMES += ["previous", "undo", "text", "store", "public_key", "manifest_sha256", "signature", "until", "size_bytes"]
_NAMES += ["is_done", "of", "record"]


@pytest.fixture
def index(open_index: OpenIndex, memory_store: Any) -> Index:
    return open_index(memory_store)


def database() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(TABLES)
    return db


def entry(number: int, *changes: Change) -> Entry:
    return Entry(number, "2026-01-01T00:00:00Z", "a", "", "", changes, sha256="00" * 32)


def adding(number: int, metrics: dict[str, Any]) -> Change:
    record = ResultRecord(
        key=Key("run", number, "g", 0),
        attempt=1,
        job="j",
        version="4",
        spec_hash="",
        region="us",
        datacenter="d",
        node="n",
        alloc_id=f"a{number}",
        job_id="",
        store="file:///x",
        manifest_sha256="0",
        files=(ResultFile("m", 1, "0"),),
        created="2026-01-01T00:00:00Z",
        metrics=metrics,
    )
    return {"type": "add", "record": record.to_dict()}


def steps_of(db: sqlite3.Connection, *entries: Entry) -> int:
    """How many instructions SQLite's machine ran to fold the entries, each with nothing known from before."""
    ran = 0

    def count() -> None:
        nonlocal ran
        ran += _STEPS

    db.set_progress_handler(count, _STEPS)
    for one in entries:
        fold(db, one, {})
    db.set_progress_handler(None, 0)
    return ran


def test_a_record_costs_what_it_has_metrics() -> None:
    few = steps_of(database(), entry(1, adding(1, {f"m{number}": number for number in range(1_000)})))
    many = steps_of(database(), entry(1, adding(1, {f"m{number}": number for number in range(10_000)})))
    assert few > 10_000
    assert many < 12 * few


def test_a_record_costs_the_same_however_many_names_the_index_has() -> None:
    full, empty = database(), database()
    fold(full, entry(1, adding(0, {f"m{number}": number for number in range(4_000)})), {})
    small = [entry(number, adding(number, {"auc": number, "loss": 0.5})) for number in range(2, 102)]
    assert steps_of(full, *small) < 1.5 * steps_of(empty, *small)


def test_metrics_are_found_by_name_and_value_as_before(index: Index, make_record: MakeRecord) -> None:
    odd = {"auc": 0.5, "n": 3, "nan": float("nan"), "inf": float("inf"), "ok": True, "text": "x", 'q"uo.te': -1}
    index.commit([make_record(slot=0, metrics=odd), make_record(slot=1, metrics={"auc": 0.9, "big": 2**60})])
    for where, slots in {
        "metrics.auc > 0.6": [1],
        "metrics.auc <= 0.5": [0],
        "metrics.inf > 1": [0],
        "metrics.big > 1": [1],
        "metrics.n = 3": [0],
    }.items():
        assert [row.slot for row in index.query(where=where)] == slots, where


def test_what_cant_be_folded_is_refused_before_it_is_written(index: Index, memory_store: Any) -> None:
    index.open_run("run-1", "sales", "4", "", 1, 1)
    before = dict(memory_store.objects)
    for change in ({"type": "close", "run": "run-1", "state": "gone", "reason": ""}, {"type": "add", "record": {}}):
        with pytest.raises(UsageError, match=f"a change '{change['type']}' can't be entered into the index"):
            index.change(lambda _, change=change: [{"type": "spare", "alloc_id": "x"}, change])  # type: ignore[misc]
    assert memory_store.objects == before
    assert index.log()[0].number == 1


def test_1100_files_whose_sizes_overflow_are_refused_and_nothing_is_written(
    index: Index, memory_store: Any, make_record: MakeRecord
) -> None:
    index.commit([make_record()])
    before = dict(memory_store.objects)
    files = tuple(ResultFile(f"f{number}", WHOLE_NUMBER_MAX, "0" * 64) for number in range(1_100))
    with pytest.raises(UsageError, match="bytes in its files"):
        index.commit([make_record(files=files)])
    assert memory_store.objects == before
    assert len(index.query()) == 1


def test_1100_files_whose_sizes_overflow_in_the_log_leave_the_index_readable(
    index: Index, memory_store: Any, make_record: MakeRecord
) -> None:
    index.commit([make_record()])
    files = tuple(ResultFile(f"f{number}", WHOLE_NUMBER_MAX, "0" * 64) for number in range(1_100))
    log = Log(memory_store, "index/log/", author="former")
    log.refresh()
    log.append([{"type": "add", "record": make_record(files=files).to_dict()}])
    assert len(index.query()) == 1
    assert [change["kind"] for _, change in index.unknown_changes()] == ["add"]
    last = make_record()
    assert index.commit([last]) == {last.alloc_id: "added"}


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(
        st.builds(
            lambda kind, members: {**members, "type": kind},
            st.sampled_from(_KINDS),
            st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=8),
        ),
        max_size=4,
    )
)
def test_any_changes_are_folded_and_read_again(changes: list[Change]) -> None:
    catalog = Catalog(None)
    catalog.apply([entry(1, *changes)])
    assert catalog.position().number == 1
    catalog.rows("1", ())
    catalog.runs("1", ())
    catalog.fields()
    json.dumps(catalog.unknown())
    problems = [change for change in changes if problem_of(change)]
    assert len([kept for _, kept in catalog.unknown() if kept["type"] == "unreadable" and "kind" in kept]) >= len(
        problems
    )
    catalog.close()


@settings(max_examples=examples(100), deadline=None)
@given(st.sampled_from(["files", "metrics", "key", "format", "prefix", "attempt", "store", "environment"]), _VALUES)
def test_any_value_in_a_record_of_the_log_is_folded(name: str, value: Any) -> None:
    change = adding(1, {"auc": 1})
    change["record"][name] = value
    catalog = Catalog(None)
    is_usable = not problem_of(change)
    if type(value) is int and name == "format" and value > 1:
        return
    catalog.apply([entry(1, change)])
    assert len(catalog.rows("1", ())[1]) + len(catalog.unknown()) == 1
    assert bool(catalog.unknown()) is not is_usable
    catalog.close()


def test_results_of_many_megabytes_are_entered_in_several_entries(
    index: Index, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.index.commits._ENTRY_RECORDS_BYTES_MAX", 4_000)
    records = [make_record(environment={"text": "x" * 1_000}) for _ in range(5)]
    assert set(index.commit(records).values()) == {"added"}
    assert sorted(len(entry.changes) for entry in index.log()) == [1, 2, 2]
    assert len(index.query()) == 5


def test_an_entry_that_nobody_would_read_is_not_written(
    index: Index, memory_store: Any, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.log.entry.ENTRY_BYTES_MAX", 1_000)
    with pytest.raises(FederationError, match=r"a log entry of .* bytes is not written; the limit is 1,000"):
        index.commit([make_record(environment={"text": "x" * 1_000})])
    assert not [key for key in memory_store.objects if key.startswith("index/log/")]


def test_what_has_no_effect_is_said_in_words(index: Index, memory_store: Any, make_record: MakeRecord) -> None:
    index.commit([make_record()])
    log = Log(memory_store, "index/log/", author="mallory")
    log.refresh()
    log.append([{"type": "tag", "name": 5, "alloc_id": "x"}, {"type": "later"}])
    assert len(index.query()) == 1
    assert without_effect(index.unknown_changes()) == [
        "changes that a newer fedml wrote have no effect here: 1 (later)",
        "changes that can't be used have no effect: revision 2 (see fedml index log)",
    ]
    [unreadable] = [
        change for change in index.log()[0].changes + index.log()[-1].changes if change["type"] == "unreadable"
    ]
    assert "name is a number, not a text" in change_text(unreadable)
