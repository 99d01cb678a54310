"""Whatever was done to an index: rebuilt with a catalog it is the same again, rebuilt without one no result is lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.errors import UsageError
from federation.index import Index
from federation.index.home import HOME_KEY
from federation.index.maintenance.rebuild import apply_rebuild, plan_rebuild
from federation.index.maintenance.verify import verify
from federation.result import ResultRecord, manifest_sha256
from federation.workflows.index_rebuild import logged_end
from tests.examples import examples

MakeRecord = Callable[..., ResultRecord]

RUNS = ("run-1", "run-2", "nomad:us/x")
STEP = st.one_of(
    st.tuples(st.just("open"), st.sampled_from(RUNS[:2])),
    st.tuples(st.just("close"), st.sampled_from(RUNS[:2]), st.sampled_from(["done", "failed", "cancelled"])),
    st.tuples(st.just("commit"), st.sampled_from(RUNS), st.integers(0, 1), st.integers(1, 2)),
    st.tuples(st.just("tag"), st.sampled_from(["production", "best"]), st.integers(0, 9)),
    st.tuples(st.just("rollback"), st.sampled_from(["production", "best"])),
    st.tuples(st.just("note"), st.integers(0, 9)),
    st.tuples(st.just("retire"), st.integers(0, 9), st.booleans()),
)


def do(index: Index, stores: Any, step: tuple[Any, ...], make: Callable[..., ResultRecord], made: list[str]) -> None:
    """One step; one that the index refuses does nothing."""
    what, *given_ = step
    try:
        if what == "open":
            index.open_run(given_[0], "sales", "4", "s" * 8, 2, 2)
        elif what == "close":
            index.close_run(*given_)
        elif what == "commit":
            run, slot, attempt = given_
            record = make(run=run, slot=slot, attempt=attempt)
            stores.put(record.artifact_prefix + "model.bin", b"model")
            stores.put(record.key.record_key(record.alloc_id), record.to_json())
            index.commit([record])
            made.append(record.alloc_id)
        elif what == "rollback":
            index.rollback(given_[0])
        elif made:
            alloc_id = made[given_[-1 if what == "tag" else 0] % len(made)]
            if what == "tag":
                index.tag(given_[0], alloc_id)
            elif what == "note":
                index.note(alloc_id, "looked at it")
            else:
                index.retire([alloc_id], is_undone=given_[1])
    except UsageError:
        pass


def everything(index: Index) -> tuple[Any, ...]:
    """All that can be asked, but for the time of entries."""

    def ask(catalog: Any) -> tuple[Any, ...]:
        skipped = {"entry", "position", "event", "rebuild", "unknown"}
        tables = catalog.values("SELECT name FROM sqlite_master WHERE type = 'table'")
        timed = {"result": "committed", "run": "opened, closed"}
        found = []
        for table in sorted(set(tables) - skipped):
            columns = [
                row[1] for row in catalog.table(f"PRAGMA table_info({table})") if row[1] not in timed.get(table, "")
            ]
            found.append((table, sorted(catalog.table(f"SELECT {', '.join(columns)} FROM {table}"), key=repr)))
        return tuple(found)

    return index.ask(ask)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEP, max_size=25), with_catalog=st.booleans())
def test_rebuilt_after_any_history(
    memory_store: Any, make_record: MakeRecord, steps: list[tuple[Any, ...]], with_catalog: bool
) -> None:
    home, us = type(memory_store)("memory://home"), type(memory_store)("memory://us")
    home.objects[HOME_KEY] = b'{"format": 1, "id": "5f2ac0d81b4e4b6f9d3c1a2b3c4d5e6f", "created": "now"}'
    made: list[str] = []

    def make(**given_: Any) -> ResultRecord:
        record = make_record(**given_)
        return ResultRecord.from_dict(record.to_dict() | {"manifest_sha256": manifest_sha256(record.files)})

    with TemporaryDirectory() as folder:
        cache = Path(folder)
        index = Index(home, cache_dir=cache / "one", author="a@b")
        for step in steps:
            do(index, us, step, make, made)
        before = everything(index)
        winners = {(row.run, row.slot) for run in RUNS for row in index.won(run)}
        index.close()
        for key in [key for key in home.objects if key.startswith("index/")]:
            del home.objects[key]

        survives = cache / ("one" if with_catalog else "none")
        plan = plan_rebuild(home, survives, lambda *_: us, ["memory://us"], partial(logged_end, home))
        apply_rebuild(home, plan, author="b@c")

        fresh = Index(home, cache_dir=cache / "fresh", author="a@b")
        if with_catalog:
            assert everything(fresh) == before
        else:
            assert {row.alloc_id for row in fresh.query()} == set(made)
            assert {(row.run, row.slot) for run in RUNS for row in fresh.won(run)} >= winners
        assert verify(home, lambda *_: us, ["memory://us"]).problems == ()
        fresh.close()
