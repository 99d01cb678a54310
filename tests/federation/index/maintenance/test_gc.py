"""gc removes what nothing keeps, after its grace, and nothing else: whoever tags or gets meanwhile is safe."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from federation.errors import UsageError
from federation.index.maintenance.gc import GcOutcome, orphans, plan_gc, remove_orphans, run_gc
from federation.index.maintenance.retention import Retention, parse_retention
from federation.index.maintenance.verify import verify
from federation.log import Log
from federation.result import Key, ResultRecord
from regions.storage.errors import StoreError, Unavailable

Clouds = Any
LAST_1 = Retention(last=1)
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def gc(clouds: Clouds, rule: Retention = LAST_1, *, after: timedelta = timedelta(), **given: Any) -> GcOutcome:
    return run_gc(clouds.index, clouds.stores, rule, datetime.now(UTC) + after, **given)


def gc_to_the_end(clouds: Clouds, rule: Retention = LAST_1) -> list[str]:
    gc(clouds, rule)
    return [row.alloc_id for row in gc(clouds, rule, after=2 * DAY).removed]


def objects(clouds: Clouds) -> int:
    return sum(1 for store in (clouds.us, clouds.eu) for _ in store.list())


def no_problems(clouds: Clouds) -> bool:
    found = verify(clouds.home, clouds.store, clouds.names, deep=True).problems
    assert found == ()
    return True


@pytest.fixture
def versions(clouds: Clouds) -> list[ResultRecord]:
    """Versions 1, 2 and 3 of one job, each with one result."""
    return [clouds.publish(0, run=f"nomad:us/{number}", version=str(number)) for number in (1, 2, 3)]


def test_two_phases_with_a_grace_between(clouds: Clouds, versions: list[ResultRecord]) -> None:
    first, second, third = versions
    before = objects(clouds)

    marked = gc(clouds)

    assert (marked.removed, marked.freed_bytes, objects(clouds)) == ([], 0, before)
    plan = plan_gc(clouds.index, clouds.stores, LAST_1, datetime.now(UTC))
    assert [row.alloc_id for row, _ in plan.waiting] == [first.alloc_id, second.alloc_id]
    assert gc(clouds, after=DAY / 2).removed == []
    removed = gc(clouds, after=2 * DAY)
    assert [row.alloc_id for row in removed.removed] == [first.alloc_id, second.alloc_id]
    size = sum(record.size_bytes + len(record.to_json()) for record in (first, second))
    assert removed.freed_bytes == size
    assert objects(clouds) == before - 6
    assert [row.alloc_id for row in clouds.index.query()] == [third.alloc_id]
    assert no_problems(clouds)
    assert gc(clouds, after=3 * DAY) == GcOutcome(revision=removed.revision)


def test_what_was_removed_stays_in_the_index_as_that(
    clouds: Clouds, versions: list[ResultRecord], tmp_path: Path
) -> None:
    first = versions[0]
    gc_to_the_end(clouds)

    row = clouds.index.result(first.alloc_id)

    assert (row.state, row.metrics) == ("removed", first.metrics)
    assert clouds.index.record(row) == first
    assert {one.alloc_id for one in clouds.index.query(state="removed")} == {one.alloc_id for one in versions[:2]}
    with pytest.raises(UsageError, match="was removed by gc, in revision"):
        clouds.index.get(row, open_store=clouds.store, to=tmp_path / "model")
    with pytest.raises(UsageError, match="was removed by gc"):
        clouds.index.tag("production", first.alloc_id)
    with pytest.raises(UsageError, match="was removed by gc"):
        clouds.index.retire([first.alloc_id])
    assert set(clouds.index.commit([first]).values()) == {"known"}
    rival = clouds.publish(0, run="nomad:us/1", version="1", commit=False)
    assert set(clouds.index.commit([rival]).values()) == {"superseded"}  # the first commit of a key won for ever
    past = clouds.index.at("3")
    assert past.result(first.alloc_id).state == "committed"
    past.close()


def test_what_is_tagged_or_was_is_kept(clouds: Clouds, versions: list[ResultRecord]) -> None:
    first, second, _ = versions
    clouds.index.tag("production", first.alloc_id)
    clouds.index.tag("production", second.alloc_id)

    assert gc_to_the_end(clouds) == []

    clouds.index.rollback("production")
    assert clouds.index.result("production").alloc_id == first.alloc_id


def test_a_tag_takes_a_mark_away(clouds: Clouds, versions: list[ResultRecord]) -> None:
    first, second, _ = versions
    gc(clouds)
    clouds.index.tag("production", first.alloc_id)

    assert [row.alloc_id for row in gc(clouds, after=2 * DAY).removed] == [second.alloc_id]

    assert no_problems(clouds)


def test_another_rule_takes_a_mark_away(clouds: Clouds, versions: list[ResultRecord]) -> None:
    gc(clouds)

    assert gc(clouds, Retention(last=2), after=2 * DAY).removed != []
    assert gc(clouds, Retention(last=3), after=3 * DAY).removed == []

    assert plan_gc(clouds.index, clouds.stores, Retention(last=3), datetime.now(UTC)).waiting == []


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("last=1", {3}),
        ("last=2", {2, 3}),
        ("last=9", {1, 2, 3}),
        ("age=1d", {1, 2, 3}),
        ("best=auc:1", {3}),
        ("best=-auc:1", {1}),
        ("best=auc:1,best=-auc:1", {1, 3}),
        ("last=1,best=-auc:1", {1, 3}),
    ],
)
def test_rules(clouds: Clouds, versions: list[ResultRecord], rule: str, kept: set[int]) -> None:
    removed = gc_to_the_end(clouds, parse_retention([rule]))

    assert {number for number, record in enumerate(versions, start=1) if record.alloc_id not in removed} == kept


def test_a_metric_that_no_result_has_marks_nothing(clouds: Clouds, versions: list[ResultRecord]) -> None:
    with pytest.raises(UsageError, match="--keep best=acu: no result has the metric 'acu'") as refused:
        gc(clouds, parse_retention(["best=acu:1"]))
    assert refused.value.hint == "did you mean 'auc'?"
    assert plan_gc(clouds.index, clouds.stores, Retention(age=2 * DAY), datetime.now(UTC)).spare == []
    other = clouds.publish(0, run="nomad:us/4", job="prices", metrics={"loss": 0.1})

    assert other.alloc_id not in gc_to_the_end(clouds, parse_retention(["best=auc:1"]))


def test_an_age_keeps_the_young(clouds: Clouds, versions: list[ResultRecord]) -> None:
    assert plan_gc(clouds.index, clouds.stores, Retention(age=DAY), datetime.now(UTC)).doom == []
    assert len(plan_gc(clouds.index, clouds.stores, Retention(age=DAY), datetime.now(UTC) + 2 * DAY).doom) == 3


def test_superseded_ones_go_with_the_first_rule(clouds: Clouds) -> None:
    clouds.publish(0, run="nomad:us/1")
    second = clouds.publish(0, run="nomad:us/1", region="eu", attempt=2)

    assert gc_to_the_end(clouds) == [second.alloc_id]


def test_open_runs_parents_and_adopted_artifacts_are_kept(clouds: Clouds) -> None:
    clouds.index.open_run("run-1", "sales", "1", "5pec", 1, 1)
    clouds.publish(0, version="1")
    parent = clouds.publish(0, run="nomad:us/2", version="2")
    clouds.publish(0, run="nomad:us/3", version="3", environment={"parent": parent.alloc_id})
    clouds.us.put("mine/model.bin", b"x" * 5)
    clouds.publish(0, run="nomad:us/4", version="4", prefix="mine/", files={"model.bin": b"x" * 5})
    child = clouds.publish(0, run="nomad:us/5", version="5")

    removed = gc_to_the_end(clouds, Retention())

    states = {row.version: row.state for row in clouds.index.ask(lambda catalog: catalog.rows("1", ()))[1]}
    assert states == {"1": "committed", "2": "committed", "3": "removed", "4": "committed", "5": "removed"}
    assert child.alloc_id in removed
    assert clouds.us.get("mine/model.bin") == b"x" * 5


def test_copies_are_removed_too(clouds: Clouds, versions: list[ResultRecord]) -> None:
    first = versions[0]
    for file in first.files:
        clouds.eu.put(first.artifact_prefix + file.path, clouds.us.get(first.artifact_prefix + file.path))
    clouds.eu.put(first.key.record_key(first.alloc_id), first.to_json())
    clouds.index.change(lambda _: [{"type": "locate", "alloc_id": first.alloc_id, "store": clouds.eu.url}])

    gc_to_the_end(clouds)

    assert list(clouds.eu.list()) == []
    assert no_problems(clouds)


def test_a_silent_store_is_told_and_done_by_the_next_gc(clouds: Clouds, versions: list[ResultRecord]) -> None:
    gc(clouds)

    def silent(config: Any) -> Any:
        raise Unavailable("no answer", store=config.url)

    first = run_gc(clouds.index, clouds.stores_by(silent), LAST_1, NOW + 2 * DAY)
    assert len(first.removed) == len(first.problems) == 2
    assert first.freed_bytes == 0

    again = gc(clouds, after=2 * DAY)

    assert again.removed == []
    assert again.freed_bytes > 0
    assert objects(clouds) == 3
    assert no_problems(clouds)


@pytest.mark.parametrize(
    "text",
    ["", "last", "last=0", "last=x", "age=", "age=3", "age=3y", "best=auc", "best=auc:0", "best=:3", "worst=auc:3"],
)
def test_a_rule_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_retention([text])


def test_rules_add_up() -> None:
    rule = parse_retention(["last=3, age=30d", "last=5,best=a.b:2,best=-loss:1,age=2w"])

    assert rule == Retention(5, timedelta(days=30), (("a.b", 2, False), ("loss", 1, True)))


def test_orphans_of_broken_publishes(clouds: Clouds) -> None:
    clouds.index.open_run("run-1", "sales", "4", "5pec", 1, 1)
    kept = clouds.publish(0, run="nomad:us/1")
    clouds.us.put(Key("run-1", 0, "train", 0).artifact_prefix("a1", "f" * 64) + "model.bin", b"on its way")
    left = Key("run-0", 0, "train", 0).artifact_prefix("a1", "f" * 64)
    clouds.us.put(left + "deep/model.bin", b"12345")
    late = Key("run-0", 1, "train", 0)
    clouds.us.put(late.artifact_prefix("a2", "f" * 64) + "model.bin", b"12345")

    assert orphans(clouds.stores, clouds.index, datetime.now(UTC), DAY) == []
    found = orphans(clouds.stores, clouds.index, datetime.now(UTC) + 2 * DAY, DAY)
    assert [(one.prefix, one.size_bytes) for one in found] == [(left, 5), (late.artifact_prefix("a2", "f" * 64), 5)]
    clouds.us.put(late.record_key("a2"), b"{}")  # its publish went on meanwhile

    assert remove_orphans(clouds.stores, found) == 5

    assert not list(clouds.us.list(left))
    assert clouds.us.exists(kept.artifact_prefix + "metrics.json")
    assert clouds.us.exists(late.artifact_prefix("a2", "f" * 64) + "model.bin")


def at_once(works: list[Callable[[], None]]) -> None:
    barrier = threading.Barrier(len(works))
    errors: list[BaseException] = []

    def one(work: Callable[[], None]) -> None:
        barrier.wait()
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=one, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("seed", range(4))
def test_raced_against_tag_and_get_nothing_reachable_is_removed(clouds: Clouds, tmp_path: Path, seed: int) -> None:
    records = [clouds.publish(0, run=f"nomad:us/{number}", version=str(number)) for number in range(6)]
    marked_at = datetime.now(UTC)
    run_gc(clouds.index, clouds.stores, Retention(), marked_at, grace=timedelta())
    tagged: list[str] = []
    refused: list[str] = []
    reasons: list[str] = []
    got: list[str] = []

    def collect_garbage() -> None:
        index = clouds.another_index("gc")
        for _ in range(3):
            run_gc(index, clouds.stores, Retention(), datetime.now(UTC), grace=timedelta())
        index.close()

    def tag(worker: int) -> None:
        index = clouds.another_index(f"tag-{worker}")
        mine = records[worker::2]
        random.Random(seed + worker).shuffle(mine)
        for record in mine:
            try:
                index.tag(f"tag-{record.version}", record.alloc_id)
            except UsageError as error:
                refused.append(record.alloc_id)
                reasons.append(error.message.partition(" ")[2].partition(" ")[2][:17])
            else:
                tagged.append(record.alloc_id)
                row = index.result(f"tag-{record.version}")
                index.get(row, open_store=clouds.store, to=tmp_path / record.alloc_id)
        index.close()

    def get() -> None:
        index = clouds.another_index("reader")
        for record in random.Random(seed).sample(records, len(records)):
            row = index.result(record.alloc_id)
            target = tmp_path / f"read-{record.alloc_id}"
            try:
                index.get(row, open_store=clouds.store, to=target)
                got.append(record.alloc_id)
            except (UsageError, StoreError):
                assert not target.exists()  # whole or not at all
        index.close()

    at_once([collect_garbage, lambda: tag(0), lambda: tag(1), get])

    assert sorted(tagged + refused) == sorted(record.alloc_id for record in records)
    assert set(reasons) <= {"was removed by gc"}
    removed = {row.alloc_id for row in clouds.index.query(state="removed")}
    assert removed.isdisjoint(tagged)
    assert removed >= set(refused)
    seen: set[str] = set()
    for entry in Log(clouds.home, "index/log/").refresh():
        for change in entry.changes:
            if change["type"] == "remove":
                seen.add(change["alloc_id"])
            assert change["type"] != "tag" or change["alloc_id"] not in seen
    assert no_problems(clouds)


def test_code_that_nothing_names_goes_when_it_is_old(clouds: Clouds) -> None:
    kept, left, still_open = (letter * 64 for letter in "abc")
    clouds.publish(0, run="nomad:us/1", version="1", environment={"code_sha256": left})
    clouds.publish(0, run="nomad:us/2", version="2", environment={"code_sha256": kept})
    foreign = [f"code/program-{'d' * 64}.pyz", "code/notes.txt", f"code/{'e' * 63}.tar.gz"]
    for key in [*(f"code/{sha256}.tar.gz" for sha256 in (kept, left, still_open)), *foreign]:
        clouds.us.put(key, b"packed")
    later = datetime.now(UTC) + 8 * DAY

    def found(now: datetime = later, **given: Any) -> list[str]:
        return [each.prefix for each in orphans(clouds.stores, clouds.index, now, 7 * DAY, **given)]

    assert found() == [f"code/{still_open}.tar.gz"]
    assert found(datetime.now(UTC)) == []
    assert found(open_code=lambda: [still_open]) == []
    assert found(job="sales") == []  # code is of no job

    gc_to_the_end(clouds)  # the result of version 1 is removed, and its code isn't named any more
    unnamed = orphans(clouds.stores, clouds.index, later, 7 * DAY, open_code=lambda: [still_open])
    assert [(each.prefix, each.size_bytes, each.why) for each in unnamed] == [
        (f"code/{left}.tar.gz", 6, "that no result and no open run names")
    ]
    assert remove_orphans(clouds.stores, unnamed) == 6
    assert {info.key for info in clouds.us.list("code/")} == {
        *foreign,
        f"code/{kept}.tar.gz",
        f"code/{still_open}.tar.gz",
    }


def test_code_that_a_run_used_again_meanwhile_is_kept(clouds: Clouds) -> None:
    key = f"code/{'a' * 64}.tar.gz"
    clouds.us.put(key, b"packed")
    later = datetime.now(UTC) + 8 * DAY
    (found,) = orphans(clouds.stores, clouds.index, later, 7 * DAY)
    assert found.modified is not None
    assert remove_orphans(clouds.stores, [replace(found, modified=found.modified - DAY)]) == 0
    assert clouds.us.exists(key)
    assert remove_orphans(clouds.stores, [found]) == 6
    assert not clouds.us.exists(key)
    assert remove_orphans(clouds.stores, [found]) == 6  # another gc was faster


def test_a_run_that_begins_while_stores_are_listed_keeps_its_code(clouds: Clouds) -> None:
    """Which runs are open is asked last: each store was listed by then."""
    clouds.us.put(f"code/{'a' * 64}.tar.gz", b"packed")
    listed: list[str] = []

    class Listing:
        names = clouds.stores.names

        def of(self, name: str) -> Any:
            listed.append(name)
            return clouds.stores.of(name)

    def open_code() -> list[str]:
        assert sorted(listed) == sorted(clouds.stores.names)
        return ["a" * 64]

    later = datetime.now(UTC) + 8 * DAY
    assert orphans(Listing(), clouds.index, later, 7 * DAY, open_code=open_code) == []  # type: ignore[arg-type]
