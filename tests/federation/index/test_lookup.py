"""Which run a person means: by its id or a part of it, by its name, or by its place from the newest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from federation.errors import UsageError
from federation.index import Index
from federation.index.lookup import run_named
from federation.index.short_ids import short_result, short_runs
from federation.manifest import new_run_id
from federation.result import ResultRecord

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]

MINUTE = "019ab3a0-52be-7cc1-a9cf-"
FIRST, SECOND, THIRD = (f"{MINUTE}{end}" for end in ("2a1f4c7de001", "2a1f99999999", "2a1f4c7de0ff"))


@pytest.fixture
def index(open_index: OpenIndex, memory_store: Any) -> Index:
    """Three runs of one minute: `nightly`, one without a name, and `nightly` again."""
    made = open_index(memory_store)
    for run, name in ((FIRST, "nightly"), (SECOND, ""), (THIRD, "nightly")):
        made.open_run(run, "sales", None, "spec", 1, 1, name=name)
    return made


@pytest.mark.parametrize(
    ("text", "run"),
    [
        (FIRST, FIRST),
        (FIRST.upper(), FIRST),
        ("4c7de001", FIRST),
        ("4C7DE001", FIRST),
        ("99999999", SECOND),
        ("e0ff", THIRD),
        ("2a1f4c7de0ff", THIRD),
        (f"{MINUTE}2a1f9", SECOND),
        ("last", THIRD),
        ("LAST", THIRD),
        ("last-0", THIRD),
        ("last-1", SECOND),
        ("last-2", FIRST),
        ("nightly", THIRD),
        (" nightly ", THIRD),
    ],
)
def test_a_run_is_meant_by(index: Index, text: str, run: str) -> None:
    assert run_named(index, text) == run


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("019ab3a0", "'019ab3a0' means 3 runs:\n  99999999  sales version 2, "),
        ("last-3", "there is no run last-3: the index has 3 runs"),
        ("nightl", "the index knows no run 'nightl'"),
        ("0ff", "the index knows no run '0ff'"),
        ("", "the index knows no run ''"),
        ("last-", "the index knows no run 'last-'"),
        ("last--1", "the index knows no run 'last--1'"),
        ("%", "the index knows no run '%'"),
    ],
)
def test_no_run_or_several_are_meant(index: Index, text: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        run_named(index, text)
    assert error.value.message.startswith(says)
    if text == "nightl":
        assert error.value.hint == "did you mean 'nightly'?"


def test_an_index_without_runs_has_no_last_one(open_index: OpenIndex, memory_store: Any) -> None:
    with pytest.raises(UsageError, match="no run last: the index has 0 runs") as error:
        run_named(open_index(memory_store), "last")
    assert "fedml dispatch" in error.value.hint


def test_a_whole_id_is_itself_even_where_others_begin_with_it(index: Index) -> None:
    index.open_run("night", "sales", None, "spec", 1, 1)
    index.open_run("night-2", "sales", None, "spec", 1, 1)
    assert run_named(index, "night") == "night"


def test_a_run_that_only_its_results_name_is_found_by_both_ends(index: Index, make_record: MakeRecord) -> None:
    run = "019ab3a0-0000-7000-8000-0123456789ab"
    index.commit([make_record(run=run)])
    assert run_named(index, "456789ab") == run_named(index, "019ab3a0-0") == run


@pytest.mark.parametrize("name", ["last", "Last-1", "deadbeef", "cafe", "1st", "-x", "a b", "a/b", "", "x" * 65, "a\n"])
def test_a_name_that_cannot_be_told_from_other_words_is_refused(index: Index, name: str) -> None:
    if name:
        with pytest.raises(UsageError, match="run name"):
            index.open_run("run-9", "sales", None, "spec", 1, 1, name=name)
    assert len(index.runs()) == 3


@pytest.mark.parametrize("name", ["last", 7, None, ["x"], "a\x00b"])
def test_a_name_in_the_log_that_cannot_be_one_leaves_the_run_without_a_name(index: Index, name: object) -> None:
    opened = {"type": "open", "run": "run-9", "job": "sales", "version": "9", "spec_hash": "s", "slots": 1}
    index._append(lambda catalog: [opened | {"expected_keys": 1, "name": name}], reason="by hand")
    assert [(row.run, row.name) for row in index.runs(run="run-9")] == [("run-9", "")]


def test_a_run_has_its_author_and_name_now_and_in_the_past(index: Index) -> None:
    assert [(row.run, row.name, row.author) for row in index.runs()] == [
        (THIRD, "nightly", index.author),
        (SECOND, "", index.author),
        (FIRST, "nightly", index.author),
    ]
    assert index.revision == 3
    past = index.at("1")
    assert [row.name for row in past.runs()] == ["nightly"]
    assert run_named(past, "nightly") == run_named(past, "last") == FIRST
    assert index.log()[-1].changes[0]["name"] == "nightly"
    assert "name" not in index.log()[1].changes[0]


def test_short_ids_of_runs_are_their_ends_and_grow_where_two_end_alike() -> None:
    twins = [f"{MINUTE}2a1f4c7de001", f"{MINUTE}000f4c7de001"]
    same = ["019ab3a0-52be-7cc1-a9cf-aaaaaaaaaaaa", "019ab3a0-52be-7cc1-ffff-aaaaaaaaaaaa"]
    assert short_runs([FIRST, SECOND], [FIRST, SECOND]) == {FIRST: "4c7de001", SECOND: "99999999"}
    assert list(short_runs(twins, twins).values()) == ["2a1f4c7de001", "000f4c7de001"]
    assert short_runs(same, same) == {one: one for one in same}
    assert short_runs(["nomad:us/sales/dispatch-1"], []) == {"nomad:us/sales/dispatch-1": "nomad:us/sales/dispatch-1"}


def test_each_short_id_of_many_runs_of_one_moment_names_its_run(open_index: OpenIndex, memory_store: Any) -> None:
    index = open_index(memory_store)
    runs = [new_run_id(1_790_000_000_000) for _ in range(40)]
    for run in runs:
        index.open_run(run, "sales", "1", "spec", 1, 1)
    assert {run: run_named(index, short) for run, short in index.short_runs(runs).items()} == {run: run for run in runs}


def test_short_ids_of_results_grow_where_two_begin_alike(index: Index, make_record: MakeRecord) -> None:
    ids = [f"{begin}-0000-4000-8000-000000000000" for begin in ("aaaaaaaa", "aaaaaaab", "bbbbbbbb")]
    ids += ["bbbbbbbb-0000-4000-9000-000000000000"]
    index.commit([make_record(alloc_id=alloc_id, slot=slot) for slot, alloc_id in enumerate(ids)])
    short = index.short_results(ids)
    assert list(short.values()) == ["aaaaaaaa", "aaaaaaab", "bbbbbbbb-0000-4000-8", "bbbbbbbb-0000-4000-9"]
    assert [index.result(one).alloc_id for one in short.values()] == ids
    assert short_result("abc", []) == "abc"
