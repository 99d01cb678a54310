"""The index's log is lost or damaged: what it said of results comes back, whatever survived; what can't be known is told."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from federation.errors import IndexCorrupt, IndexLost, LogConflict, UsageError
from federation.index import Index
from federation.index.catalog.checkpoint import checkpoints, write_checkpoint
from federation.index.home import LOG_PREFIX, entry_key
from federation.index.maintenance.gc import run_gc
from federation.index.maintenance.rebuild import apply_rebuild, plan_rebuild
from federation.index.maintenance.rebuild_plan import RebuildPlan
from federation.index.maintenance.retention import Retention
from federation.index.maintenance.verify import verify
from federation.log import Log
from federation.manifest import Manifest
from federation.workflows.index_rebuild import logged_end
from regions.storage.errors import Unavailable

Clouds = Any


def manifest(run: str, *, slots: int = 2, version: str = "4") -> Manifest:
    return Manifest(
        run=run,
        job="sales",
        job_file="sales.nomad.hcl",
        spec_hash="5pec",
        version=version,
        slots=slots,
        groups={"train": 1},
        regions=("us", "eu"),
        one_each=False,
        meta={},
        payload=b"",
        policy="spread",
        results="publish",
        max_attempts=3,
        author="ann@host",
        created="2026-11-24T10:00:00Z",
    )


def open_run(clouds: Clouds, run: str, **given: Any) -> None:
    made = manifest(run, **given)
    clouds.index.open_run(run, made.job, made.version, made.spec_hash, made.slots, made.expected_keys)
    clouds.home.put(f"runs/{run}/manifest.json", made.to_json())


def plan(clouds: Clouds, cache: Path, **given: Any) -> RebuildPlan:
    return plan_rebuild(clouds.home, cache, clouds.store, clouds.names, partial(logged_end, clouds.home), **given)


def rebuild(clouds: Clouds, cache: Path, **given: Any) -> RebuildPlan:
    planned = plan(clouds, cache, **given)
    apply_rebuild(clouds.home, planned, author="bob@host")
    return planned


def lose(clouds: Clouds, prefix: str = "index/") -> None:
    for info in list(clouds.home.list(prefix)):
        clouds.home.delete(info.key)


def seen(index: Index, *, without: tuple[str, ...] = ("committed", "revision")) -> list[dict[str, Any]]:
    """Every result as a dictionary, without what a rebuild can't or needn't know, in order of allocations."""
    rows = [dataclasses.asdict(row) for row in index.query()]
    return sorted(
        ({name: value for name, value in row.items() if name not in without} for row in rows),
        key=lambda row: str(row["alloc_id"]),
    )


def runs_of(index: Index) -> dict[str, tuple[str, str, int]]:
    return {run.run: (run.version, run.state, run.committed) for run in index.runs()}


def no_problems(clouds: Clouds, *but: str) -> bool:
    kinds = {problem.kind for problem in verify(clouds.home, clouds.store, clouds.names, deep=True).problems}
    assert kinds == set(but)
    return True


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A cache folder without any catalog."""
    return tmp_path / "nowhere"


@pytest.fixture
def full(clouds: Clouds) -> Clouds:
    """Three runs: one done with a superseded result, one cancelled with a late one, one still open; one of plain Nomad."""
    open_run(clouds, "run-1")
    clouds.publish(0)
    clouds.publish(1, region="eu")
    clouds.publish(1, attempt=2)
    clouds.index.close_run("run-1", "done")
    open_run(clouds, "run-2", slots=1, version="5")
    Log(clouds.home, "runs/run-2/log/").append(
        [{"type": "bind"}, {"type": "cancel", "reason": 7}, {"type": "cancel", "reason": "a mistake"}]
    )
    clouds.index.close_run("run-2", "cancelled", "a mistake")
    clouds.publish(0, run="run-2", version="5")
    open_run(clouds, "run-3", slots=2, version="6")
    clouds.publish(0, run="run-3", version="6")
    clouds.publish(0, run="nomad:us/child", version="7")
    return clouds


