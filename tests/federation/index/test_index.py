"""What the index promises: versions are reserved once, the first commit of a key wins for ever, all else is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from federation.errors import FormatTooNew, LogConflict, UsageError
from federation.index import Index, OpenedRun
from federation.index.catalog.catalog import Catalog
from federation.log import Log
from federation.result import ResultRecord

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]


@pytest.fixture
def index(open_index: OpenIndex, memory_store: Any) -> Index:
    return open_index(memory_store)


def opened(index: Index, run: str, version: str | None = None, job: str = "sales") -> OpenedRun:
    return index.open_run(run, job, version, "hash", 3, 6)


def test_an_empty_store_is_an_empty_index_and_stays_untouched(index: Index, memory_store: Any) -> None:
    assert index.query() == []
    assert index.runs() == []
    assert index.latest_version("sales") is None
    assert index.revision == 0
    assert memory_store.objects == {}


def test_the_first_write_makes_the_home(index: Index, memory_store: Any) -> None:
    opened(index, "run-1")

    home = json.loads(memory_store.objects["format.json"])
    assert home["format"] == 1
    assert home["store"] == "memory://home"
    assert home["create_race"]["winners_per_round"] == 1
    assert sorted(memory_store.objects) == ["format.json", f"index/log/{1:020d}.json"]


def test_next_is_one_above_the_highest_whole_number_of_the_job(index: Index, make_record: MakeRecord) -> None:
    assert opened(index, "run-1").version == "1"
    assert opened(index, "run-2", "9").version == "9"
    assert opened(index, "run-3", "2026-11").version == "2026-11"
    assert opened(index, "run-4").version == "10"
    assert opened(index, "run-5", job="other").version == "1"
    index.commit([make_record(run="nomad:us/x", version="41")])
    assert opened(index, "run-6").version == "42"
    assert index.latest_version("sales") == "42"


def test_a_version_without_numbers_is_the_latest_where_there_is_no_other(index: Index) -> None:
    opened(index, "run-1", "alpha")
    opened(index, "run-2", "beta")

    assert index.latest_version("sales") == "beta"
    assert opened(index, "run-3").version == "1"


def test_an_existing_version_is_added_to_and_said_so(index: Index, make_record: MakeRecord) -> None:
    first = opened(index, "run-1", "4")
    index.commit([make_record(run="run-1"), make_record(run="run-1")])

    second = opened(index, "run-2", "4")

    assert (first.is_new, first.existing_results) == (True, 0)
    assert (second.is_new, second.existing_results) == (False, 2)


def test_opening_a_run_again_changes_nothing(index: Index, make_record: MakeRecord) -> None:
    first = opened(index, "run-1")
    index.commit([make_record(run="run-1", version="1")])
    head = index.runs()[0].revision

    assert opened(index, "run-1") == opened(index, "run-1", "1") == first
    assert index.runs()[0].revision == head
    with pytest.raises(UsageError, match="run-1 was opened for sales version 1"):
        opened(index, "run-1", "2")
    with pytest.raises(UsageError, match="run-1 was opened for sales version 1"):
        opened(index, "run-1", job="other")


@pytest.mark.parametrize(
    "version", ["", " ", "4 5", "a/b", "a@b", "..", "next", "-1", "x" * 65, "a\nb", "a\x1b[0m", "\ud800"]
)
def test_what_is_no_version_is_refused_before_anything_is_written(
    index: Index, memory_store: Any, make_record: MakeRecord, version: str
) -> None:
    with pytest.raises(UsageError, match="version"):
        opened(index, "run-1", version)
    with pytest.raises(UsageError, match="version"):
        index.commit([make_record(version=version)])
    assert memory_store.objects == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"run": "../x"},
        {"run": "a//b"},
        {"job": "a\x1b[2J"},
        {"alloc_id": ""},
        {"group": "\ud800"},
        {"region": 7},
        {"datacenter": "x" * 300},
        {"slot": -1},
        {"slot": 2**63},
        {"attempt": "1"},
        {"metrics": {"\ud800": 1.0}},
        {"params": {"a": "\udfff"}},
        {"environment": {"a": {1, 2}}},
        {"environment": ["parent"]},
        {"params": [["lr"]]},
        {"params": {"lr": 0.1}},
        {"metrics": {"auc": None}},
        {"metrics": {"auc": [1]}},
        {"metrics": "auc"},
    ],
)
def test_a_record_that_nobody_should_have_written_is_refused(
    index: Index, memory_store: Any, make_record: MakeRecord, fields: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        index.commit([make_record(), make_record(**fields)])
    assert memory_store.objects == {}


@pytest.mark.parametrize("name", ["metrics", "params", "environment"])
@pytest.mark.parametrize("value", [None, ["parent"], [["a"]], "parent", 7, {"a": None}, {"parent": [1]}])
def test_whatever_stands_in_a_record_in_the_log_the_index_still_answers(
    index: Index, memory_store: Any, make_record: MakeRecord, name: str, value: Any
) -> None:
    index.commit([make_record()])
    strange = make_record()
    log = Log(memory_store, "index/log/", author="somebody")
    log.refresh()
    log.append([{"type": "add", "record": strange.to_dict() | {name: value}}])

    rows = index.query(where="region = 'us' or params.epochs > 1 or metrics.auc > 0", sort="metrics.auc,params.epochs")

    assert strange.alloc_id in {row.alloc_id for row in rows}


@pytest.mark.parametrize("version", ["4", "v4.2-rc1", "2026-11-24", "größe", "模型"])
def test_versions_in_any_script_are_fine(index: Index, version: str) -> None:
    assert opened(index, "run-1", version).version == version


def test_the_first_commit_of_a_key_wins_for_ever(index: Index, make_record: MakeRecord) -> None:
    first, again, other = make_record(slot=0), make_record(slot=0, attempt=2), make_record(slot=1)

    assert index.commit([first, other]) == {first.alloc_id: "added", other.alloc_id: "added"}
    assert index.commit([again]) == {again.alloc_id: "superseded"}

    assert [(row.alloc_id, row.state) for row in index.query()] == [
        (again.alloc_id, "superseded"),
        (other.alloc_id, "committed"),
        (first.alloc_id, "committed"),
    ]
    assert [row.alloc_id for row in index.rivals(index.result(first.alloc_id))] == [again.alloc_id]


def test_a_key_is_run_slot_group_and_index(index: Index, make_record: MakeRecord) -> None:
    records = [
        make_record(slot=0),
        make_record(slot=0, index=1),
        make_record(slot=0, group="other"),
        make_record(slot=1),
        make_record(slot=0, run="run-2"),
    ]

    assert set(index.commit(records).values()) == {"added"}


def test_a_batch_is_one_entry_and_holds_its_own_rivals(index: Index, make_record: MakeRecord) -> None:
    first, rival = make_record(slot=0), make_record(slot=0)
    before = index.revision

    outcomes = index.commit([first, rival, first])

    assert outcomes == {first.alloc_id: "added", rival.alloc_id: "superseded"}
    assert {row.revision for row in index.query()} == {before + 1}


def test_what_is_known_is_not_written_again(index: Index, memory_store: Any, make_record: MakeRecord) -> None:
    record = make_record()
    index.commit([record])
    objects = dict(memory_store.objects)

    assert index.commit([record]) == {record.alloc_id: "known"}
    assert index.commit([]) == {}
    assert memory_store.objects == objects


def test_a_commit_is_one_request(index: Index, memory_store: Any, make_record: MakeRecord) -> None:
    index.commit([make_record()])
    memory_store.requests.clear()

    index.commit([make_record(), make_record()])

    assert [kind for kind, _ in memory_store.requests] == ["put"]


def test_results_of_a_cancelled_run_are_late(index: Index, make_record: MakeRecord) -> None:
    opened(index, "run-1", "4")
    early, late = make_record(run="run-1", slot=0), make_record(run="run-1", slot=1)
    index.commit([early])

    assert index.close_run("run-1", "cancelled", "wrong data") == "cancelled"
    assert index.commit([late]) == {late.alloc_id: "late"}
    assert [row.alloc_id for row in index.query(state="late")] == [late.alloc_id]
    assert [row.alloc_id for row in index.query(state="committed")] == [early.alloc_id]


def test_a_cancelled_run_stays_cancelled_and_a_failed_one_may_be_done(index: Index) -> None:
    opened(index, "run-1")
    opened(index, "run-2")

    assert index.close_run("run-1", "cancelled") == "cancelled"
    assert index.close_run("run-1", "done") == "cancelled"
    assert index.close_run("run-2", "failed", "2 slots") == "failed"
    assert index.close_run("run-2", "failed", "2 slots") == "failed"
    assert index.close_run("run-2", "done") == "done"
    assert index.close_run("run-2", "failed", "another coordinator knows less") == "done"
    assert [(run.run, run.state) for run in index.runs()] == [("run-2", "done"), ("run-1", "cancelled")]
    assert [run.run for run in index.runs(state="done")] == ["run-2"]


def test_closing_what_was_never_opened_is_refused(index: Index) -> None:
    with pytest.raises(UsageError, match="knows no run run-9"):
        index.close_run("run-9", "done")
    with pytest.raises(UsageError, match="not as 'open'"):
        index.close_run("run-9", "open")


def test_a_run_tells_how_much_of_it_is_in(index: Index, make_record: MakeRecord) -> None:
    opened(index, "run-1", "4")
    index.commit([make_record(run="run-1", slot=0), make_record(run="run-1", slot=0), make_record(run="run-1", slot=1)])

    [run] = index.runs(run="run-1")

    assert (run.job, run.version, run.spec_hash, run.slots, run.expected_keys) == ("sales", "4", "hash", 3, 6)
    assert (run.state, run.closed, run.committed, run.revision) == ("open", "", 2, 1)
    assert run.opened.endswith("Z")


def test_a_row_holds_what_a_person_asks_for(index: Index, make_record: MakeRecord) -> None:
    record = make_record(
        slot=7,
        store="s3://models/eu?endpoint=http://127.0.0.1:9",
        metrics={"auc": float("nan"), "n": 3, "note": "ünï", "ok": True},
    )
    index.commit([record])

    [row] = index.query()

    assert (row.job, row.version, row.run, row.slot, row.group, row.index) == ("sales", "4", "run-1", 7, "train", 0)
    assert (row.region, row.datacenter, row.node, row.attempt) == ("us", "us-east-1", "us-1", 1)
    assert row.url == f"s3://models/eu/{record.artifact_prefix}"
    assert row.size_bytes == 5
    assert str(row.metrics["auc"]) == "nan"
    assert {name: value for name, value in row.metrics.items() if name != "auc"} == {"n": 3, "note": "ünï", "ok": True}
    assert row.params == {"epochs": "3"}
    assert index.record(row).to_json() == record.to_json()
    assert index.provenance(row.revision)[1] == "a@b"


def test_filters_narrow_and_limit_keeps_the_newest(index: Index, make_record: MakeRecord) -> None:
    for number in range(6):
        index.commit(
            [
                make_record(
                    slot=number, run=f"run-{number % 2}", version=str(number % 3), region="us" if number else "eu"
                )
            ]
        )

    assert [row.slot for row in index.query()] == [5, 4, 3, 2, 1, 0]
    assert [row.slot for row in index.query(run="run-1")] == [5, 3, 1]
    assert [row.slot for row in index.query(run="run-1", version="0")] == [3]
    assert [row.slot for row in index.query(region="eu")] == [0]
    assert [row.slot for row in index.query(limit=2)] == [5, 4]
    assert index.query(job="' OR 1 = 1 --") == []


def test_a_result_is_named_by_prefix_version_or_slot(index: Index, make_record: MakeRecord) -> None:
    first = make_record(slot=0, version="4", alloc_id="aaaa1111")
    second = make_record(slot=1, version="4", alloc_id="aaaa2222")
    rival = make_record(slot=1, version="4", alloc_id="bbbb")
    lone = make_record(slot=0, run="run-2", version="5", alloc_id="4ccc")
    foreign = make_record(slot=0, run="run-3", job="other", version="5", alloc_id="dddd")
    index.commit([first, second, rival, lone, foreign])

    assert index.result("aaaa1").alloc_id == "aaaa1111"
    assert index.result("AAAA1").alloc_id == "aaaa1111"
    assert index.result("bb").state == "superseded"
    assert index.result("sales@4/1").alloc_id == "aaaa2222"
    assert index.result("4/0").alloc_id == "aaaa1111"
    assert index.result("sales@5").alloc_id == index.result("5", job="sales").alloc_id == "4ccc"
    assert {row.alloc_id for row in index.find("4")} == {"aaaa1111", "aaaa2222"}  # the version, not the prefix


def test_an_ambiguous_name_lists_what_it_may_mean(index: Index, make_record: MakeRecord) -> None:
    index.commit([make_record(slot=number, alloc_id=f"aaaa{number:02d}") for number in range(12)])

    with pytest.raises(UsageError, match="'aaaa' means 12 results") as told:
        index.result("aaaa")
    assert "aaaa11  sales version 4, slot 11, us/us-east-1, committed" in str(told.value)
    assert "… and 2 more" in str(told.value)
    assert "as aaaa11" in told.value.hint


@pytest.mark.parametrize("ref", ["zzz", "", "  ", "@", "sales@", "nobody@4", "4/99", "%", "_", "*"])
def test_a_name_of_nothing_is_told(index: Index, make_record: MakeRecord, ref: str) -> None:
    index.commit([make_record()])

    with pytest.raises(UsageError, match="no result, version or tag"):
        index.result(ref)


def test_changes_of_a_newer_fedml_are_kept_and_harm_nothing(
    index: Index, memory_store: Any, make_record: MakeRecord
) -> None:
    index.commit([make_record()])
    change = {"type": "prophesy", "result": "x", "deep": [1]}
    Log(memory_store, "index/log/", author="newer").append([change])
    index.commit([make_record()])

    assert len(index.query()) == 2
    assert index.unknown_changes() == [(2, change)]


def forge(store: Any, change: dict[str, Any]) -> None:
    """The second entry, by somebody who doesn't use our program."""
    first = store.objects[f"index/log/{1:020d}.json"]
    document = json.loads(first) | {"number": 2, "author": "mallory", "changes": [change]}
    document["previous"] = hashlib.sha256(first).hexdigest()
    store.objects[f"index/log/{2:020d}.json"] = json.dumps(document).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"type": "add"},
        {"type": "add", "record": {"format": 1}},
        {"type": "add", "record": None},
        {"type": "open", "run": "x"},
        {"type": "close", "run": "x"},
        {"type": "add", "record": {"format": "x"}},
        {"type": "close", "run": "x", "state": "\ud800", "reason": ""},
        {"type": "close", "run": "x", "state": "open", "reason": ""},
        {"type": "tag", "name": "production", "alloc_id": None},
        {"type": "tag", "name": "production", "alloc_id": "x", "depth": 2**70},
        {"type": "tag", "name": "production", "alloc_id": "x", "depth": "7"},
        {"type": "untag", "name": ["production"]},
        {"type": "retire", "alloc_id": {}},
        {"type": "retire", "alloc_id": "x", "undo": "no"},
        {"type": "note", "alloc_id": "x", "text": "\udfff"},
        {"type": "locate", "alloc_id": "x", "store": 5},
        {"type": "sign", "alloc_id": "x", "public_key": "", "manifest_sha256": "", "signature": float("nan")},
        {"type": "doom", "alloc_id": "x", "until": 0},
        {"type": "remove"},
        {"type": "freed", "alloc_id": "x", "size_bytes": -1},
        {"type": "rebuild", "is_done": "yes"},
        {"type": "open", "run": "x", "job": "", "version": "", "spec_hash": "", "slots": 2**70, "expected_keys": 1},
        {"type": "open", "run": ["x"], "job": 1, "version": {}, "spec_hash": "", "slots": 1, "expected_keys": 1},
    ],
)
def test_a_change_that_cannot_be_read_is_kept_with_a_note_and_the_index_goes_on(
    index: Index, memory_store: Any, make_record: MakeRecord, change: dict[str, Any]
) -> None:
    first, second = make_record(), make_record()
    index.commit([first])
    forge(memory_store, change)

    assert [row.alloc_id for row in index.query()] == [first.alloc_id]
    assert index.commit([second]) == {second.alloc_id: "added"}
    assert index.runs() == []
    [(revision, kept)] = index.unknown_changes()
    assert (revision, kept["type"], kept["kind"]) == (2, "unreadable", change["type"])
    assert kept["problem"].startswith("index revision 2 ")
    [entry] = [entry for entry in index.log() if entry.number == 2]
    assert (entry.author, entry.changes) == ("mallory", (kept,))
    assert [row.alloc_id for row in index.at("2").query()] == [first.alloc_id]


