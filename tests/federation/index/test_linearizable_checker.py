"""The checker of histories, held against histories that can't be: each is told, and good ones aren't."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from regions.model import StoreConfig
from regions.storage.file.store import FileStore
from tests.federation.index.clients import entries_of, history_of
from tests.federation.index.linearizable import UNKNOWN, Operation, problems

HOME = b'{"format": 1, "id": "%032x", "created": "now"}' % 7


def at(number: float) -> dict[str, float]:
    """An operation that lasts a little, at that moment."""
    return {"began": number, "ended": number + 0.5}


def adds(name: str, moment: float, *results: tuple[str, int], told: Any, **given: Any) -> Operation:
    return Operation(name, "add", {"results": list(results)}, **(at(moment) | given), told=told)


def tags(name: str, moment: float, alloc_id: str, *, told: Any, if_current: str | None = None) -> Operation:
    asked = {"name": "production", "alloc_id": alloc_id, "if_current": if_current}
    return Operation(name, "tag", asked, **at(moment), told=told)


def reads(moment: float, revision: int, states: dict[str, str], tags: dict[str, str] | None = None) -> Operation:
    told = {"states": states, "tags": tags or {}}
    return Operation(f"read-{moment}", "read", {"revision": revision}, **at(moment), told=told)


@dataclasses.dataclass
class Entry:
    number: int
    reason: str
    changes: list[dict[str, Any]]


def entry(number: int, reason: str, *changes: tuple[Any, ...]) -> Entry:
    made: list[dict[str, Any]] = []
    for kind, *values in changes:
        match kind:
            case "add" | "supersede":
                made.append({"type": kind, "record": {"alloc_id": values[0], "key": {"slot": values[1]}}})
            case "open":
                made.append({"type": kind, "run": values[0], "version": str(values[1])})
            case "tag":
                made.append({"type": kind, "name": values[0], "alloc_id": values[1]})
            case "retire":
                made.append({"type": kind, "alloc_id": values[0]})
    return Entry(number, reason, made)


BOTH = {"a": "committed", "b": "superseded"}
A_WON, B_CAME = adds("one", 1, ("a", 0), told={"a": "added"}), adds("two", 2, ("b", 0), told={"b": "superseded"})
TAGGED = tags("three", 3, "a", told="", if_current="")
GOOD = (
    [A_WON, B_CAME, TAGGED, reads(4, 3, BOTH, {"production": "a"}), adds("five", 5, ("a", 0), told={"a": "known"})],
    [
        entry(1, "one", ("add", "a", 0)),
        entry(2, "two", ("supersede", "b", 0)),
        entry(3, "three", ("tag", "production", "a")),
    ],
)


def test_a_good_history_is_good() -> None:
    assert problems(*GOOD) == []
    lost = dataclasses.replace(A_WON, told=UNKNOWN, ended=float("inf"))
    assert problems([lost], []) == []
    assert problems([lost, reads(9, 1, {"a": "committed"})], [entry(1, "one", ("add", "a", 0))]) == []
    opened = [Operation(name, "open", {"run": "r"}, **at(moment), told=1) for name, moment in (("x", 1), ("y", 3))]
    assert problems(opened, [entry(1, "run r", ("open", "r", 1))]) == []


BAD: dict[str, tuple[list[Operation], list[Entry], str]] = {
    "two winners of a slot": (
        [A_WON, adds("two", 2, ("b", 0), told={"b": "added"})],
        [entry(1, "one", ("add", "a", 0)), entry(2, "two", ("add", "b", 0))],
        "had to write",
    ),
    "told that it won, and it did not": (
        [A_WON, adds("two", 2, ("b", 0), told={"b": "added"})],
        [entry(1, "one", ("add", "a", 0)), entry(2, "two", ("supersede", "b", 0))],
        "was told that",
    ),
    "a write that was told and is lost": ([A_WON], [], "true nowhere"),
    "a read that misses what was told before it began": (
        [A_WON, B_CAME, reads(3, 1, {"a": "committed"})],
        GOOD[1][:2],
        "true nowhere after 2",
    ),
    "a read of what comes later": ([reads(0, 1, {"a": "committed"}), A_WON], GOOD[1][:1], "began after what was true at 1"),
    "a read that goes back": (
        [A_WON, dataclasses.replace(B_CAME, told=UNKNOWN, ended=9e9), reads(3, 2, BOTH), reads(4, 1, {"a": "committed"})],
        GOOD[1][:2],
        "true nowhere after 2",
    ),
    "a read of what no revision says": ([A_WON, reads(2, 1, {"a": "superseded"})], GOOD[1][:1], "true nowhere"),
    "a read that misses a tag": ([*GOOD[0][:3], reads(4, 3, BOTH)], GOOD[1], "true nowhere"),
    "entries in another order than they were told in": (
        [adds("late", 9, ("a", 0), told={"a": "added"}), adds("early", 1, ("b", 1), told={"b": "added"})],
        [entry(1, "late", ("add", "a", 0)), entry(2, "early", ("add", "b", 1))],
        "began after what was true at 2",
    ),
    "two that both moved a tag from nothing": (
        [*GOOD[0][:3], tags("four", 3, "b", told="", if_current="")],
        [*GOOD[1], entry(4, "four", ("tag", "production", "b"))],
        "had to write []",
    ),
    "a move refused that nothing stood against": (
        [A_WON, tags("t", 2, "a", told="moved", if_current="")], GOOD[1][:1], "true nowhere",
    ),
    "a move from a holder that it never had": (
        [*GOOD[0][:3], tags("four", 4, "b", told="c", if_current=None)],
        [*GOOD[1], entry(4, "four", ("tag", "production", "b"))],
        "makes it a",
    ),
    "one operation written twice": (
        [A_WON],
        [entry(1, "one", ("add", "a", 0)), entry(2, "one", ("add", "a", 0))],
        "wrote twice",
    ),
    "an entry that nobody wrote": ([A_WON], [*GOOD[1][:1], entry(2, "ghost", ("tag", "production", "a"))], "nobody wrote"),
    "a gap": ([A_WON], [entry(2, "one", ("add", "a", 0))], "stands at 1"),
    "told that it gave up, and it wrote": ([dataclasses.replace(A_WON, told="gave up")], GOOD[1][:1], "gave up"),
    "one version for two runs": (
        [Operation(run, "open", {"run": run}, **at(moment), told=1) for run, moment in (("r", 1), ("s", 2))],
        [entry(1, "run r", ("open", "r", 1)), entry(2, "run s", ("open", "s", 1))],
        "had to write",
    ),
    "two answers for one run": (
        [Operation(name, "open", {"run": "r"}, **at(moment), told=told) for name, moment, told in (("x", 1, 1), ("y", 3, 2))],
        [entry(1, "run r", ("open", "r", 1))],
        "true nowhere",
    ),
    "a tagged result was retired": (
        [*GOOD[0][:3], Operation("four", "retire", {"alloc_id": "a"}, **at(4), told="done")],
        [*GOOD[1], entry(4, "four", ("retire", "a"))],
        "had to write []",
    ),
    "known before it was there": ([adds("one", 1, ("a", 0), told={"a": "known"})], [], "true nowhere"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_told(name: str) -> None:
    history, entries, told = BAD[name]

    found = problems(history, entries)

    assert found
    assert any(told in problem for problem in found), found


def test_what_is_wrong_in_a_real_history_is_told(tmp_path: Path) -> None:
    """A good history of clients, and the same with one answer or one entry changed: each is told."""
    store = FileStore(StoreConfig(url=(tmp_path / "home").as_uri()))
    store.put("format.json", HOME)
    history = history_of(store, tmp_path, 7, clients=3, operations=8, fault_rate=0, kill_rate=0)
    entries = entries_of(store)
    assert problems(history, entries) == []

    for place, one in enumerate(history):
        wrong = copy.deepcopy(history)
        wrong[place].told = {"nobody": "added"} if isinstance(one.told, dict) else "something else"
        assert problems(wrong, entries), one
    for number in range(len(entries)):
        assert problems(history, entries[:number] + entries[number + 1 :]), number
