"""Tags: one winner of two, protection, history, rollback; retirement and notes beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from federation.errors import UsageError
from federation.index import Index, Row
from federation.index.query import WhereError
from federation.index.tag_rule import TagRule
from federation.index.tags import TagMoved, TagRefused
from federation.log import Log
from federation.result import ResultRecord
from regions.storage.errors import Unavailable

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]


@pytest.fixture
def index(open_index: OpenIndex, memory_store: Any) -> Index:
    return open_index(memory_store)


@pytest.fixture
def ids(index: Index, make_record: MakeRecord) -> list[str]:
    """Four results of version 4, oldest first."""
    records = [make_record(slot=slot, metrics={"auc": 0.7 + slot / 100}) for slot in range(4)]
    index.commit(records)
    return [record.alloc_id for record in records]


def holder(index: Index, name: str = "production") -> str | None:
    return next((row.alloc_id for row in index.query(tag=name)), None)


def test_a_tag_names_its_result_everywhere(index: Index, ids: list[str]) -> None:
    index.tag("production", ids[1][:8], reason="good")

    assert index.result("production").alloc_id == ids[1]
    assert [row.alloc_id for row in index.find("production")] == [ids[1]]
    assert index.find("production", job="another") == []
    assert [row.alloc_id for row in index.query(where="tag = 'production'")] == [ids[1]]
    assert index.result(ids[1]).tags == ("production",)
    assert index.result(ids[0]).tags == ()
    assert (index.tags()[0].name, index.tags()[0].reason, index.tags()[0].author) == ("production", "good", "a@b")


def test_moving_tells_where_it_pointed(index: Index, ids: list[str]) -> None:
    first = index.tag("production", ids[0])
    second = index.tag("production", ids[1])
    again = index.tag("production", ids[1])

    assert (first.alloc_id, first.previous) == (ids[0], "")
    assert (second.alloc_id, second.previous) == (ids[1], ids[0])
    assert again.alloc_id == again.previous == ids[1]
    moves = [move.revision for move in index.tag_history("production")]
    assert {first.revision, second.revision, again.revision} == set(moves)
    assert len(index.tag_history("production")) == 2


def test_if_current_moves_only_from_there(index: Index, ids: list[str]) -> None:
    index.tag("production", ids[0], if_current="none")
    index.tag("production", ids[1], if_current=ids[0])
    with pytest.raises(
        TagMoved, match=f"'production' points to {ids[1][:8]}, since revision 3 by a@b, not to {ids[0][:8]}"
    ):
        index.tag("production", ids[2], if_current=ids[0])
    with pytest.raises(TagMoved, match=r"points to .*, not to nothing"):
        index.tag("production", ids[2], if_current="none")
    with pytest.raises(TagMoved, match="'other' points to nothing, not to"):
        index.tag("other", ids[2], if_current=ids[0])
    with pytest.raises(TagMoved):
        index.untag("production", if_current=ids[0])

    assert holder(index) == ids[1]


@pytest.mark.parametrize("fault_rate", [0.0, 0.15])
def test_of_many_who_promote_at_once_one_wins_and_the_others_are_told(
    open_index: OpenIndex, memory_store: Any, faulty: Any, index: Index, ids: list[str], fault_rate: float
) -> None:
    index.tag("production", ids[0])
    outcomes: dict[int, str] = {}
    barrier = threading.Barrier(6)

    def promote(number: int) -> None:
        mine = open_index(faulty(memory_store, seed=number, fault_rate=fault_rate), cache=f"own-{number}")
        wanted = ids[1 + number % 3]
        barrier.wait()
        for _ in range(100):
            try:
                mine.tag("production", wanted, if_current=ids[0], reason=f"by {number}")
                outcomes[number] = wanted
                return
            except Unavailable:
                continue
            except TagMoved:
                outcomes[number] = "moved"
                return

    threads = [threading.Thread(target=promote, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    changes = [change for entry in Log(memory_store, "index/log/", author="x").refresh() for change in entry.changes]
    moved = [change["alloc_id"] for change in changes if change["type"] == "tag"]
    assert len(moved) == 2  # the first tag, and one promotion
    assert set(outcomes.values()) <= {moved[1], "moved"}
    assert all(outcomes[number] == "moved" for number in outcomes if ids[1 + number % 3] != moved[1])
    assert len(outcomes) == 6


def test_the_decision_is_made_again_when_another_writer_was_faster(
    open_index: OpenIndex, memory_store: Any, index: Index, ids: list[str]
) -> None:
    """The other writes between this one's look and its write."""
    other = open_index(memory_store, cache="other")
    put, done = memory_store.put, []

    def slow_put(key: str, data: bytes, *rest: Any, **named: Any) -> Any:
        if key.startswith("index/log/") and not done:
            done.append(key)
            other.retire([ids[0]])
        return put(key, data, *rest, **named)

    memory_store.put = slow_put
    with pytest.raises(UsageError, match="is retired, and can't be tagged 'production'"):
        index.tag("production", ids[0])
    assert index.tags() == []


