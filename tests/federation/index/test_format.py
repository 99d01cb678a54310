"""The first version's format is read for ever: a home store that it wrote, with a change of each kind, and what it says.

`tests/fixtures/index-v1` is never rewritten. `python tests/federation/index/test_format.py FOLDER` writes what would be the
fixture of the present version.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation.index import Index, RunRow
from federation.index.columns import Row
from federation.index.reader import Reader
from federation.log import Log
from federation.result import Key, ResultFile, ResultRecord
from regions.model import StoreConfig
from regions.storage.file.store import FileStore

FIXTURE = Path(__file__).parents[2] / "fixtures" / "index-v1"
KINDS = {
    *("open", "close", "add", "supersede", "late", "tag", "untag", "note", "retire"),
    *("locate", "sign", "doom", "spare", "remove", "freed", "prophesy"),
}


def _of_the_first_version(run: RunRow) -> dict[str, Any]:
    """A run as the first version told it, which knew neither its author nor a name."""
    assert (run.author, run.name) == ("ann@workstation", "")
    return {name: value for name, value in dataclasses.asdict(run).items() if name not in ("author", "name")}


def _row_of_the_first_version(row: Row) -> dict[str, Any]:
    """A row as the first version told it, which knew no code."""
    assert row.code == ""
    return {name: value for name, value in dataclasses.asdict(row).items() if name != "code"}


def answers(index: Reader) -> dict[str, Any]:
    """All that can be asked of an index, as JSON has it."""
    every = index.query(where="state like '%'")
    told = {
        "rows": [_row_of_the_first_version(row) for row in every],
        "revision": index.revision,
        "runs": [_of_the_first_version(run) for run in index.runs()],
        "tags": [dataclasses.asdict(tag) for tag in index.tags()],
        "history": [dataclasses.asdict(move) for move in index.tag_history("production")],
        "notes": {row.alloc_id: [dataclasses.asdict(note) for note in index.notes(row)] for row in every},
        "lineage": {row.alloc_id: dataclasses.asdict(index.lineage(row)) for row in every},
        "records": {row.alloc_id: index.record(row).to_dict() for row in every},
        "log": [dataclasses.asdict(entry) for entry in index.log()],
        "unknown": index.unknown_changes(),
    }
    return dict(json.loads(json.dumps(told)))


def opened(home: Path, cache: Path) -> Index:
    return Index(FileStore(StoreConfig(url=home.as_uri())), cache_dir=cache, author="reader@host")


@pytest.fixture
def index(tmp_path: Path) -> Any:
    shutil.copytree(FIXTURE / "home", tmp_path / "home")
    made = opened(tmp_path / "home", tmp_path / "cache")
    yield made
    made.close()


def test_what_the_first_version_wrote_says_what_it_said(index: Index) -> None:
    expected = json.loads((FIXTURE / "answers.json").read_text())

    assert answers(index) == expected["now"]
    for revision, then in expected["then"].items():
        assert answers(index.at(revision)) == then
    kinds = {change["type"] for entry in index.log() for change in entry.changes}
    assert kinds == KINDS


def test_it_is_gone_on_with(index: Index) -> None:
    head = index.log()[-1].number

    index.note("production", "written by a later version")

    assert index.log()[-1].number == head + 1
    assert index.open_run("run-9", "sales", None, "h", 1, 1).version == "5"


def write(folder: Path) -> None:
    """A home with a change of each kind, and what the index then says, now and at some revisions."""
    now = datetime(2026, 11, 24, 10, tzinfo=UTC)

    def clock() -> datetime:
        nonlocal now
        now += timedelta(minutes=1)
        return now

    def record(number: int, run: str, slot: int, **given: Any) -> ResultRecord:
        fields: dict[str, Any] = {
            "metrics": {"auc": 0.7 + number / 100, "steps": 10**number, "note": "größer", "ok": True},
            "params": {"lr": "0.1", "模型": "x"},
            "environment": {"python": "3.11.7", "git_commit": "9f3c2ab"},
        }
        return ResultRecord(
            key=Key(run, slot, "train", 0),
            attempt=1,
            job="sales",
            version="4",
            spec_hash="5pec",
            region=["us", "eu"][number % 2],
            datacenter="dc1",
            node="node-1",
            alloc_id=f"{number:08d}-0000-4000-8000-000000000000",
            job_id=f"sales/dispatch-{number}",
            store="s3://models-us?endpoint=http://127.0.0.1:9000",
            manifest_sha256=f"{number:064d}",
            files=(ResultFile("model/größe.bin", 1000 * number, "0" * 64),),
            created="2026-11-24T11:00:00+01:00",
            **(fields | given),
        )

    class Clockless(FileStore):
        def server_time(self) -> datetime | None:
            return None

    home = Clockless(StoreConfig(url=(folder / "home").as_uri()))
    index = Index(home, cache_dir=folder / "cache", author="ann@workstation", clock=clock)
    odd = {"metrics": {"auc": float("nan"), "loss": float("inf"), 'a "b"': -1.5}}
    index.open_run("run-1", "sales", "4", "5pec", 3, 3)
    index.commit([record(1, "run-1", 0), record(2, "run-1", 1, **odd)])
    index.commit([record(3, "run-1", 0), record(4, "run-1", 2, environment={"parent": f"{1:08d}"})])
    index.close_run("run-1", "done")
    index.open_run("run-2", "sales", "4", "5pec", 1, 1)
    index.close_run("run-2", "cancelled", "wrong data")
    index.commit([record(5, "run-2", 0), record(6, "nomad:us/child", 0)])
    first, second, _, fourth = (f"{number:08d}" for number in range(1, 5))
    index.tag("production", first, reason="first")
    index.tag("production", second, if_current=first)
    index.tag("staging", fourth)
    index.untag("staging")
    index.rollback("production", reason="slow")
    index.note(first, "served since Monday")
    index.retire([second, fourth], reason="broken export")
    index.retire([fourth], is_undone=True)
    log = Log(home, "index/log/", author="bob@laptop", clock=clock)
    log.refresh()
    whole = {number: f"{number:08d}-0000-4000-8000-000000000000" for number in range(1, 7)}
    signature = {"manifest_sha256": f"{1:064d}", "public_key": "cHVibGlj", "signature": "c2lnbmVk"}
    log.append([{"type": "locate", "alloc_id": whole[1], "store": "gs://copies"}])
    log.append([{"type": "sign", "alloc_id": whole[1], **signature}])
    log.append([{"type": "doom", "alloc_id": whole[number], "until": "2026-12-24T00:00:00Z"} for number in (3, 6)])
    log.append([{"type": "spare", "alloc_id": whole[3]}, {"type": "remove", "alloc_id": whole[6]}])
    log.append([{"type": "freed", "alloc_id": whole[6], "size_bytes": 6000}, {"type": "prophesy", "deep": [1, None]}])
    then = {str(revision): answers(index.at(str(revision))) for revision in (3, 9, 12)}
    (folder / "answers.json").write_text(
        json.dumps({"now": answers(index), "then": then}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    )
    index.close()
    for left in (folder / "cache", *folder.rglob(".fedml-meta")):
        shutil.rmtree(left)


if __name__ == "__main__":
    write(Path(sys.argv[1]).absolute())
