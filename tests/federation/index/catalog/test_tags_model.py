"""Tags, retirement and notes against a dictionary: three indexes of one home take turns, any step at any time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.errors import UsageError
from federation.index import Index
from federation.index.tags import TagMoved
from federation.result import ResultRecord
from tests.examples import examples

MakeRecord = Callable[..., ResultRecord]

TAGS = ["production", "staging"]
IDS = [f"alloc-{number}" for number in range(5)]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.sampled_from(IDS), st.integers(0, 2)),
        st.tuples(st.just("tag"), st.sampled_from(TAGS), st.sampled_from(IDS), st.sampled_from([None, "none", *IDS])),
        st.tuples(st.just("tag"), st.sampled_from(TAGS), st.sampled_from(IDS), st.none()),
        st.tuples(st.just("untag"), st.sampled_from(TAGS)),
        st.tuples(st.just("rollback"), st.sampled_from(TAGS)),
        st.tuples(st.just("retire"), st.sampled_from(IDS), st.booleans()),
        st.tuples(st.just("note"), st.sampled_from(IDS), st.sampled_from(["a", "b"])),
    ),
    min_size=8,
    max_size=25,
)


class Refused(Exception):
    """The model says that this can't be."""


class Moved(Refused):
    """The model says that the tag is elsewhere."""


class Model:
    """The index as dictionaries; a tag is a stack of holders, "" for none."""

    def __init__(self) -> None:
        self.entered: dict[str, tuple[int, str]] = {}
        self.retired: set[str] = set()
        self.stacks: dict[str, list[str]] = {}
        self.notes: dict[str, list[str]] = {}

    def holder(self, name: str) -> str:
        return self.stacks.get(name, [""])[-1]

    def known(self, alloc_id: str) -> None:
        if alloc_id not in self.entered:
            raise Refused

    def commit(self, alloc_id: str, slot: int) -> None:
        if alloc_id not in self.entered:
            taken = (slot, "committed") in self.entered.values()
            self.entered[alloc_id] = (slot, "superseded" if taken else "committed")

    def tag(self, name: str, alloc_id: str, if_current: str | None) -> None:
        self.known(alloc_id)
        if if_current not in (None, "none"):
            self.known(str(if_current))
        now = self.holder(name)
        if now == alloc_id:
            return
        if if_current is not None and now != if_current.replace("none", ""):
            raise Moved
        if alloc_id in self.retired:
            raise Refused
        self.stacks.setdefault(name, []).append(alloc_id)

    def untag(self, name: str) -> None:
        if name not in self.stacks:
            raise Refused
        if self.holder(name):
            self.stacks[name].append("")

    def rollback(self, name: str) -> None:
        stack = self.stacks.get(name, [])
        for depth in range(len(stack) - 2, -1, -1):
            if stack[depth] and stack[depth] != stack[-1] and stack[depth] not in self.retired:
                self.stacks[name] = stack[: depth + 1]
                return
        raise Refused

    def retire(self, alloc_id: str, is_undone: bool) -> None:
        self.known(alloc_id)
        if not is_undone and alloc_id in [self.holder(name) for name in TAGS]:
            raise Refused
        (self.retired.discard if is_undone else self.retired.add)(alloc_id)

    def note(self, alloc_id: str, text: str) -> None:
        self.known(alloc_id)
        notes = self.notes.setdefault(alloc_id, [])
        if notes[-1:] != [text]:
            notes.append(text)


def act(index: Index, make_record: MakeRecord, step: tuple[Any, ...]) -> None:
    match step:
        case ("commit", alloc_id, slot):
            index.commit([make_record(alloc_id=alloc_id, slot=slot)])
        case ("tag", name, alloc_id, if_current):
            index.tag(name, alloc_id, if_current=if_current)
        case ("untag", name):
            index.untag(name)
        case ("rollback", name):
            index.rollback(name)
        case ("retire", alloc_id, is_undone):
            index.retire([alloc_id], is_undone=is_undone)
        case ("note", alloc_id, text):
            index.note(alloc_id, text)


@settings(
    max_examples=examples(50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS, turns=st.lists(st.integers(0, 2), min_size=27, max_size=27))
def test_the_index_is_what_the_model_is(
    memory_store: Any, make_record: MakeRecord, steps: list[Any], turns: list[int]
) -> None:
    store, model = type(memory_store)(), Model()
    store.put("format.json", b'{"format": 1, "id": "%032x", "created": "now"}' % 7)
    with TemporaryDirectory() as folder:
        indexes = [Index(store, cache_dir=Path(folder, name), author="a") for name in ("shared", "shared", "own")]
        there = [("commit", alloc_id, slot) for slot, alloc_id in enumerate(IDS[:3])]
        for turn, step in zip([0, *turns], [*there, *steps], strict=False):
            expected: type[Refused] | None = None
            try:
                getattr(model, step[0])(*step[1:])
            except Refused as refused:
                expected = type(refused)
            try:
                act(indexes[turn], make_record, step)
                found: type[Refused] | None = None
            except TagMoved:
                found = Moved
            except UsageError:
                found = Refused
            assert found is expected, step
        cold = Index(store, cache_dir=Path(folder, "cold"), author="a")
        for index in (*indexes, cold):
            states = {alloc_id: state for alloc_id, (_, state) in model.entered.items()}
            states |= dict.fromkeys(model.retired, "retired")
            rows = {row.alloc_id: row for row in index.query(where="state like '%'")}
            assert {alloc_id: row.state for alloc_id, row in rows.items()} == states
            assert {row.alloc_id for row in index.query()} == set(states) - model.retired
            holders = {name: model.holder(name) for name in TAGS if model.holder(name)}
            assert {tag.name: tag.alloc_id for tag in index.tags()} == holders
            for alloc_id, row in rows.items():
                assert row.tags == tuple(name for name in TAGS if holders.get(name) == alloc_id)
                assert [note.text for note in index.notes(row)] == model.notes.get(alloc_id, [])
            index.close()