def test_rollback_goes_to_the_previous_holder_and_once_more_further_back(index: Index, ids: list[str]) -> None:
    for alloc_id in ids[:3]:
        index.tag("production", alloc_id)

    assert index.rollback("production").alloc_id == ids[1]
    assert index.rollback("production").alloc_id == ids[0]
    with pytest.raises(UsageError, match="had no other holder"):
        index.rollback("production")
    index.tag("production", ids[3])
    assert index.rollback("production").alloc_id == ids[0]
    assert [move.kind for move in index.tag_history("production")] == [
        *("rollback", "tag", "rollback", "rollback", "tag", "tag", "tag")
    ]
    assert index.tag_history("production")[0].previous == ids[3]


def test_rollback_passes_over_what_may_not_hold_a_tag_any_more(index: Index, ids: list[str]) -> None:
    for alloc_id in ids[:3]:
        index.tag("production", alloc_id)
    index.retire([ids[1]])

    assert index.rollback("production").alloc_id == ids[0]


def test_rollback_of_an_untagged_name_brings_its_last_holder_back(index: Index, ids: list[str]) -> None:
    index.tag("production", ids[0])
    index.tag("production", ids[1])
    assert index.untag("production", reason="incident").previous == ids[1]
    assert holder(index) is None
    assert index.untag("production").previous == ""

    assert index.rollback("production").alloc_id == ids[1]
    assert index.rollback("production").alloc_id == ids[0]


def test_two_rollbacks_at_once_go_back_once(
    open_index: OpenIndex, memory_store: Any, index: Index, ids: list[str]
) -> None:
    for alloc_id in ids[:3]:
        index.tag("production", alloc_id)
    other = open_index(memory_store, cache="other")
    put, done = memory_store.put, []

    def slow_put(key: str, data: bytes, *rest: Any, **named: Any) -> Any:
        if key.startswith("index/log/") and not done:
            done.append(key)
            other.rollback("production")
        return put(key, data, *rest, **named)

    memory_store.put = slow_put
    with pytest.raises(TagMoved):
        index.rollback("production")
    assert holder(index) == ids[1]


@pytest.mark.parametrize("name", ["production", "sales-champion", "v1.2_rc", "Produktion-Zürich", "本番", "x" * 64])
def test_names_that_are_tags(index: Index, ids: list[str], name: str) -> None:
    index.tag(name, ids[0])

    assert index.result(name).tags == (name,)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "4", "2026-11", "beef", "CAFE-1", "next", "latest", "none", "a b", "a/b", "a@b", "-x", "x" * 65),
        *("a\nb", "a\x1b[0m", "\ud800", "it's", "a,b", ".x"),
    ],
)
def test_names_that_are_none_are_refused_before_anything_is_asked(index: Index, memory_store: Any, name: str) -> None:
    with pytest.raises(UsageError, match="tag"):
        index.tag(name, "4")
    assert memory_store.requests == []


def test_a_version_is_no_tag(index: Index, ids: list[str], make_record: MakeRecord) -> None:
    index.open_run("run-9", "sales", "golden", "h", 1, 1)
    with pytest.raises(UsageError, match="'golden' is a version"):
        index.tag("golden", ids[0])


def test_what_is_missing_retired_or_several_is_refused(index: Index, ids: list[str]) -> None:
    index.retire([ids[0]], reason="broken")
    for ref, problem in ((ids[0], "is retired"), ("zzz", "no result, version or tag"), ("4", "means 3 results")):
        with pytest.raises(UsageError, match=problem):
            index.tag("production", ref)
    with pytest.raises(UsageError, match="there is no tag 'production'"):
        index.untag("production")
    with pytest.raises(UsageError, match="there is no tag 'production'"):
        index.rollback("production")
    assert index.tags() == []


# ── protected tags ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_protected_tag_demands_a_condition(index: Index, ids: list[str]) -> None:
    rule = TagRule(where="metrics.auc >= 0.72")
    with pytest.raises(TagRefused, match=r"doesn't meet  metrics.auc >= 0.72  \(metrics.auc is 0.71\)"):
        index.tag("production", ids[1], rule=rule)
    index.tag("production", ids[2], rule=rule)
    index.tag("production", ids[3], rule=rule)
    assert index.rollback("production", rule=rule).alloc_id == ids[2]
    with pytest.raises(TagRefused):
        index.tag("staging", ids[0], rule=rule)


