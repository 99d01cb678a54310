"""Real processes that are killed while they commit: what was told stands, what was not told is whole or absent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from federation.index import Index
from federation.log import Log
from federation.result import ResultRecord
from regions.model import StoreConfig
from regions.storage.file.store import FileStore

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]

WRITER = """
import itertools, pathlib, sys
from federation.index import Index
from federation.result import Key, ResultRecord
from regions.model import StoreConfig
from regions.storage.file.store import FileStore

home, cache, name = sys.argv[1:]
index = Index(FileStore(StoreConfig(url=home)), cache_dir=pathlib.Path(cache), author=name)
for slot in itertools.count():
    record = ResultRecord(
        Key("run-1", slot, "train", 0), 1, "sales", "4", "hash", "us", "dc1", "us-1", f"{name}-{slot}", "child",
        "memory://us", "m" * 64, (), "2026-11-24T10:00:00Z",
    )
    outcome = index.commit([record])[record.alloc_id]
    print(slot, outcome, flush=True)
"""


@pytest.mark.parametrize("commits_before_kill", [1, 2, 7])
def test_two_writers_killed_at_work(
    tmp_path: Path, open_index: OpenIndex, make_record: MakeRecord, commits_before_kill: int
) -> None:
    home = (tmp_path / "home").as_uri()
    store = FileStore(StoreConfig(url=home))
    open_index(store, cache="shared").open_run("run-1", "sales", "4", "hash", 1, 1)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, home, str(tmp_path / "shared"), name], stdout=subprocess.PIPE, text=True
        )
        for name in ("ann", "bob")
    ]
    told: dict[str, str] = {}
    for name, writer in zip(("ann", "bob"), writers, strict=True):
        assert writer.stdout is not None
        for _ in range(commits_before_kill):
            slot, outcome = writer.stdout.readline().split()
            told[f"{name}-{slot}"] = outcome
        writer.kill()
        rest, _ = writer.communicate()
        told.update((f"{name}-{line.split()[0]}", line.split()[1]) for line in rest.splitlines())

    index = open_index(store, cache="shared")
    rows = {row.alloc_id: row for row in index.query()}

    meaning = {"added": "committed", "superseded": "superseded"}
    assert {alloc_id: rows[alloc_id].state for alloc_id in told} == {
        alloc_id: meaning[outcome] for alloc_id, outcome in told.items()
    }
    assert len(rows) - len(told) <= len(writers)  # at most the one that each was writing
    committed = [row.slot for row in rows.values() if row.state == "committed"]
    assert len(set(committed)) == len(committed)
    assert {row.alloc_id: row.state for row in open_index(store).query()} == {
        alloc_id: row.state for alloc_id, row in rows.items()
    }
    assert len(Log(store, "index/log/", author="reader").refresh()) == len(rows) + 1
    record = make_record(slot=10_000)
    assert index.commit([record]) == {record.alloc_id: "added"}
