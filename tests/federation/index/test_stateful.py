"""The index against dictionaries, all that changes it, with checkpoints, gc and the loss of the whole log at any moment."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from federation.errors import UsageError
from federation.index import Index
from federation.index.catalog.checkpoint import write_checkpoint
from federation.index.maintenance.gc import run_gc
from federation.index.maintenance.rebuild import apply_rebuild, plan_rebuild
from federation.index.maintenance.retention import Retention
from federation.index.maintenance.verify import verify
from federation.index.stores import Stores
from federation.result import Key, ResultFile, ResultRecord, manifest_sha256
from federation.workflows.index_rebuild import logged_end
from regions.model import Datacenter, Region, StoreConfig
from tests.federation.conftest import MemoryStore

IS_LONG = bool(os.environ.get("SOAK"))
RUNS = ("run-1", "run-2", "nomad:us/x")
TAGS = ("production", "staging")
NUMBERS = st.integers(0, 9)
NOTHING = Retention()
BEGIN = datetime(2026, 11, 24, tzinfo=UTC)


class IndexMachine(RuleBasedStateMachine):
    """Two indexes of one home (each with a catalog of its own) take turns; what they must say stands in dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp(prefix="fedml-stateful-"))
        self.home, self.us = MemoryStore("memory://home"), MemoryStore("memory://models")
        self.home.put("format.json", b'{"format": 1, "id": "%032x", "created": "now"}' % 7)
        self.indexes = [self.opened(name) for name in ("one", "two")]
        self.turn = 0
        self.hours = 0
        self.made = 0
        self.runs: dict[str, str] = {}
        self.entered: dict[str, tuple[str, int, str]] = {}
        self.retired: set[str] = set()
        self.removed: set[str] = set()
        self.marked: set[str] = set()
        self.held: set[str] = set()
        self.stacks: dict[str, list[str]] = {}
        self.notes: dict[str, list[str]] = {}

    def teardown(self) -> None:
        for index in self.indexes:
            index.close()
        shutil.rmtree(self.folder)

    def opened(self, cache: str) -> Index:
        return Index(self.home, cache_dir=self.folder / cache, author="a@b")

    @property
    def index(self) -> Index:
        """The one whose turn it is."""
        self.turn += 1
        return self.indexes[self.turn % 2]

    def some(self, number: int) -> str:
        return sorted(self.entered)[number % len(self.entered)]

    def has_results(self) -> bool:
        return bool(self.entered)

    def holder(self, name: str) -> str:
        return self.stacks.get(name, [""])[-1]

    def expect(self, refused: bool, act: Any) -> bool:
        """Do it; whether it was done, which must be what the dictionaries say."""
        try:
            act()
        except UsageError:
            assert refused
            return False
        assert not refused
        return True

    # ── what people and runs do ───────────────────────────────────────────────────────────────────────────────────────

    @rule(run=st.sampled_from(RUNS[:2]))
    def open(self, run: str) -> None:
        self.index.open_run(run, "sales", "4", "5pec", 2, 2)
        self.runs.setdefault(run, "open")

    @rule(run=st.sampled_from(RUNS[:2]), state=st.sampled_from(["done", "failed", "cancelled"]))
    def close(self, run: str, state: str) -> None:
        known = run in self.runs
        if self.expect(not known, lambda: self.index.close_run(run, state)) and self.runs[run] != "cancelled":
            self.runs[run] = "done" if (self.runs[run], state) == ("done", "failed") else state

    @rule(run=st.sampled_from(RUNS), slot=st.integers(0, 1))
    def commit(self, run: str, slot: int) -> None:
        self.made += 1
        record = published(self.us, f"{self.made:08d}-alloc", run, slot)
        taken = (run, slot, "committed") in self.entered.values()
        state = "late" if self.runs.get(run) == "cancelled" else "superseded" if taken else "committed"
        outcome = self.index.commit([record])
        assert outcome == {record.alloc_id: {"committed": "added"}.get(state, state)}
        self.entered[record.alloc_id] = (run, slot, state)

    @precondition(has_results)
    @rule(name=st.sampled_from(TAGS), number=NUMBERS, expected=st.sampled_from([None, "none", "holder"]))
    def tag(self, name: str, number: int, expected: str | None) -> None:
        alloc_id, now = self.some(number), self.holder(name)
        if expected == "holder":
            expected = now or "none"
        bad = now != alloc_id and (
            expected not in (None, now or "none") or alloc_id in self.retired or alloc_id in self.removed
        )
        if self.expect(bad, lambda: self.index.tag(name, alloc_id, if_current=expected)) and now != alloc_id:
            self.stacks.setdefault(name, []).append(alloc_id)
            self.held.add(alloc_id)
            self.marked.discard(alloc_id)

    @rule(name=st.sampled_from(TAGS))
    def untag(self, name: str) -> None:
        if self.expect(name not in self.stacks, lambda: self.index.untag(name)) and self.holder(name):
            self.stacks[name].append("")

    @rule(name=st.sampled_from(TAGS))
    def rollback(self, name: str) -> None:
        stack = self.stacks.get(name, [])
        depth = next(
            (
                place
                for place in range(len(stack) - 2, -1, -1)
                if stack[place] not in ("", stack[-1]) and stack[place] not in self.retired | self.removed
            ),
            None,
        )
        if self.expect(depth is None, lambda: self.index.rollback(name)) and depth is not None:
            self.stacks[name] = stack[: depth + 1]
            self.marked.discard(stack[depth])

    @precondition(has_results)
    @rule(number=NUMBERS, is_undone=st.booleans())
    def retire(self, number: int, is_undone: bool) -> None:
        alloc_id = self.some(number)
        is_tagged = alloc_id in map(self.holder, TAGS)
        bad = alloc_id in self.removed or (is_tagged and not is_undone)
        if self.expect(bad, lambda: self.index.retire([alloc_id], is_undone=is_undone)):
            (self.retired.discard if is_undone else self.retired.add)(alloc_id)

    @precondition(has_results)
    @rule(number=NUMBERS, text=st.sampled_from(["a", "b"]))
    def note(self, number: int, text: str) -> None:
        alloc_id = self.some(number)
        self.index.note(alloc_id, text)
        notes = self.notes.setdefault(alloc_id, [])
        if notes[-1:] != [text]:
            notes.append(text)

    # ── upkeep ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule()
    def collect_garbage(self) -> None:
        self.hours += 2
        unkept = {
            alloc_id
            for alloc_id, (run, _, _) in self.entered.items()
            if alloc_id not in self.held | self.removed and self.runs.get(run) != "open"
        }
        now = BEGIN + timedelta(hours=self.hours)
        done = run_gc(self.index, self.stores(), NOTHING, now, grace=timedelta(hours=1))
        assert {row.alloc_id for row in done.removed} == self.marked & unkept
        self.removed |= self.marked & unkept
        self.marked = unkept - self.removed

    def stores(self) -> Stores:
        us = Region("us", ("http://127.0.0.1:1",), {"dc1": Datacenter("dc1", StoreConfig(self.us.url))})
        return Stores({"us": us}, opener=lambda _: self.us)

    @precondition(has_results)
    @rule()
    def begin_from_a_checkpoint(self) -> None:
        place = self.turn % 2
        index = self.indexes[place]
        index.query()
        write_checkpoint(self.home, index.ask_again(lambda catalog: catalog.path))
        index.close()
        self.indexes[place] = self.opened(f"after-{self.made}-{self.hours}-{self.turn}")

    @rule()
    def lose_the_index_and_rebuild_it(self) -> None:
        self.index.query()
        knows = self.indexes[self.turn % 2]
        cache = knows.ask_again(lambda catalog: catalog.path).parent.parent
        for index in self.indexes:
            index.close()
        for key in [key for key in self.home.objects if key.startswith("index/")]:
            self.home.delete(key)
        plan = plan_rebuild(
            self.home,
            cache,
            lambda *_: self.us,
            ["memory://models"],
            partial(logged_end, self.home),
        )
        apply_rebuild(self.home, plan, author="b@c")
        self.indexes = [self.opened(f"rebuilt-{self.turn}-{number}") for number in range(2)]
        for alloc_id in self.removed:  # what gc removed doesn't come back
            del self.entered[alloc_id]
            self.notes.pop(alloc_id, None)
        self.retired -= self.removed
        self.removed = set()

    # ── what must be seen ─────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def everyone_sees_the_same(self) -> None:
        index = self.index
        states = {alloc_id: state for alloc_id, (_, _, state) in self.entered.items()}
        states |= dict.fromkeys(self.retired, "retired") | dict.fromkeys(self.removed, "removed")
        rows = {row.alloc_id: row for row in index.query(where="state like '%'")}
        assert {alloc_id: row.state for alloc_id, row in rows.items()} == states
        assert {run.run: run.state for run in index.runs()} == self.runs
        holders = {name: self.holder(name) for name in TAGS if self.holder(name)}
        assert {tag.name: tag.alloc_id for tag in index.tags()} == holders
        assert {alloc_id: list(row.tags) for alloc_id, row in rows.items() if row.tags} == {
            alloc_id: sorted(name for name in holders if holders[name] == alloc_id) for alloc_id in holders.values()
        }
        assert {one: notes for one in rows if (notes := [note.text for note in index.notes(rows[one])])} == self.notes

    @rule()
    def nothing_is_wrong(self) -> None:
        assert verify(self.home, lambda *_: self.us, ["memory://models"], deep=True).problems == ()


def published(store: MemoryStore, alloc_id: str, run: str, slot: int) -> ResultRecord:
    """A result as a node leaves it: its file, then its record."""
    data = alloc_id.encode()
    fields: dict[str, Any] = {
        "key": Key(run, slot, "train", 0),
        "attempt": 1,
        "job": "sales",
        "version": "4",
        "spec_hash": "5pec",
        "region": "us",
        "datacenter": "dc1",
        "node": "us-1",
        "alloc_id": alloc_id,
        "job_id": "child",
        "store": "memory://models",
        "manifest_sha256": "",
        "files": (ResultFile("model.bin", len(data), sha256(data).hexdigest()),),
        "created": "2026-11-24T10:00:00Z",
        "metrics": {"auc": 0.7},
    }
    record = ResultRecord(**fields)
    record = ResultRecord(**(fields | {"manifest_sha256": manifest_sha256(record.files)}))
    store.put(record.artifact_prefix + "model.bin", data)
    store.put(record.key.record_key(alloc_id), record.to_json())
    return record


TestTheIndexIsItsModel = IndexMachine.TestCase
TestTheIndexIsItsModel.settings = settings(
    max_examples=300 if IS_LONG else 25, stateful_step_count=30 if IS_LONG else 20, deadline=None
)
