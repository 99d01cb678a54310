"""Histories of several writers and readers at once, over a line that loses requests and answers."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.index import Index
from federation.log import Log
from federation.result import ResultRecord
from regions.model import StoreConfig
from regions.storage.errors import Unavailable
from regions.storage.file.store import FileStore
from regions.storage.store import Store
from tests.examples import examples

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]

WRITERS = 8
SLOTS = 6


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, memory_store: Store, tmp_path: Path) -> Store:
    return memory_store if request.param == "memory" else FileStore(StoreConfig(url=(tmp_path / "home").as_uri()))


def at_once(work: Callable[[int], None]) -> None:
    """Run `work(0) … work(WRITERS - 1)` in threads that start together; raise what one of them raised."""
    barrier = threading.Barrier(WRITERS)
    errors: list[BaseException] = []

    def one(writer: int) -> None:
        barrier.wait()
        try:
            work(writer)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=one, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def until_answered(action: Callable[[], Any]) -> tuple[Any, bool]:
    """The answer of an action that may be repeated, and whether it came at the first try."""
    for number in range(200):
        try:
            return action(), number == 0
        except Unavailable:
            continue
    raise AssertionError("never answered")


def changes_in(store: Store) -> list[dict[str, Any]]:
    return [change for entry in Log(store, "index/log/", author="checker").refresh() for change in entry.changes]


@pytest.mark.parametrize("catalogs", ["one for all", "one each"])
@pytest.mark.parametrize("fault_rate", [0.0, 0.15])
def test_every_key_has_one_winner_and_everyone_was_told_the_truth(
    store: Store, faulty: Any, open_index: OpenIndex, make_record: MakeRecord, fault_rate: float, catalogs: str
) -> None:
    open_index(store).open_run("run-1", "sales", "4", "hash", SLOTS, SLOTS)
    records = {writer: [make_record(slot=slot) for slot in range(SLOTS)] for writer in range(WRITERS)}
    told: dict[str, set[str]] = defaultdict(set)

    def write(writer: int) -> None:
        line = faulty(store, seed=writer, fault_rate=fault_rate)
        index = open_index(line, cache="shared" if catalogs == "one for all" else f"own-{writer}")
        mine = records[writer]
        random.Random(writer).shuffle(mine)
        for batch in (mine[:1], mine[1:4], mine[4:]):
            outcomes, at_first_try = until_answered(lambda batch=batch: index.commit(batch))
            for alloc_id, outcome in outcomes.items():
                if at_first_try:
                    assert outcome in ("added", "superseded")
                told[alloc_id].add(outcome)

    at_once(write)

    winners: dict[tuple[int, str], list[str]] = defaultdict(list)
    kinds: dict[str, str] = {}
    for change in changes_in(store):
        if change["type"] == "open":
            continue
        alloc_id, key = change["record"]["alloc_id"], change["record"]["key"]
        assert alloc_id not in kinds, "a result was entered twice"
        kinds[alloc_id] = change["type"]
        if change["type"] == "add":
            winners[key["slot"], key["group"]].append(alloc_id)
    assert {len(won) for won in winners.values()} == {1}
    assert len(winners) == SLOTS
    assert len(kinds) == WRITERS * SLOTS
    meaning = {"add": "added", "supersede": "superseded"}
    for alloc_id, outcomes in told.items():
        assert outcomes <= {meaning[kinds[alloc_id]], "known"}
    rows = open_index(store).query()
    assert {row.alloc_id for row in rows if row.state == "committed"} == {won[0] for won in winners.values()}
    assert len(rows) == WRITERS * SLOTS


@pytest.mark.parametrize("fault_rate", [0.0, 0.15])
def test_next_versions_are_dense_and_never_shared(
    store: Store, faulty: Any, open_index: OpenIndex, fault_rate: float
) -> None:
    open_index(store).open_run("run-0", "other", None, "hash", 1, 1)
    versions: dict[str, str] = {}

    def write(writer: int) -> None:
        index = open_index(faulty(store, seed=writer, fault_rate=fault_rate), cache=f"own-{writer}")
        for number in range(4):
            run = f"run-{writer}-{number}"
            opened, _ = until_answered(lambda run=run: index.open_run(run, "sales", None, "hash", 1, 1))
            versions[run] = opened.version

    at_once(write)

    assert sorted(map(int, versions.values())) == list(range(1, WRITERS * 4 + 1))
    opens = [change for change in changes_in(store) if change["type"] == "open" and change["job"] == "sales"]
    assert [change["version"] for change in opens] == [str(number) for number in range(1, WRITERS * 4 + 1)]
    assert {change["run"]: change["version"] for change in opens} == versions


def test_a_version_is_reserved_however_many_ask_for_one(
    store: Store, open_index: OpenIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience isn't needed while others write: here there is none."""
    monkeypatch.setattr(Log.__init__, "__kwdefaults__", (Log.__init__.__kwdefaults__ or {}) | {"patience_s": 0.0})
    versions: list[str] = []

    def write(writer: int) -> None:
        index = open_index(store, cache=f"own-{writer}")
        versions.extend(index.open_run(f"run-{writer}-{n}", "sales", None, "hash", 1, 1).version for n in range(6))

    at_once(write)
    assert sorted(map(int, versions)) == list(range(1, WRITERS * 6 + 1))