def test_a_condition_that_no_result_can_meet_names_the_configuration(index: Index, ids: list[str]) -> None:
    with pytest.raises(WhereError, match=r"fedml.toml: tags.production.where: no result has the metric 'acu'"):
        index.tag("production", ids[0], rule=TagRule(where="metrics.acu > 1"))


def test_a_protected_tag_is_moved_by_its_authors_only(
    open_index: OpenIndex, memory_store: Any, index: Index, ids: list[str]
) -> None:
    rule = TagRule(authors=("ann@*", "ci"))
    for act in (
        lambda: index.tag("production", ids[0], rule=rule),
        lambda: index.untag("production", rule=rule),
        lambda: index.rollback("production", rule=rule),
    ):
        index.tag("production", ids[1])
        index.tag("production", ids[2])
        with pytest.raises(TagRefused, match="a@b isn't among those who may move it"):
            act()
    assert holder(index) == ids[2]
    index.author = "ann@workstation"
    assert index.tag("production", ids[0], rule=rule).alloc_id == ids[0]


def test_a_protected_tag_demands_copies(
    memory_store: Any, index: Index, ids: list[str], make_record: MakeRecord
) -> None:
    log = Log(memory_store, "index/log/", author="x")
    with pytest.raises(TagRefused, match="lies in 1 store, and 2 are demanded"):
        index.tag("production", ids[0], rule=TagRule(copies=2))
    log.append([{"type": "locate", "alloc_id": ids[0], "store": "memory://copy"}])
    index.tag("production", ids[0], rule=TagRule(copies=2))


# ── retirement and notes ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_retired_result_is_hidden_and_its_key_stays_won(
    index: Index, ids: list[str], make_record: MakeRecord
) -> None:
    [row] = index.retire([ids[0]], reason="broken export")

    assert row.state == "retired"
    assert ids[0] not in {row.alloc_id for row in index.query()}
    assert [row.alloc_id for row in index.query(state="retired")] == [ids[0]]
    assert [row.alloc_id for row in index.query(where="state = 'retired'")] == [ids[0]]
    assert [row.alloc_id for row in index.find("4")] == ids[:0:-1]
    assert index.result(ids[0]).state == "retired"
    assert {row.alloc_id for row in index.won("run-1")} == set(ids)
    late = make_record(slot=0)
    assert index.commit([late]) == {late.alloc_id: "superseded"}
    assert index.log()[-2].reason == "broken export"


def test_retirement_can_be_undone(index: Index, ids: list[str], make_record: MakeRecord) -> None:
    late = make_record(slot=0)
    index.commit([late])
    index.retire([late.alloc_id, ids[1]])
    head = index.log()[-1].number
    index.retire([ids[1]])
    assert index.log()[-1].number == head

    rows = index.retire([late.alloc_id, ids[1]], is_undone=True)

    assert [row.state for row in rows] == ["superseded", "committed"]


def test_a_tagged_result_is_not_retired(index: Index, ids: list[str]) -> None:
    index.tag("production", ids[0])

    with pytest.raises(UsageError, match="is tagged production"):
        index.retire([ids[1], ids[0]])
    assert [row.state for row in map(index.result, ids)] == ["committed"] * 4


def test_notes_are_kept_with_who_and_when(index: Index, ids: list[str]) -> None:
    index.note(ids[0], "  served since Monday\nwith care ")
    index.note(ids[0], "second")
    index.note(ids[0], "second")

    row: Row = index.result(ids[0])
    assert [(note.text, note.author, note.revision) for note in index.notes(row)] == [
        ("served since Monday\nwith care", "a@b", 2),
        ("second", "a@b", 3),
    ]


@pytest.mark.parametrize("text", ["", "  ", "x" * 10_001, "\x1b[2J", "\ud800"])
def test_a_text_that_is_none_is_no_note(index: Index, ids: list[str], text: str) -> None:
    with pytest.raises(UsageError, match="the note"):
        index.note(ids[0], text)


def test_a_reason_that_is_no_text_is_refused_before_anything_is_written(index: Index, ids: list[str]) -> None:
    for act in (
        lambda reason: index.tag("production", ids[0], reason=reason),
        lambda reason: index.retire([ids[0]], reason=reason),
    ):
        for reason in ("\ud800", "\x1b[2J", "x" * 10_001):
            with pytest.raises(UsageError, match="the reason"):
                act(reason)
    assert len(index.log()) == 1


@pytest.mark.parametrize("text", ["\ud800", "a\udcff"])
def test_what_is_no_text_names_nothing(index: Index, ids: list[str], text: str) -> None:
    for ask in (index.find, lambda text: index.query(job=text), lambda text: index.query(tag=text)):
        with pytest.raises(UsageError, match="is not valid text"):
            ask(text)
