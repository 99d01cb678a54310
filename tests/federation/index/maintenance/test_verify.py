"""Faults planted in the log and the stores: each is found, named, and told with what mends it; nothing else is."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation.index.catalog.checkpoint import checkpoint_key
from federation.index.home import entry_key
from federation.index.maintenance.copy import copy_result
from federation.index.maintenance.problem import KINDS
from federation.index.maintenance.verify import Verified, verify
from federation.log import Log
from federation.result import Key, ResultRecord
from regions.storage.errors import Unavailable
from regions.storage.store import Create

Clouds = Any
Plant = Callable[[Clouds, ResultRecord], object]


def look(clouds: Clouds, **given: Any) -> Verified:
    given = {"now": datetime.now(UTC) + timedelta(hours=2)} | given
    return verify(clouds.home, clouds.store, clouds.names, **given)


def kinds(verified: Verified) -> list[str]:
    return sorted(problem.kind for problem in verified.problems)


def file_of(clouds: Clouds, key: str, store: str = "us") -> Path:
    return Path(clouds.root / store / key)


def overwrite(clouds: Clouds, key: str, data: bytes, store: str = "us") -> None:
    """As somebody with a text editor does it, behind the store's back."""
    file_of(clouds, key, store).write_bytes(data)


def model(record: ResultRecord) -> str:
    return record.artifact_prefix + "model/model.bin"


def record_key(record: ResultRecord) -> str:
    return record.key.record_key(record.alloc_id)


def flip_byte(clouds: Clouds, record: ResultRecord) -> None:
    data = bytearray(file_of(clouds, model(record)).read_bytes())
    data[7] ^= 1
    overwrite(clouds, model(record), bytes(data))


def publish_again_elsewhere(clouds: Clouds, record: ResultRecord) -> None:
    other = ResultRecord.from_dict(
        record.to_dict() | {"key": {"run": "run-1", "slot": 7, "group": "train", "index": 0}}
    )
    clouds.us.put(record_key(record), other.to_json())


def change_entry(clouds: Clouds, number: int, **fields: Any) -> None:
    document = json.loads(clouds.home.get(entry_key(number))) | fields
    clouds.home.put(entry_key(number), json.dumps(document).encode())


def forge(clouds: Clouds, *changes: dict[str, Any]) -> None:
    """The next entry, well chained, by somebody who doesn't use our program."""
    log = Log(clouds.home, "index/log/", author="mallory")
    log.refresh()
    log.append(list(changes))


def wrong_manifest(clouds: Clouds, record: ResultRecord) -> None:
    clouds.publish(5, manifest_sha256="a" * 64)


def change_copy(clouds: Clouds, record: ResultRecord) -> None:
    """The result lies in a second store too, and there a byte is another one."""
    copy_result(clouds.index, clouds.store, clouds.index.result(record.alloc_id), clouds.eu.url)
    data = bytearray(file_of(clouds, model(record), "eu").read_bytes())
    data[7] ^= 1
    overwrite(clouds, model(record), bytes(data), "eu")


def checkpoint_of_another_log(clouds: Clouds, _: ResultRecord) -> None:
    catalog = clouds.root / "another.sqlite"
    shutil.copy(clouds.index._local.path, catalog)
    with closing(sqlite3.connect(catalog, isolation_level=None)) as db:
        db.execute("UPDATE position SET sha256 = ?", ("f" * 64,))
    clouds.home.put(checkpoint_key(5), gzip.compress(catalog.read_bytes()))