def test_a_record_of_a_newer_format_is_refused_in_one_line(
    index: Index, memory_store: Any, make_record: MakeRecord
) -> None:
    index.commit([make_record()])
    record = make_record().to_dict() | {"format": 2}
    Log(memory_store, "index/log/", author="newer").append([{"type": "add", "record": record}])

    with pytest.raises(FormatTooNew, match="record of format 2, this fedml knows 1: upgrade fedml"):
        index.query()


def test_a_second_add_of_a_key_never_wins_whatever_its_writer_says(
    index: Index, memory_store: Any, make_record: MakeRecord
) -> None:
    first, forged = make_record(slot=0), make_record(slot=0)
    index.commit([first])
    Log(memory_store, "index/log/", author="careless").append([{"type": "add", "record": forged.to_dict()}])

    assert [row.alloc_id for row in index.query(state="committed")] == [first.alloc_id]
    assert [row.alloc_id for row in index.query(state="superseded")] == [forged.alloc_id]


def test_a_commit_that_became_known_meanwhile_is_no_conflict(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process commits the very same result between our decision and our write."""
    ours, theirs = open_index(memory_store), open_index(memory_store)
    record = make_record()
    theirs.query()
    append = Log.append

    def beaten(log: Log, *arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(Log, "append", append)
        theirs.commit([record])
        return append(log, *arguments, **options)

    monkeypatch.setattr(Log, "append", beaten)

    assert ours.commit([record]) == {record.alloc_id: "known"}
    assert len(ours.query()) == 1


def test_a_decision_rests_on_the_entry_before_its_own_also_where_another_process_shares_the_catalog(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord
) -> None:
    theirs = open_index(memory_store, "shared")
    theirs.commit([make_record()])
    ours = open_index(memory_store, "shared")
    ours.query()
    decided_at = []

    def decide(catalog: Catalog) -> list[dict[str, Any]]:
        decided_at.append(catalog.position().number)
        if len(decided_at) == 1:
            theirs.commit([make_record()])
        return [{"type": "add", "record": make_record().to_dict()}]

    ours.change(decide, reason="ours")

    assert [entry.reason for entry in ours.log()] == ["", "", "ours"]
    assert decided_at == [1, 2]


def test_lasting_conflicts_are_told(index: Index, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten(*arguments: Any, **options: Any) -> Any:
        raise LogConflict("others won")

    monkeypatch.setattr(Log, "append", beaten)

    with pytest.raises(LogConflict):
        index.commit([make_record()])


@pytest.mark.parametrize("version", ["9999999999999999999", "10006", "999999999999999999", "٣"])
def test_a_version_that_only_a_result_says_does_not_move_the_next_one_far(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord, version: str
) -> None:
    index = open_index(memory_store)
    index.open_run("run-1", "sales", "5", "hash", 1, 1)
    index.commit([make_record(run="nomad:us:child", version=version)])
    assert index.open_run("run-2", "sales", None, "hash", 1, 1).version == "6"


def test_versions_of_plain_nomad_and_adopted_results_count_as_before(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord
) -> None:
    index = open_index(memory_store)
    index.commit([make_record(run=f"nomad:us:{number}", version=str(number)) for number in (3, 7, 2026)])
    assert index.open_run("run-1", "sales", None, "hash", 1, 1).version == "2027"


def test_an_opened_version_counts_however_far_it_is(open_index: OpenIndex, memory_store: Any) -> None:
    index = open_index(memory_store)
    index.open_run("run-1", "sales", "20261130123000", "hash", 1, 1)
    assert index.open_run("run-2", "sales", None, "hash", 1, 1).version == "20261130123001"


def test_a_results_run_says_which_job_and_version_it_enters(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord
) -> None:
    index = open_index(memory_store)
    index.open_run("run-1", "sales", "4", "hash", 2, 2)
    with pytest.raises(UsageError, match="its record says job 'other'; run run-1 has 'sales'"):
        index.commit([make_record(run="run-1"), make_record(run="run-1", job="other", version="99")])
    with pytest.raises(UsageError, match="its record says version '99'; run run-1 has '4'"):
        index.commit([make_record(run="run-1", version="99")])
    assert index.query() == []


def test_what_an_older_fedml_entered_into_another_job_moves_no_version_of_it(
    open_index: OpenIndex, memory_store: Any, make_record: MakeRecord
) -> None:
    index = open_index(memory_store)
    index.open_run("run-1", "sales", "4", "hash", 1, 1)
    forged = make_record(run="run-1", job="other", version="99").to_dict()
    index.change(lambda _: [{"type": "add", "record": forged}])
    assert index.open_run("run-2", "other", None, "hash", 1, 1).version == "1"
