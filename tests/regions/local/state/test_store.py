from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from regions.local.server.worker import Worker
from regions.local.state import job_writes, journal
from regions.local.state.events import EventsLost
from regions.local.state.store import Store
from tests.regions.local.state.builders import (
    StillClient,
    contents,
    dispatch,
    ended,
    job,
    parameterized,
    register,
    store_with,
)


def _session(store: Store) -> list[dict[str, Any]]:
    """A life with every kind of change; what the state was after each commit."""
    seen = [contents(store.snapshot)]
    commit = store.commit

    def noted(kind: str, operation: Any) -> Any:
        result = commit(kind, operation)
        seen.append(contents(store.snapshot))
        return result

    store.commit = noted  # type: ignore[method-assign]
    worker = Worker(store, StillClient())
    register(store, parameterized())
    for slot in range(6):
        dispatch(store, slot=str(slot), token=f"token-{slot}")
    register(store, job("plain", count=2))
    register(store, job("plain", count=1, Meta={"a": "b"}))
    for evaluation in list(store.snapshot.evals.values()):
        worker._process(evaluation["ID"])
    allocs = list(store.snapshot.allocs.values())
    worker.on_update([ended(allocs[0]["ID"]), ended(allocs[1]["ID"], "failed")])
    worker._unblock()
    store.commit("JobDeregistered", lambda txn: job_writes.deregister(txn, "default", "plain", purge=True, now_ns=1))
    store.commit("JobDeregistered", lambda txn: job_writes.deregister(txn, "default", "train", purge=False, now_ns=1))
    return seen


def test_killed_after_any_commit_or_in_the_middle_of_one_it_is_what_it_was(tmp_path: Path) -> None:
    store = store_with(tmp_path / "life")
    seen = _session(store)
    lines = (tmp_path / "life" / "data" / "state.jsonl").read_bytes().splitlines(keepends=True)
    by_index = {one["index"]: one for one in seen}
    assert len(lines) > 25
    for count in range(1, len(lines) + 1):
        folder = tmp_path / "again"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        torn = lines[count][: len(lines[count]) // 2] if count < len(lines) else b""
        (folder / "state.jsonl").write_bytes(b"".join(lines[:count]) + torn)
        again = Store(folder)
        assert contents(again.snapshot) == by_index[again.snapshot.index]
        again.close()
        assert (folder / "state.jsonl").read_bytes() == b"".join(lines[:count])


def test_a_rewritten_journal_holds_the_same_state_and_shares_the_parents_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(tmp_path)
    last = _session(store)[-1]
    store.close()
    monkeypatch.setattr(journal, "_REWRITE_AT_START_BYTES", 0)
    Store(tmp_path / "data").close()
    assert len((tmp_path / "data" / "state.jsonl").read_bytes().splitlines()) == 1
    again = Store(tmp_path / "data").snapshot
    assert contents(again) == last
    children = [one for one in again.jobs.values() if one["ParentID"]]
    assert len({id(child["TaskGroups"]) for child in children}) == 1


def test_nothing_happened_when_an_operation_refuses_or_changes_nothing(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    before = store.snapshot

    def refuse(transaction: Any) -> None:
        transaction.put_job(job())
        raise job_writes.Refused("no")

    with pytest.raises(job_writes.Refused):
        store.commit("JobRegistered", refuse)
    store.commit("JobRegistered", lambda _transaction: None)
    assert store.snapshot is before


def test_a_parents_summary_counts_its_children(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    worker = Worker(store, StillClient())
    register(store, parameterized(cpu=1000))
    for slot in range(4):
        dispatch(store, slot=str(slot))
    for evaluation in list(store.snapshot.evals.values()):
        worker._process(evaluation["ID"])
    children = store.snapshot.summaries.get(("default", "train"))["Children"]
    assert children == {"Pending": 2, "Running": 2, "Dead": 0}
    worker.on_update([ended(next(store.snapshot.allocs.values())["ID"])])
    assert store.snapshot.summaries.get(("default", "train"))["Children"] == {"Pending": 2, "Running": 1, "Dead": 1}
    worker._unblock()
    assert store.snapshot.summaries.get(("default", "train"))["Children"] == {"Pending": 1, "Running": 2, "Dead": 1}


def test_events_begin_at_an_index_and_a_follower_that_is_too_slow_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path, event_buffer=3)
    register(store, parameterized())
    position = store.events.position(0)
    dispatch(store)
    dispatch(store)
    with pytest.raises(EventsLost):
        store.events.read(position, 0)
    position, batches = store.events.read(store.events.position(4), 0)
    assert [index for index, _ in batches] == [4, 5]
    assert store.events.read(position, 0) == (position, [])
    assert store.events.position(1000) == position - 1


def test_an_idempotency_token_lives_as_long_as_its_child(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    register(store, parameterized())
    first = dispatch(store, token="once")
    assert dispatch(store, token="once")["ID"] == first["ID"]
    store.commit(
        "JobDeregistered", lambda txn: job_writes.deregister(txn, "default", first["ID"], purge=True, now_ns=1)
    )
    assert dispatch(store, token="once")["ID"] != first["ID"]


def test_what_could_not_be_written_did_not_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_with(tmp_path)
    before = store.snapshot
    written = (tmp_path / "data" / "state.jsonl").read_bytes()

    def full(file: int, data: bytes) -> None:
        os.write(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal, "_write_all", full)
    with pytest.raises(OSError, match="No space left"):
        register(store, parameterized())
    assert store.snapshot is before
    assert (tmp_path / "data" / "state.jsonl").read_bytes() == written
    monkeypatch.undo()
    register(store, parameterized())
    store.close()
    assert contents(Store(tmp_path / "data").snapshot) == contents(store.snapshot)


def test_a_folder_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    with pytest.raises(journal.StateInUse):
        Store(tmp_path / "data")
    store.close()
    Store(tmp_path / "data").close()