def test_the_same_results_from_the_stores_alone(full: Clouds, nowhere: Path) -> None:
    before, runs = seen(full.index), runs_of(full.index)
    lose(full)

    planned = rebuild(full, nowhere)

    fresh = full.another_index("fresh")
    assert seen(fresh) == before
    assert runs_of(fresh) == runs
    assert planned.sources == []
    assert planned.runs == ["run-1", "run-2", "run-3"]
    assert planned.several == [
        ("run-1/000000001/train/0", [row.alloc_id for row in reversed(fresh.query(run="run-1")) if row.slot == 1])
    ]
    assert any("tags, notes" in sentence for sentence in planned.unknown)
    assert any("in which order 6 results" in sentence for sentence in planned.unknown)
    assert no_problems(full)
    fresh.close()


def test_every_entry_says_that_it_was_rebuilt(full: Clouds, nowhere: Path) -> None:
    lose(full)

    rebuild(full, nowhere)

    entries = Log(full.home, "index/log/").refresh()
    assert all(entry.changes[0]["type"] == "rebuild" and entry.author == "bob@host" for entry in entries)
    assert all(change["rebuilt"] for entry in entries for change in entry.changes[1:])
    assert entries[-1].changes == ({"type": "rebuild", "is_done": True},)


def test_a_plan_writes_nothing(full: Clouds, nowhere: Path) -> None:
    lose(full)
    before = sorted(info.key for info in full.home.list())

    assert plan(full, nowhere).results == 6

    assert sorted(info.key for info in full.home.list()) == before


def test_with_a_catalog_the_order_and_what_people_said_come_back(full: Clouds) -> None:
    first = full.index.query(run="run-1")[-1]
    note = {"type": "note", "alloc_id": first.alloc_id, "text": "the good one"}
    tag = {"type": "tag", "name": "production", "alloc_id": first.alloc_id}
    full.index.change(lambda _: [note, tag, {"type": "prophesy", "of": "a newer fedml"}], reason="promoted")
    before = seen(full.index, without=("committed",))
    said = [(entry.reason, entry.changes) for entry in Log(full.home, "index/log/").refresh()]
    lose(full)

    planned = rebuild(full, full.root / "cache")

    fresh = full.another_index("fresh")
    assert seen(fresh, without=("committed",)) == before  # revisions too
    entries = Log(full.home, "index/log/").refresh()[: len(said)]
    again = [
        (entry.reason, tuple({k: v for k, v in c.items() if k != "rebuilt"} for c in entry.changes[1:]))
        for entry in entries
    ]
    assert again == said
    assert planned.sources[0].startswith("the catalog ")
    assert planned.unknown == []
    assert planned.several == []
    told = entries[0].changes[0]
    assert (told["of"], told["author"]) == (1, "ann@host")
    assert [change["type"] for _, change in fresh.unknown_changes()] == ["prophesy"]
    assert no_problems(full)
    fresh.close()


def test_what_came_after_the_catalog_is_added_from_the_stores(full: Clouds, tmp_path: Path) -> None:
    old = full.another_index("old machine")
    old.query()
    old.close()
    full.publish(1, run="run-3", version="6", region="eu")
    full.publish(1, run="run-3", version="6", attempt=2)
    before = seen(full.index)
    lose(full)

    planned = rebuild(full, tmp_path / "old machine")

    fresh = full.another_index("fresh")
    assert seen(fresh) == before
    assert runs_of(fresh)["run-3"] == ("6", "done", 2)
    assert [key for key, _ in planned.several] == ["run-3/000000001/train/0"]
    assert any("what came after revision" in sentence for sentence in planned.unknown)
    fresh.close()


def test_a_surviving_checkpoint_is_as_good_as_a_catalog(full: Clouds, nowhere: Path) -> None:
    before = seen(full.index, without=("committed",))
    path = next((full.root / "cache" / "index").glob("*.sqlite"))
    assert write_checkpoint(full.home, path) == ""
    lose(full, "index/log/")

    planned = rebuild(full, nowhere)

    fresh = full.another_index("fresh")
    assert seen(fresh, without=("committed",)) == before
    assert planned.sources[0].startswith("the checkpoint of revision ")
    assert checkpoints(full.home) == []  # that of the lost log fits no more
    fresh.close()