FAULTS: dict[str, tuple[str, Plant]] = {
    "a lost artifact": (
        "artifact-missing",
        lambda clouds, record: [clouds.us.delete(record.artifact_prefix + file.path) for file in record.files],
    ),
    "a lost file": ("file-missing", lambda clouds, record: clouds.us.delete(model(record))),
    "a flipped byte": ("file-changed", flip_byte),
    "a truncated file": ("file-size", lambda clouds, record: overwrite(clouds, model(record), b"mod")),
    "an added file": ("file-extra", lambda clouds, record: clouds.us.put(record.artifact_prefix + "evil.pkl", b"x")),
    "a lost record": ("record-missing", lambda clouds, record: clouds.us.delete(record_key(record))),
    "a torn record": ("record-torn", lambda clouds, record: overwrite(clouds, record_key(record), b'{"format": 1,')),
    "a changed record": (
        "record-differs",
        lambda clouds, record: clouds.us.put(
            record_key(record), ResultRecord.from_dict(record.to_dict() | {"metrics": {"auc": 0.99}}).to_json()
        ),
    ),
    "a record under a wrong key": ("record-misplaced", publish_again_elsewhere),
    "a record that isn't in the index": ("record-orphan", lambda clouds, _: clouds.publish(9, commit=False)),
    "files without a record": (
        "artifact-orphan",
        lambda clouds, _: clouds.eu.put(Key("run-x", 0, "train", 0).artifact_prefix("a1", "f" * 64) + "half.bin", b"x"),
    ),
    "an object that is nothing": ("object-stray", lambda clouds, _: clouds.eu.put("results/readme.txt", b"hello")),
    "a gap in the log": ("entry-missing", lambda clouds, _: clouds.home.delete(entry_key(2))),
    "a torn entry": ("entry-torn", lambda clouds, _: overwrite(clouds, entry_key(3), b'{"form', "home")),
    "a stray object in the log": ("entry-stray", lambda clouds, _: clouds.home.put("index/log/3.json", b"{}")),
    "a rewritten entry": ("chain-forked", lambda clouds, _: change_entry(clouds, 2, author="mallory")),
    "a forged last entry": (
        "second-winner",
        lambda clouds, record: forge(
            clouds, {"type": "add", "record": record.to_dict() | {"alloc_id": "f0f0f0f0", "attempt": 9}}
        ),
    ),
    "a result entered twice": (
        "entered-twice",
        lambda clouds, record: forge(clouds, {"type": "supersede", "record": record.to_dict()}),
    ),
    "a change that is none": ("change-unreadable", lambda clouds, _: forge(clouds, {"type": "close", "run": ["x"]})),
    "files that aren't the manifest's": ("manifest-wrong", wrong_manifest),
    "a torn format.json": ("format-torn", lambda clouds, _: overwrite(clouds, "format.json", b'{"format": 1', "home")),
    "a torn checkpoint": ("checkpoint-torn", lambda clouds, _: clouds.home.put(checkpoint_key(3), b"torn")),
    "a rebuild that was broken off": (
        "rebuild-unfinished",
        lambda clouds, _: forge(clouds, {"type": "rebuild", "is_done": False}),
    ),
    "a changed copy in another store": ("file-changed", change_copy),
    "a checkpoint of another log": ("checkpoint-torn", checkpoint_of_another_log),
    "a lost format.json": ("format-missing", lambda clouds, _: clouds.home.delete("format.json")),
}


@pytest.fixture
def record(clouds: Clouds) -> ResultRecord:
    """Four entries: a closed run with two results, one superseded result."""
    clouds.index.open_run("run-1", "sales", "4", "5pec", 2, 2)
    first: ResultRecord = clouds.publish(0)
    clouds.publish(1, region="eu")
    clouds.publish(1, region="us", attempt=2)
    clouds.index.close_run("run-1", "done")
    return first


def test_nothing_is_wrong_where_nothing_is(clouds: Clouds, record: ResultRecord) -> None:
    verified = look(clouds, deep=True, remembered=clouds.index.remembered())

    assert verified.problems == ()
    assert (verified.revision, verified.results, verified.stores, verified.in_flight) == (5, 3, 2, 0)
    assert verified.read_bytes == sum(
        info.size_bytes for at in (clouds.us, clouds.eu) for info in at.list("artifacts/")
    )
    last = file_of(clouds, entry_key(5), "home").read_bytes()
    assert verified.head == hashlib.sha256(last).hexdigest()
    assert look(clouds).read_bytes == 0


