"""`--at`: what the index answers for an earlier revision or time is what it answered then."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from federation.errors import UsageError
from federation.index import Index
from federation.index.catalog.fold import TABLES
from federation.index.reader import Reader
from federation.index.time_travel import _LATER
from federation.log import Log
from federation.result import ResultRecord

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]

HISTORIES = 2500 if os.environ.get("SOAK") else 150
STEPS = 9
IN_A_FILE = 10
"""Every 10th history has its catalog in a file, the others in memory, as where no file can be had."""
TAGS = ["production", "staging"]


def seen(index: Reader) -> Any:
    """All that can be asked of an index."""
    every = " or ".join(f"state = '{state}'" for state in ("committed", "superseded", "late", "retired"))
    rows = index.query(where=every)
    tables = ("location", "signature", "doom", "removed", "holder", "note", "unknown")
    return {
        "rows": rows,
        "found": index.query(where="metrics.auc > 0.5 or tag is not null", sort="metrics.auc:desc")
        if any("auc" in row.metrics for row in rows)
        else [],
        "revision": index.revision,
        "runs": index.runs(),
        "latest": index.latest_version("sales"),
        "tags": index.tags(),
        "histories": [index.tag_history(name) for name in TAGS],
        "notes": [index.notes(row) for row in rows],
        "by tag": [index.find(name) for name in TAGS],
        "log": index.log(),
        "unknown": index.unknown_changes(),
        "tables": [index.ask(lambda catalog, table=table: catalog.table(f"SELECT * FROM {table}")) for table in tables],
        "fields": index.ask(lambda catalog: catalog.fields()),
    }


def step(index: Index, draw: random.Random, make_record: MakeRecord, store: Any) -> None:
    """Something that a person or a run may do; what is refused is as good as any other step."""
    run = f"run-{draw.randint(0, 2)}"
    known = [row.alloc_id for row in index.query()]
    one = draw.choice(known) if known else ""
    match draw.randint(0, 11):
        case 0:
            index.open_run(run, "sales", None, "h", 1, 1)
        case 1 if index.runs(run=run):
            index.close_run(run, draw.choice(["done", "failed", "cancelled"]), "because")
        case 2 | 3 | 4 | 5:
            name = draw.choice(["auc", "loss"])
            index.commit([make_record(run=run, slot=draw.randint(0, 3), version="1", metrics={name: draw.random()})])
        case 6 | 7 if one:
            index.tag(draw.choice(TAGS), one, reason="why")
        case 8 if index.tags():
            index.untag(index.tags()[0].name)
        case 9 if one:
            index.retire([one], is_undone=draw.random() < 0.3)
        case 10 if one:
            index.note(one, f"note {draw.random()}")
        case 11 if one:
            changes = [
                {"type": "locate", "alloc_id": one, "store": "memory://copy"},
                {"type": "doom", "alloc_id": one, "until": "2027-01-01T00:00:00Z"},
                {"type": "prophesy", "alloc_id": one},
            ]
            Log(store, "index/log/", author="other").append([draw.choice(changes)])


@pytest.mark.parametrize("part", range(8))
def test_every_revision_is_what_was_seen_then(memory_store: Any, make_record: MakeRecord, part: int) -> None:
    kinds: set[str] = set()
    for seed in range(part, HISTORIES, 8):
        store, draw = type(memory_store)(), random.Random(seed)
        store.put("format.json", b'{"format": 1, "id": "%032x", "created": "now"}' % 7)
        with TemporaryDirectory() as folder:
            Path(folder, "no-folder").touch()
            places = ("a", "cold") if seed // 8 % IN_A_FILE == 0 else ("no-folder", "no-folder")
            index = Index(store, cache_dir=Path(folder, places[0]), author="a@b")
            then: dict[int, Any] = {}
            for _ in range(STEPS):
                try:
                    step(index, draw, make_record, store)
                except UsageError:
                    pass
                found = seen(index)
                then[found["revision"]] = found
            kinds |= {change["type"] for entry in index.log() for change in entry.changes}
            requests = len(store.requests)
            for revision, expected in then.items():
                past = index.at(str(revision))
                assert seen(past) == expected, (seed, revision)
                past.close()
            assert len(store.requests) - requests <= 2 * len(then)  # the tail is looked at, nothing is read again
            cold = Index(store, cache_dir=Path(folder, places[1]), author="a")
            if then:
                assert seen(cold.at(str(max(then)))) == then[max(then)]
            assert seen(index) == then[max(then)]
            index.close()
            cold.close()
    assert kinds >= {"open", "add", "supersede", "tag", "untag", "retire", "note", "locate", "prophesy"}


def test_every_table_is_told_how_to_go_back() -> None:
    """A table that records fill must be among those that are cut by revision; one that only events fill need not."""
    written_by_records = {"result", "field", "metric", "parent", "version"}

    assert written_by_records | {"run", "entry"} == set(_LATER)
    assert all(f"CREATE TABLE {table} " in TABLES for table in _LATER)


@pytest.fixture
def clocked(open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> Index:
    """Three revisions, one an hour from 10:00."""
    now = datetime(2026, 11, 24, 9, tzinfo=UTC)

    def clock() -> datetime:
        return now

    memory_store.clock = clock
    index = open_index(memory_store, clock=clock)
    for _ in range(3):
        now += timedelta(hours=1)
        index.commit([make_record()])
    now += timedelta(minutes=30)
    return index


@pytest.mark.parametrize(
    ("when", "count"),
    [
        ("0", 0),
        ("1", 1),
        ("3", 3),
        (" 2 ", 2),
        ("2026-11-24T09:59:59Z", 0),
        ("2026-11-24T10:00:00Z", 1),
        ("2026-11-24T12:00:00+01:00", 2),
        ("2026-11-24T11:59:59.999999Z", 2),
        ("2026-11-24T12:30:00Z", 3),
    ],
)
def test_a_revision_or_a_time_with_a_zone(clocked: Index, when: str, count: int) -> None:
    past = clocked.at(when)

    assert len(past.query()) == count
    assert past.revision == count


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("4", "revision 4 is in the future: the index is at 3"),
        ("99999999999999999999999", "neither a revision nor a time"),
        ("2026-11-24T12:30:01Z", "in the future"),
        ("2026-11-24T12:00:00", "neither a revision nor a time with a zone"),
        ("2026-11-24", "neither a revision nor a time with a zone"),
        ("yesterday", "neither a revision nor a time with a zone"),
        ("-1", "neither a revision nor a time with a zone"),
        ("", "neither a revision nor a time with a zone"),
    ],
)
def test_the_future_and_a_time_without_zone_are_refused(clocked: Index, when: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        clocked.at(when)


def test_the_past_does_not_change_the_present(clocked: Index) -> None:
    before = clocked.query()

    clocked.at("1").close()

    assert clocked.query() == before
    assert clocked.record(before[0]).alloc_id == before[0].alloc_id
    past = clocked.at("1")
    assert past.record(past.query()[0]).alloc_id == before[-1].alloc_id
