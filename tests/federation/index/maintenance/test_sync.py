"""What lies in the stores and not in the index is entered as what it is; what a store lost of a record is written again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from federation.errors import UsageError
from federation.index.maintenance.sync import apply_sync, plan_sync
from federation.index.maintenance.verify import verify
from federation.result import ResultRecord
from regions.storage.errors import Unavailable
from regions.storage.store import Create

Clouds = Any


def plan(clouds: Clouds) -> Any:
    return plan_sync(clouds.index, clouds.store, clouds.names)


def sync(clouds: Clouds) -> dict[str, str]:
    return apply_sync(clouds.index, clouds.store, plan(clouds))


def problems(clouds: Clouds) -> list[str]:
    return [problem.kind for problem in verify(clouds.home, clouds.store, clouds.names).problems]


def record_key(record: ResultRecord) -> str:
    return record.key.record_key(record.alloc_id)


def test_nothing_to_do_writes_nothing(clouds: Clouds) -> None:
    clouds.publish(0)
    before = clouds.index.revision

    assert sync(clouds) == {}

    clouds.index.query()
    assert clouds.index.revision == max(before, 1)


def test_results_are_committed_as_what_they_are(clouds: Clouds) -> None:
    clouds.index.open_run("run-1", "sales", "4", "5pec", 3, 3)
    won = clouds.publish(0)
    clouds.index.close_run("run-1", "failed")
    clouds.index.open_run("run-2", "sales", "5", "5pec", 1, 1)
    clouds.index.close_run("run-2", "cancelled")
    second = clouds.publish(0, region="eu", attempt=2, commit=False)
    later = clouds.publish(1, attempt=2, commit=False)
    first = clouds.publish(1, region="eu", commit=False)
    late = clouds.publish(0, run="run-2", version="5", commit=False)
    alone = clouds.publish(0, run="nomad:us/child", commit=False)

    assert len(plan(clouds).commit) == 5
    assert len(clouds.index.query()) == 1
    assert sync(clouds) == {
        second.alloc_id: "superseded",
        later.alloc_id: "superseded",
        first.alloc_id: "added",
        late.alloc_id: "late",
        alone.alloc_id: "added",
    }
    assert {row.alloc_id for row in clouds.index.query(state="committed")} == {
        won.alloc_id,
        first.alloc_id,
        alone.alloc_id,
    }
    assert problems(clouds) == []
    assert plan(clouds).commit == []


def test_results_of_an_open_run_are_left_to_it(clouds: Clouds) -> None:
    clouds.index.open_run("run-1", "sales", "4", "5pec", 1, 1)
    clouds.publish(0, commit=False)

    planned = plan(clouds)

    assert (planned.commit, planned.in_flight, planned.problems) == ([], 1, [])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"spec_hash": "another"}, "its record says spec hash 'another'; run run-1 has '5pec'"),
        ({"version": "9"}, "its record says version '9'; run run-1 has '4'"),
        ({"manifest_sha256": "a" * 64}, "don't have its manifest's hash"),
        ({"job": "../etc"}, "segment"),
    ],
)
def test_what_is_not_what_it_says_is_left_out(clouds: Clouds, given: dict[str, str], told: str) -> None:
    clouds.index.open_run("run-1", "sales", "4", "5pec", 1, 1)
    clouds.index.close_run("run-1", "failed")
    clouds.publish(0, commit=False, **given)

    planned = plan(clouds)

    assert planned.commit == []
    (problem,) = planned.problems
    assert told in problem.what


def test_a_result_that_is_not_whole_is_left_out(clouds: Clouds) -> None:
    record = clouds.publish(0, commit=False)
    clouds.us.delete(record.artifact_prefix + "metrics.json")

    planned = plan(clouds)

    assert planned.commit == []
    assert "isn't whole: metrics.json is gone" in planned.problems[0].what


def test_a_lost_record_is_written_again_as_it_was(clouds: Clouds) -> None:
    record = clouds.publish(0)
    clouds.us.delete(record_key(record))
    assert problems(clouds) == ["record-missing"]

    sync(clouds)

    assert ResultRecord.from_json(clouds.us.get(record_key(record))) == record
    assert problems(clouds) == []


def test_a_copy_that_nobody_recorded_is_recorded(clouds: Clouds) -> None:
    record = clouds.publish(0)
    for file in record.files:
        clouds.eu.put(record.artifact_prefix + file.path, clouds.us.get(record.artifact_prefix + file.path))
    clouds.eu.put(record_key(record), record.to_json(), Create())

    assert plan(clouds).locate == [(record.alloc_id, clouds.eu.url)]
    sync(clouds)

    assert plan(clouds).locate == []
    assert problems(clouds) == []


def test_a_silent_store_is_told_and_the_others_are_taken(clouds: Clouds) -> None:
    clouds.publish(5)
    clouds.publish(0, region="eu", commit=False)
    taken = clouds.publish(1, commit=False)

    def store(url: str, result: Any = None) -> Any:
        if url == clouds.eu.url:
            raise Unavailable("no answer", store=url)
        return clouds.store(url)

    planned = plan_sync(clouds.index, store, clouds.names)

    assert planned.commit == [taken]
    assert [problem.kind for problem in planned.problems] == ["store-unreachable"]


def test_after_a_lost_format_the_next_write_makes_a_new_one(clouds: Clouds) -> None:
    clouds.publish(0)
    clouds.home.delete("format.json")
    assert problems(clouds) == ["format-missing"]
    other = clouds.another_index("fresh")

    apply_sync(other, clouds.store, plan_sync(other, clouds.store, clouds.names))

    assert problems(clouds) == []
    assert len(other.query()) == 1
    other.close()


def test_an_empty_index_is_for_rebuild(clouds: Clouds) -> None:
    clouds.publish(0)
    for info in list(clouds.home.list("index/")):
        clouds.home.delete(info.key)
    fresh = clouds.another_index("fresh")

    with pytest.raises(UsageError, match="the index is empty, and the stores hold 1 results") as raised:
        plan_sync(fresh, clouds.store, clouds.names)

    assert "fedml index rebuild" in raised.value.hint
    (problem,) = verify(clouds.home, clouds.store, clouds.names).problems
    assert problem.mend.startswith("fedml index rebuild")
    fresh.close()


def test_stores_that_only_results_name_are_looked_into(clouds: Clouds) -> None:
    record = clouds.publish(0, region="eu")
    clouds.eu.delete(record_key(record))

    planned = plan_sync(clouds.index, clouds.store, [clouds.us.url])

    assert planned.restore == [(clouds.eu.url, record)]


def test_a_copy_that_differs_from_the_committed_record_is_told_and_not_recorded(clouds: Clouds) -> None:
    record = clouds.publish(0)
    for file in record.files:
        clouds.eu.put(record.artifact_prefix + file.path, clouds.us.get(record.artifact_prefix + file.path))
    key = record.key.record_key(record.alloc_id)
    clouds.eu.put(key, dataclasses.replace(record, metrics={"auc": 0.99}).to_json())

    planned = plan(clouds)

    assert planned.locate == []
    (problem,) = planned.problems
    assert problem.kind == "record-differs"
    assert problem.where == clouds.eu.url_of(key)
    assert problem.what.endswith("differs from the record that was committed: metrics")
    clouds.eu.put(key, record.to_json())
    assert plan(clouds).locate == [(record.alloc_id, clouds.eu.url)]


def test_a_copy_without_all_its_files_is_told_and_not_recorded(clouds: Clouds) -> None:
    record = clouds.publish(0)
    clouds.eu.put(record.key.record_key(record.alloc_id), record.to_json())

    planned = plan(clouds)

    assert planned.locate == []
    assert [problem.kind for problem in planned.problems] == ["record-torn"]
    assert "isn't whole" in planned.problems[0].what
