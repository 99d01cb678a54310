"""Watching the index: every event at least once, from wherever the last watcher of that name got to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from federation.errors import IndexCorrupt, UsageError
from federation.index import Index
from federation.index.cursor import Watcher
from federation.log import Log
from federation.result import ResultRecord
from regions.storage.errors import Unavailable

OpenIndex = Callable[..., Index]
MakeRecord = Callable[..., ResultRecord]


@pytest.fixture
def index(open_index: OpenIndex, memory_store: Any, make_record: MakeRecord) -> Index:
    made = open_index(memory_store)
    made.open_run("run-1", "sales", "4", "h", 2, 2)
    made.commit([make_record(slot=0, alloc_id="one"), make_record(slot=0, alloc_id="two")], reason="run-1")
    return made


def told(watcher: Watcher, after: int) -> list[dict[str, Any]]:
    """All events after that revision, each dealt with."""
    found = []
    for revision, events in watcher.follow(after, pause=None):
        found += [event.document for event in events]
        watcher.advance(revision.number)
    return found


def test_each_kind_of_event_says_what_happened(index: Index, memory_store: Any) -> None:
    index.tag("production", "one", reason="good")
    index.tag("production", "two")
    index.rollback("production")
    index.untag("production")
    index.retire(["two"], reason="bad data")
    index.retire(["two"], is_undone=True)
    index.note("one", "not told")
    watcher = Watcher(index, memory_store, "hooks")

    found = told(watcher, watcher.begin(after=0))

    short = [(one["event"], one["alloc_id"], one.get("state"), one.get("previous")) for one in found]
    assert short == [
        ("index_commit", "one", "committed", None),
        ("index_commit", "two", "superseded", None),
        ("index_tag", "one", None, ""),
        ("index_tag", "two", None, "one"),
        ("index_tag", "one", None, "two"),
        ("index_tag", "", None, "one"),
        ("index_retire", "two", None, None),
        ("index_retire", "two", None, None),
    ]
    assert [one["is_rollback"] for one in found if "tag" in one] == [False, False, True, False]
    assert [one["is_undone"] for one in found if one["event"] == "index_retire"] == [False, True]
    assert (found[2]["tag"], found[2]["author"], found[2]["reason"], found[2]["revision"]) == (
        *("production", "a@b", "good"),
        3,
    )
    assert (found[0]["job"], found[0]["version"], found[0]["region"]) == ("sales", "4", "us")
    assert watcher.begin() == 9


def test_the_first_time_it_begins_with_what_comes(index: Index, memory_store: Any) -> None:
    watcher = Watcher(index, memory_store, "hooks")
    start = watcher.begin()
    index.tag("production", "one")

    assert (start, [one["event"] for one in told(watcher, start)]) == (2, ["index_tag"])


def test_what_was_not_dealt_with_is_told_again_to_whoever_goes_on(
    index: Index, memory_store: Any, open_index: OpenIndex
) -> None:
    first = Watcher(index, memory_store, "hooks")
    start = first.begin()
    index.tag("production", "one")
    index.tag("production", "two")
    following = first.follow(start, pause=None)
    revision, _ = next(following)
    first.advance(revision.number)
    next(following)  # told, and then the process dies

    second = Watcher(open_index(memory_store), memory_store, "hooks")
    other = Watcher(index, memory_store, "other")

    assert [one["alloc_id"] for one in told(second, second.begin())] == ["two"]
    assert told(second, second.begin()) == []
    assert told(other, other.begin()) == []


def test_a_home_store_that_is_silent_is_asked_again(index: Index, memory_store: Any, faulty: Any) -> None:
    watcher = Watcher(index, memory_store, "hooks")
    start = watcher.begin()
    silent: list[Unavailable] = []
    answers = iter([False, False, True])
    log = index.log

    class Silent:
        def log(self, **asked: Any) -> Any:
            if not next(answers, True):
                raise Unavailable("no answer")
            return log(**asked)

    index.tag("production", "one")
    following = Watcher(Silent(), memory_store, "hooks").follow(  # type: ignore[arg-type]
        start, pause=lambda: None, unreachable=silent.append
    )

    assert next(following)[0].number == 3
    assert len(silent) == 2
    answers = iter([False])
    following = Watcher(Silent(), memory_store, "hooks").follow(start, pause=None)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        next(following)


def test_what_a_rebuild_brings_back_is_not_told(index: Index, memory_store: Any) -> None:
    watcher = Watcher(index, memory_store, "hooks")
    start = watcher.begin()
    mark = {"type": "rebuild", "is_done": False}
    log = Log(memory_store, "index/log/", author="a")
    log.refresh()
    log.append([mark, {"type": "tag", "name": "staging", "alloc_id": "one", "previous": "", "rebuilt": True}])

    assert told(watcher, start) == []
    assert watcher.begin() == 3


def test_after_an_index_was_lost_it_goes_on_with_what_comes(index: Index, memory_store: Any) -> None:
    watcher = Watcher(index, memory_store, "hooks")
    watcher.advance(99)

    assert watcher.begin() == 2


def test_a_torn_cursor_and_a_wrong_name_are_told(index: Index, memory_store: Any) -> None:
    memory_store.put("index/watch/hooks.json", b"{")
    watcher = Watcher(index, memory_store, "hooks")

    with pytest.raises(IndexCorrupt, match="is not what fedml wrote") as torn:
        watcher.begin()
    assert "--after" in torn.value.hint
    assert watcher.begin(after=1) == 1
    assert watcher.begin() == 1
    with pytest.raises(UsageError, match="tag"):
        Watcher(index, memory_store, "../log/1")


def test_commits_know_nothing_of_it(index: Index, memory_store: Any, make_record: MakeRecord) -> None:
    Watcher(index, memory_store, "hooks").begin()
    memory_store.requests.clear()

    index.commit([make_record(slot=1)])

    assert [verb for verb, _ in memory_store.requests] == ["put"]