def test_cancel_against_commit_leaves_no_result_after_it(
    store: Store, open_index: OpenIndex, make_record: MakeRecord
) -> None:
    open_index(store).open_run("run-1", "sales", "4", "hash", 40, 40)

    def write(writer: int) -> None:
        index = open_index(store, cache=f"own-{writer}")
        if writer == 0:
            index.close_run("run-1", "cancelled")
            return
        for slot in range(5):
            index.commit([make_record(slot=writer * 10 + slot)])

    at_once(write)

    kinds = [change["type"] for change in changes_in(store)]
    after = kinds[kinds.index("close") + 1 :]
    assert kinds.count("close") == 1
    assert set(after) <= {"late"}
    assert kinds.count("add") + kinds.count("late") == (WRITERS - 1) * 5


def test_readers_see_revisions_only_grow(store: Store, open_index: OpenIndex, make_record: MakeRecord) -> None:
    open_index(store).open_run("run-1", "sales", "4", "hash", 1, 1)
    seen: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def work(writer: int) -> None:
        index = open_index(store, cache="shared" if writer % 2 else f"own-{writer}")
        for number in range(6):
            if writer < 3:
                index.commit([make_record(slot=writer * 10 + number)])
            rows = index.query()
            seen[writer].append((index.revision, len(rows)))

    at_once(work)

    for history in seen.values():
        assert history == sorted(history)
        assert all(count == revision - 1 for revision, count in history)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(0, 2), st.sampled_from([None, "1", "5", "x"])),
        st.tuples(st.just("close"), st.integers(0, 2), st.sampled_from(["done", "failed", "cancelled"])),
        st.tuples(
            st.just("commit"),
            st.integers(0, 2),
            st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=4),
        ),
    ),
    max_size=14,
)


class Model:
    """The index as dictionaries."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.results: dict[str, tuple[str, int, str]] = {}

    def open(self, run: str, version: str | None) -> str:
        if run not in self.versions:
            numbers = [int(known) for known in self.versions.values() if known.isdigit()]
            self.versions[run] = version or str(max(numbers, default=0) + 1)
            self.states[run] = "open"
        return self.versions[run]

    def close(self, run: str, state: str) -> str:
        if self.states[run] != "cancelled" and (self.states[run], state) != ("done", "failed"):
            self.states[run] = state
        return self.states[run]

    def commit(self, run: str, slot: int, alloc_id: str) -> str:
        if alloc_id in self.results:
            return "known"
        taken = any((run, slot, "committed") == known for known in self.results.values())
        state = "late" if self.states.get(run) == "cancelled" else "superseded" if taken else "committed"
        self.results[alloc_id] = (run, slot, state)
        return {"committed": "added"}.get(state, state)


@settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(operations=OPERATIONS, turns=st.lists(st.integers(0, 2), min_size=14, max_size=14))
def test_the_catalog_is_the_fold_of_the_log(
    memory_store: Any, make_record: MakeRecord, operations: list[Any], turns: list[int]
) -> None:
    """Three indexes of one home (two share a catalog) take turns; each answers as a model does, and a new one too."""
    store, model = type(memory_store)(), Model()
    store.put("format.json", b'{"format": 1, "id": "%032x", "created": "now"}' % 7)
    with TemporaryDirectory() as folder:
        indexes = [Index(store, cache_dir=Path(folder, name), author="a") for name in ("shared", "shared", "own")]
        for turn, (kind, number, argument) in zip(turns, operations, strict=False):
            index, run = indexes[turn], f"run-{number}"
            if kind == "open":
                version = model.versions.get(run, argument)
                assert index.open_run(run, "sales", version, "h", 1, 1).version == model.open(run, version)
            elif kind == "close" and run in model.versions:
                assert index.close_run(run, argument) == model.close(run, argument)
            elif kind == "commit":
                each_once = {alloc: slot for slot, alloc in argument}
                batch = [
                    make_record(run=run, slot=slot, alloc_id=f"alloc-{alloc}", version=model.versions.get(run, "x"))
                    for alloc, slot in each_once.items()
                ]
                expected = {record.alloc_id: model.commit(run, record.key.slot, record.alloc_id) for record in batch}
                assert index.commit(batch) == expected
        cold = Index(store, cache_dir=Path(folder, "cold"), author="a")
        for index in (*indexes, cold):
            assert {row.alloc_id: (row.run, row.slot, row.state) for row in index.query()} == model.results
            assert {run.run: (run.version, run.state) for run in index.runs()} == {
                run: (version, model.states[run]) for run, version in model.versions.items()
            }
            index.close()
