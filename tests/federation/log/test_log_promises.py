"""The three promises of a store on which every log rests (federation/log), each by name: that it is kept, what the log
makes of it, and what is seen where it is broken."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from federation.errors import IndexCorrupt
from federation.index.home import make_home
from federation.log import Log, utc_now
from regions.model import StoreConfig
from regions.storage.errors import AlreadyExists, NotSupported
from regions.storage.file.store import FileStore
from regions.storage.store import Create, Store

PREFIX = "index/log/"
FIRST = f"{PREFIX}{1:020d}.json"


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, memory_store: Store, tmp_path: Path) -> Store:
    return memory_store if request.param == "memory" else FileStore(StoreConfig(url=(tmp_path / "home").as_uri()))


def note(text: str) -> dict[str, Any]:
    return {"type": "note", "text": text}


def test_promise_1_of_many_writers_that_create_one_key_exactly_one_succeeds(store: Store) -> None:
    logs = [Log(store, PREFIX, author=f"writer-{number}") for number in range(16)]
    barrier = threading.Barrier(len(logs))
    refused: list[str] = []

    def write(log: Log) -> None:
        _, data = log._draft([note(log._author)], "", "nonce")
        barrier.wait()
        try:
            store.put(FIRST, data, Create())
        except AlreadyExists:
            refused.append(log._author)

    threads = [threading.Thread(target=write, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    [entry] = Log(store, PREFIX, author="reader").refresh()
    assert len(refused) == len(logs) - 1
    assert entry.author not in refused


def test_promise_1_broken_is_found_before_a_store_becomes_a_home(memory_store: Any, monkeypatch: Any) -> None:
    """Looks first and writes then, as some servers do."""
    entered = threading.Barrier(2)
    put = memory_store.put

    def look_then_write(key: str, data: bytes, mode: Any = None, **given: Any) -> Any:
        if not isinstance(mode, Create) or "race-" not in key:
            return put(key, data, **given)
        if key in memory_store.objects:
            raise AlreadyExists(f"{key} is taken")
        try:
            entered.wait(timeout=0.2)
        except threading.BrokenBarrierError:
            pass
        return put(key, data, **given)

    monkeypatch.setattr(memory_store, "put", look_then_write)

    with pytest.raises(NotSupported, match="isn't atomic"):
        make_home(memory_store, utc_now())


def test_promise_2_what_was_created_is_read_back_by_anyone_whole(store: Store) -> None:
    written = Log(store, PREFIX, author="ann").append([note("größe" * 10_000)])

    [read] = Log(store, PREFIX, author="bob").refresh()

    assert read == written


def test_promise_2_late_costs_freshness_and_never_correctness(store: Store, faulty: Any) -> None:
    """A reader that isn't shown the newest entry yet says what was; when it writes, it is refused, and decides anew."""
    Log(store, PREFIX, author="ann").append([note("one")])
    late = faulty(store, fault_rate=0)
    late.script = ["stale", "stale"]
    log = Log(late, PREFIX, author="bob")
    seen: list[str] = []

    def decide(others: list[Any]) -> list[dict[str, Any]]:
        seen.extend(change["text"] for entry in others for change in entry.changes)
        return [note("after " + seen[-1])]

    assert log.refresh() == []
    entry = log.append([note("first")], rebase=decide)

    assert (entry.number, entry.changes[0]["text"], seen) == (2, "after one", ["one"])


@pytest.mark.parametrize("harm", ["changed", "deleted", "added"])
def test_promise_3_broken_is_seen_by_whoever_reads_past_it(store: Store, harm: str) -> None:
    """Something else wrote there."""
    log = Log(store, PREFIX, author="ann")
    for text in ("one", "two", "three"):
        log.append([note(text)])
    second = f"{PREFIX}{2:020d}.json"
    match harm:
        case "changed":
            store.put(second, store.get(second).replace(b"two", b"owt"))
        case "deleted":
            store.delete(second)
        case "added":
            store.put(f"{PREFIX}{4:020d}.json", store.get(FIRST).replace(b'"number":1', b'"number":4'))

    with pytest.raises(IndexCorrupt, match=f"{3 if harm == 'changed' else 2 if harm == 'deleted' else 4:020d}"):
        Log(store, PREFIX, author="reader").refresh()