def test_catalogs_of_the_lost_log_start_anew(full: Clouds, nowhere: Path) -> None:
    old = full.another_index("another machine")
    assert len(old.query()) == 6
    old.close()
    lose(full)
    rebuild(full, nowhere)

    again = full.another_index("another machine")
    assert seen(again) == seen(full.another_index("fresh"))
    outcome = again.commit([full.publish(1, run="run-3", version="6", commit=False)])
    assert set(outcome.values()) == {"added"}
    assert no_problems(full)
    again.close()


class Breaking:
    """The home, whose writer dies at its n-th write to the log."""

    def __init__(self, store: Any, writes: int) -> None:
        self._store = store
        self._left = writes

    def put(self, key: str, *given: Any, **named: Any) -> Any:
        if key.startswith("index/log/"):
            self._left -= 1
            if self._left < 0:
                raise Unavailable("the machine is gone", store=self.url)
        return self._store.put(key, *given, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("survives", ["nothing", "a catalog"])
@pytest.mark.parametrize("writes", [1, 2, 4])
def test_broken_off_it_goes_on(
    full: Clouds, nowhere: Path, survives: str, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.index.maintenance.rebuild.Log", lambda *a, **k: Log(*a, **k, patience_s=0))
    cache = nowhere if survives == "nothing" else full.root / "cache"
    before, runs = seen(full.index), runs_of(full.index)
    lose(full)
    planned = plan(full, cache)
    with pytest.raises(Unavailable):
        apply_rebuild(Breaking(full.home, writes), planned, author="bob@host")  # type: ignore[arg-type]
    found = verify(full.home, full.store, full.names).problems
    assert "rebuild-unfinished" in {problem.kind for problem in found}

    assert rebuild(full, cache).goes_on

    fresh = full.another_index("fresh")
    assert seen(fresh) == before
    assert runs_of(fresh) == runs
    assert no_problems(full)
    fresh.close()


def test_a_whole_log_is_not_rebuilt(full: Clouds, nowhere: Path) -> None:
    with pytest.raises(UsageError, match="isn't lost: its log is whole"):
        plan(full, nowhere, salvage=True)


def test_a_damaged_log_is_salvaged_only_when_asked_for(full: Clouds, nowhere: Path) -> None:
    full.home.delete(entry_key(3))

    with pytest.raises(UsageError, match="damaged: log entry 3 is missing") as raised:
        plan(full, nowhere)

    assert "--salvage" in raised.value.hint


@pytest.mark.parametrize("survives", ["entries", "a catalog"])
def test_a_log_with_changes_that_cant_be_used_is_salvaged_without_them(
    full: Clouds, nowhere: Path, survives: str
) -> None:
    before, runs = seen(full.index), runs_of(full.index)
    log = Log(full.home, "index/log/", author="mallory")
    log.refresh()
    log.append([{"type": "close", "run": ["x"]}, {"type": "add", "record": None}, {"type": "rebuild", "is_done": "no"}])
    cache = full.root / "cache" if survives == "a catalog" else nowhere
    assert seen(full.index) == before
    assert [change["kind"] for _, change in full.index.unknown_changes()] == ["close", "add", "rebuild"]
    assert [one.kind for one in verify(full.home, full.store, full.names).problems] == ["change-unreadable"] * 3

    with pytest.raises(UsageError, match="holds a 'close' without effect") as raised:
        plan(full, cache)
    assert "--salvage" in raised.value.hint
    planned = rebuild(full, cache, salvage=True)

    assert any("they are left out" in sentence for sentence in planned.unknown)
    fresh = full.another_index("fresh")
    assert (seen(fresh), runs_of(fresh)) == (before, runs)
    assert fresh.unknown_changes() == []
    assert no_problems(full)
    fresh.close()


@pytest.mark.parametrize("damage", ["gap", "torn"])
@pytest.mark.parametrize("survives", ["nothing", "a catalog"])
def test_salvage_keeps_all_that_can_be_read(full: Clouds, nowhere: Path, damage: str, survives: str) -> None:
    cache = nowhere if survives == "nothing" else full.root / "cache"
    before, runs = seen(full.index), runs_of(full.index)
    if damage == "gap":
        full.home.delete(entry_key(3))
    else:
        (full.root / "home" / entry_key(3)).write_bytes(b'{"form')

    planned = rebuild(full, cache, salvage=True)

    fresh = full.another_index("fresh")
    assert seen(fresh) == before
    assert runs_of(fresh) == runs
    assert any("entries of the log" in source for source in planned.sources)
    assert (planned.unknown != []) == (survives == "nothing")
    kept = [info.key for info in full.home.list("index/lost/")]
    assert len(kept) == max(full.index.remembered()) - 1
    assert no_problems(full)
    fresh.close()


def test_results_that_no_store_has_any_more_are_told(full: Clouds) -> None:
    gone = full.index.query(run="nomad:us/child")[0]
    for info in [*full.us.list("results/nomad:us/"), *full.us.list("artifacts/nomad:us/")]:
        full.us.delete(info.key)
    lose(full)

    planned = rebuild(full, full.root / "cache")

    assert planned.lost == [gone.alloc_id]
    fresh = full.another_index("fresh")
    assert len(fresh.query()) == 5
    fresh.close()


def test_somebody_who_writes_meanwhile_stops_it(full: Clouds, nowhere: Path) -> None:
    lose(full)
    planned = plan(full, nowhere)
    other = full.another_index("other")

    class Crowded(Breaking):
        def put(self, key: str, *given: Any, **named: Any) -> Any:
            if key == entry_key(2):
                log = Log(full.home, LOG_PREFIX, author="a running coordinator")
                log.refresh()
                opened = {"run": "run-9", "job": "sales", "version": "9", "spec_hash": "5pec"}
                log.append([{"type": "open", **opened, "slots": 1, "expected_keys": 1}])
            return self._store.put(key, *given, **named)

    with pytest.raises(LogConflict):
        apply_rebuild(Crowded(full.home, 0), planned, author="bob@host")  # type: ignore[arg-type]

    assert rebuild(full, nowhere).goes_on
    assert "run-9" in runs_of(other)
    assert no_problems(full)
    other.close()


def test_what_a_cancelled_run_had_before_the_cancel_stays_committed(clouds: Clouds, nowhere: Path) -> None:
    open_run(clouds, "run-1")
    clouds.publish(0)
    Log(clouds.home, "runs/run-1/log/").append([{"type": "cancel", "reason": "enough"}])
    clouds.index.close_run("run-1", "cancelled", "enough")
    clouds.publish(1)
    before, runs = seen(clouds.index), runs_of(clouds.index)
    assert [row["state"] for row in before] == ["committed", "late"]
    lose(clouds)

    planned = rebuild(clouds, nowhere)

    fresh = clouds.another_index("fresh")
    assert (seen(fresh), runs_of(fresh)) == (before, runs)
    assert any("before the cancel" in sentence for sentence in planned.unknown)
    fresh.close()


@pytest.mark.parametrize(("slots", "state"), [(1, "failed"), (2, "done"), (3, "open")])
def test_a_run_whose_other_slots_a_rule_stopped_is_closed_again(
    clouds: Clouds, nowhere: Path, slots: int, state: str
) -> None:
    open_run(clouds, "run-1", slots=slots)
    if slots > 1:
        clouds.publish(1)
    fail = {"type": "fail", "slot": 0, "attempt": 1, "cause": "rule", "reason": "--stop-when metrics.loss > 10"}
    Log(clouds.home, "runs/run-1/log/").append([fail])
    if state != "open":
        clouds.index.close_run("run-1", state, f"a rule stopped {'all of its ' * (slots == 1)}1 slot")
    runs = runs_of(clouds.index)
    lose(clouds)
    rebuild(clouds, nowhere)
    fresh = clouds.another_index("fresh")
    assert runs_of(fresh) == runs
    fresh.close()


def test_stores_that_only_the_catalog_names_are_looked_into(full: Clouds) -> None:
    before = seen(full.index)
    lose(full)
    full.names.remove(full.eu.url)

    rebuild(full, full.root / "cache")

    fresh = full.another_index("fresh")
    assert seen(fresh) == before
    fresh.close()


@pytest.mark.parametrize("survives", ["entries", "a catalog", "nothing"])
def test_what_gc_removed_does_not_come_back(full: Clouds, nowhere: Path, survives: str) -> None:
    rule = Retention()
    for days in (0, 2):
        run_gc(full.index, full.stores, rule, datetime.now(UTC) + timedelta(days=days))
    before = {row.alloc_id: row.state for row in full.index.ask(lambda catalog: catalog.rows("1", ()))[1]}
    assert sorted(before.values()) == ["committed", *["removed"] * 5]  # that of the open run is kept
    if survives == "entries":
        full.home.delete(entry_key(1))  # a run's opening
    else:
        lose(full)

    planned = rebuild(full, full.root / "cache" if survives == "a catalog" else nowhere, salvage=survives == "entries")

    fresh = full.another_index("fresh")
    after = {row.alloc_id: row.state for row in fresh.ask(lambda catalog: catalog.rows("1", ()))[1]}
    kept = {alloc_id: state for alloc_id, state in before.items() if state == "committed" or survives == "entries"}
    assert after == kept
    assert planned.lost == []
    assert no_problems(full)
    fresh.close()


@pytest.mark.parametrize("lie", [{"version": "99"}, {"node": "another"}, {"attempt": 9}, {"job": "other"}])
def test_a_record_that_was_replaced_is_not_what_the_index_had(clouds: Clouds, lie: dict[str, Any]) -> None:
    """A node that may overwrite its store's records can't rewrite what a catalog remembers."""
    open_run(clouds, "run-1")
    record = clouds.publish(0)
    lose(clouds)
    forged = dataclasses.replace(record, **lie)
    clouds.us.put(record.key.record_key(record.alloc_id), forged.to_json())

    planned = plan(clouds, clouds.root / "cache")

    assert (planned.results, planned.lost) == (0, [record.alloc_id])
    (problem,) = planned.found.problems
    assert "the index had" in problem.what


def committed(index: Index) -> dict[str, str]:
    return {row.alloc_id: row.committed for row in index.query()}


def test_entries_keep_their_times(full: Clouds, nowhere: Path) -> None:
    """With a catalog each its own; without one the time of the manifest, and of the stores' records."""
    full.index.tag("production", full.index.query(run="run-1")[-1].alloc_id)
    before, log = committed(full.index), {one.number: one.time for one in full.index.log()}
    past = {row.alloc_id for row in full.index.at(log[4]).query()}
    lose(full)
    rebuild(full, full.root / "cache", needs_catalog=True)

    again = full.another_index("again")
    assert committed(again) == before
    assert {
        number: time for number, time in {one.number: one.time for one in again.log()}.items() if number in log
    } == log
    assert {row.alloc_id for row in again.at(log[4]).query()} == past
    again.close()

    lose(full)
    rebuild(full, nowhere)
    fresh = full.another_index("fresh")
    written = {
        info.key.rpartition("/")[2].removesuffix(".json"): info.modified
        for store in (full.us, full.eu)
        for info in store.list("results/")
    }
    for alloc_id, time in committed(fresh).items():
        assert datetime.fromisoformat(time) >= written[alloc_id]
        assert datetime.fromisoformat(time) <= max(written.values())
    assert {run.opened for run in fresh.runs()} == {"2026-11-24T10:00:00.000000Z"}
    [cancel] = Log(full.home, "runs/run-2/log/").refresh()
    assert fresh.runs(run="run-2")[0].closed >= cancel.time
    times = [one.time for one in fresh.log()]
    assert times == sorted(times)
    fresh.close()


def test_a_log_that_went_on_after_it_was_set_back_keeps_both(full: Clouds, nowhere: Path) -> None:
    """A backup of the home was restored, and another machine went on from there before anybody noticed."""
    first, *_, last = full.index.query(run="run-1")
    backup = {info.key: full.home.get(info.key) for info in full.home.list("index/log/")}
    full.index.tag("production", first.alloc_id)
    full.index.note(first.alloc_id, "only the catalog knows")
    full.index.close()
    lose(full)
    for key, data in backup.items():
        full.home.put(key, data)
    other = full.another_index("other")
    other.tag("candidate", last.alloc_id)
    other.note(last.alloc_id, "only the log knows")
    other.close()
    with pytest.raises(IndexCorrupt, match=r"doesn't chain|rewritten") as told:
        full.another_index("cache").note(last.alloc_id, "from here")
    assert told.value.hint

    planned = rebuild(full, full.root / "cache", needs_catalog=True)

    assert any("went on without what the catalog knows" in source for source in planned.sources)
    fresh = full.another_index("fresh")
    assert {tag.name for tag in fresh.tags()} == {"production", "candidate"}
    assert [note.text for note in fresh.notes(fresh.result("production"))] == ["only the catalog knows"]
    assert [note.text for note in fresh.notes(fresh.result("candidate"))] == ["only the log knows"]
    assert no_problems(full)
    fresh.close()


def test_a_catalog_that_is_found_after_the_rebuild_adds_what_it_knows(full: Clouds, nowhere: Path) -> None:
    """Somebody rebuilt from the stores alone and went on; then the machine with the catalog is back."""
    full.index.tag("production", full.index.query(run="run-1")[-1].alloc_id)
    before, runs, times = seen(full.index), runs_of(full.index), committed(full.index)
    full.index.close()
    [old] = (full.root / "cache" / "index").glob("*.sqlite")
    lose(full)
    rebuild(full, nowhere)
    other = full.another_index("other")
    other.tag("candidate", other.query(run="run-1")[0].alloc_id)
    other.close()
    again = full.another_index("cache")
    assert [tag.name for tag in again.tags()] == ["candidate"]
    again.close()
    with pytest.raises(UsageError, match="isn't lost: its log is whole"):
        plan(full, full.root / "cache")

    rebuild(full, full.root / "cache", catalog=old)

    fresh = full.another_index("fresh")
    assert [{**row, "tags": ()} for row in seen(fresh)] == [{**row, "tags": ()} for row in before]
    assert (runs_of(fresh), committed(fresh)) == (runs, times)
    assert {tag.name for tag in fresh.tags()} == {"production", "candidate"}
    assert no_problems(full)
    fresh.close()


def test_what_was_rebuilt_once_is_not_lost_the_second_time(full: Clouds, nowhere: Path) -> None:
    """The first rebuild had a catalog; then the log is damaged, and no catalog survives."""
    full.index.tag("production", full.index.query(run="run-1")[-1].alloc_id)
    lose(full)
    rebuild(full, full.root / "cache")
    again = full.another_index("again")
    again.note(again.result("production").alloc_id, "after the rebuild")
    before, times = seen(again), committed(again)
    gone = [row.alloc_id for row in again.query() if row.revision == 2]
    again.close()
    full.home.delete(entry_key(2))

    rebuild(full, nowhere, salvage=True)

    fresh = full.another_index("fresh")
    assert seen(fresh) == before
    assert {one for one, time in committed(fresh).items() if time != times[one]} <= {*gone}
    assert [note.text for note in fresh.notes(fresh.result("production"))] == ["after the rebuild"]
    assert no_problems(full)
    fresh.close()


def test_nothing_is_entered_into_half_a_rebuild(full: Clouds, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off, a rebuild from a checkpoint goes on from the checkpoint, and nobody writes meanwhile."""
    monkeypatch.setattr("federation.index.maintenance.rebuild.Log", lambda *a, **k: Log(*a, **k, patience_s=0))
    full.index.tag("production", full.index.query(run="run-1")[-1].alloc_id)
    assert write_checkpoint(full.home, full.index._local.path) == ""
    before = seen(full.index)
    lose(full, "index/log/")
    for writes in (0, 2):
        with pytest.raises(Unavailable):
            apply_rebuild(Breaking(full.home, writes), plan(full, nowhere), author="bob@host")  # type: ignore[arg-type]
        other = full.another_index(f"other-{writes}")
        with pytest.raises(IndexLost, match="broken off"):
            other.open_run("run-9", "sales", "9", "5pec", 1, 1)
        other.close()

    assert rebuild(full, nowhere).goes_on
    fresh = full.another_index("fresh")
    assert seen(fresh) == before
    assert [tag.name for tag in fresh.tags()] == ["production"]
    fresh.close()