def test_a_checkpoint_of_another_version_of_fedml_is_not_a_fault(clouds: Clouds, record: ResultRecord) -> None:
    catalog = clouds.root / "older.sqlite"
    shutil.copy(clouds.index._local.path, catalog)
    with closing(sqlite3.connect(catalog, isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 1")
    clouds.home.put(checkpoint_key(5), gzip.compress(catalog.read_bytes()))

    assert look(clouds).problems == ()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_named(clouds: Clouds, record: ResultRecord, fault: str) -> None:
    kind, plant = FAULTS[fault]
    plant(clouds, record)

    found = look(clouds, deep=True).problems

    named = [problem for problem in found if problem.kind == kind]
    assert named, f"{fault} was not found, only {found}"
    assert all(problem.what and problem.where.startswith("file://") and problem.mend for problem in named)
    assert {problem.kind for problem in found} <= KINDS.keys()
    in_the_log = {
        "entry-missing",
        "entry-torn",
        "second-winner",
        "change-unreadable",
    }  # what follows from them is told too
    if kind not in in_the_log:
        assert [problem.kind for problem in found if problem.kind != kind] == []


@pytest.mark.parametrize(
    "fault", ["a lost file", "a truncated file", "a lost record", "a torn record", "a gap in the log"]
)
def test_most_faults_are_found_without_reading_artifacts(clouds: Clouds, record: ResultRecord, fault: str) -> None:
    kind, plant = FAULTS[fault]
    plant(clouds, record)

    verified = look(clouds)

    assert kind in kinds(verified)
    assert verified.read_bytes == 0


def test_several_faults_at_once_are_all_told(clouds: Clouds, record: ResultRecord) -> None:
    for fault in ("a flipped byte", "a lost record", "an added file", "files without a record", "a torn format.json"):
        FAULTS[fault][1](clouds, record)

    assert kinds(look(clouds, deep=True)) == [
        "artifact-orphan",
        "file-changed",
        "file-extra",
        "format-torn",
        "record-missing",
    ]


def test_a_rewritten_log_is_seen_by_whoever_read_it_before(clouds: Clouds, record: ResultRecord) -> None:
    remembered = clouds.index.remembered()
    before = look(clouds)
    rewrite_all(clouds, author="mallory")

    assert kinds(look(clouds)) == []  # the new chain holds
    assert set(kinds(look(clouds, remembered=remembered))) == {"entry-rewritten"}
    told = look(clouds, head=before.head[:16])
    assert kinds(told) == ["head-unknown"]
    assert look(clouds, head=told.head).problems == ()


def rewrite_all(clouds: Clouds, **fields: Any) -> None:
    previous = ""
    for number in range(1, look(clouds).revision + 1):
        change_entry(clouds, number, previous=previous, **fields)
        previous = hashlib.sha256(file_of(clouds, entry_key(number), "home").read_bytes()).hexdigest()


def test_a_log_that_was_cut_is_seen_by_whoever_read_it_before(clouds: Clouds, record: ResultRecord) -> None:
    remembered = clouds.index.remembered()
    head = look(clouds).head
    clouds.home.delete(entry_key(5))
    clouds.home.delete(entry_key(4))

    assert kinds(look(clouds, remembered=remembered)) == ["tail-missing"]  # and the run is open again
    assert "head-unknown" in kinds(look(clouds, head=head))


def test_what_an_open_run_published_is_no_fault(clouds: Clouds) -> None:
    clouds.index.open_run("run-1", "sales", "4", "5pec", 2, 2)
    clouds.publish(0, commit=False)
    clouds.us.put(Key("run-1", 1, "train", 0).artifact_prefix("a1", "f" * 64) + "half.bin", b"x")

    verified = look(clouds)

    assert verified.problems == ()
    assert verified.in_flight == 2


def test_what_a_publish_is_writing_is_no_fault(clouds: Clouds, record: ResultRecord) -> None:
    clouds.us.put(Key("nomad:us/x", 1, "train", 0).artifact_prefix("a1", "f" * 64) + "half.bin", b"x")

    assert look(clouds, now=None).in_flight == 1
    assert kinds(look(clouds)) == ["artifact-orphan"]


def test_what_others_write_meanwhile_is_no_fault(clouds: Clouds, record: ResultRecord) -> None:
    committed: list[str] = []

    def store(url: str, result: Any = None) -> Any:
        if not committed:  # after the log was read, before the stores are looked at
            committed.append(clouds.publish(0, run="nomad:us/x").alloc_id)
        return clouds.store(url)

    found = verify(clouds.home, store, clouds.names)

    assert found.problems == ()
    assert found.results == 4


def test_a_store_that_cannot_be_read_is_told_and_the_others_are_looked_at(clouds: Clouds, record: ResultRecord) -> None:
    clouds.eu.delete(record_key_of_eu(clouds))

    def store(url: str, result: Any = None) -> Any:
        if url == clouds.us.url:
            raise Unavailable("no answer", store=url)
        return clouds.store(url)

    found = verify(clouds.home, store, clouds.names)

    assert kinds(found) == ["record-missing", "store-unreachable"]


def record_key_of_eu(clouds: Clouds) -> str:
    return next(iter(clouds.eu.list("results/"))).key


def test_an_artifact_with_another_copy_says_where_to_copy_it_from(clouds: Clouds, record: ResultRecord) -> None:
    for file in record.files:
        clouds.eu.put(record.artifact_prefix + file.path, clouds.us.get(record.artifact_prefix + file.path))
    clouds.eu.put(record_key(record), record.to_json(), Create())
    clouds.index.change(lambda _: [{"type": "locate", "alloc_id": record.alloc_id, "store": clouds.eu.url}])
    assert look(clouds, deep=True).problems == ()
    clouds.us.delete(model(record))

    (problem,) = look(clouds).problems

    assert problem.kind == "file-missing"
    assert f"fedml index copy {record.alloc_id[:8]} {clouds.us.url}" in problem.mend


def test_verify_writes_nothing(clouds: Clouds, record: ResultRecord) -> None:
    before = sorted(info.key for store in (clouds.home, clouds.us, clouds.eu) for info in store.list())

    look(clouds, deep=True)

    assert sorted(info.key for store in (clouds.home, clouds.us, clouds.eu) for info in store.list()) == before


def test_an_adopted_result_has_no_record_but_its_objects_are_looked_at(clouds: Clouds) -> None:
    adopted = clouds.publish(
        0, run="nomad:us:4", prefix="mine/", files={"model.bin": b"x" * 5}, environment={"adopted": "mine/{alloc_id}"}
    )
    clouds.us.delete(adopted.key.record_key(adopted.alloc_id))
    clouds.us.put("mine/other.bin", b"another's")
    assert look(clouds, deep=True).problems == ()
    clouds.us.put("mine/model.bin", b"y" * 5)
    assert kinds(look(clouds, deep=True)) == ["file-changed"]
    clouds.us.delete("mine/model.bin")
    assert kinds(look(clouds)) == ["artifact-missing"]
