"""Whoever may write to the home store may write anything into a run's log and beside it: no resume ends by that."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import FormatTooNew, IndexCorrupt
from federation.manifest import Manifest
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.changes import Unknown, Unusable, parse, parse_entry
from federation.run.lease import Lease
from federation.run.timeline import timeline
from regions.model import StoreConfig
from regions.storage import open_store
from tests.examples import examples
from tests.federation.run.brain.test_endings import of
from tests.federation.run.brain.test_run_log import proposing
from tests.federation.run.brain.world import MANIFEST
from tests.federation.run.test_lease import Clock

BIND = {"type": "bind", "slot": 0, "attempt": 1, "region": "us"}
FORGED: list[dict[str, Any]] = [
    {"type": "bind"},
    {**BIND, "slot": 2},
    {**BIND, "slot": -1},
    {**BIND, "slot": True},
    {**BIND, "slot": "0"},
    {**BIND, "slot": None},
    {**BIND, "slot": 2**70},
    {**BIND, "attempt": 0},
    {**BIND, "attempt": -1},
    {**BIND, "attempt": [1]},
    {**BIND, "region": "mars"},
    {**BIND, "region": None},
    {"type": "ack", "slot": 0, "attempt": 9, "job_id": "x"},
    {"type": "ack", "slot": 0, "attempt": 1, "job_id": 5},
    {"type": "ack", "slot": 0, "attempt": 1},
    {"type": "fail", "slot": 0, "attempt": 7, "reason": "x"},
    {"type": "fail", "slot": 0, "attempt": 1, "cause": "witchcraft"},
    {"type": "fail", "slot": 0, "attempt": 1, "cause": ["exit"]},
    {"type": "cancel", "reason": {"a": 1}},
    {"type": "halt", "revert": "us"},
    {"type": "halt", "revert": [1]},
    {"type": "halt", "revert": ["us", "mars"]},
    {"type": "exclude"},
    {"type": "exclude", "region": "mars"},
    {"type": "rebind", "region": "mars"},
    {"type": "rebind", "region": []},
    {"type": "retry"},
    {"type": "retry", "slots": "all"},
    {"type": "retry", "slots": [99]},
    {"type": "done", "slot": 0, "attempt": 1, "group": "model", "index": 0},
    {"type": "retry", "slots": [-1]},
    {"type": "retry", "slots": [None]},
]
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["us", "eu", "exit"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_CHANGES = st.builds(
    lambda kind, members: {**members, "type": kind},
    st.sampled_from(["bind", "ack", "fail", "cancel", "halt", "exclude", "rebind", "retry", "alloc", "done", "later"]),
    st.dictionaries(
        st.sampled_from(["slot", "attempt", "region", "job_id", "reason", "cause", "revert", "slots"]),
        _VALUES,
        max_size=6,
    ),
)


@pytest.mark.parametrize("change", FORGED, ids=str)
def test_a_forged_change_is_passed_over_with_a_note(change: dict[str, Any]) -> None:
    replaying = Brain(replace(MANIFEST, slots=2))
    out = [*replaying.step(ev.Appended(parse_entry((change, BIND)), is_replay=True)), *replaying.step(ev.Resumed({}))]
    brain, append = proposing()
    brain.step(ev.Appended(append.changes))
    heard = brain.step(ev.LogRead((parse_entry((change,)),)))
    for told in (out, heard):
        (note,) = [tell for tell in of(told, cmd.Tell) if "passed over" in tell.detail]
        assert note.detail.startswith("entry ")
    assert [attempt.region for attempt in replaying.slots[0].attempts] == ["us"]
    assert {attempt.region for slot in brain.slots for attempt in slot.attempts} == {"us", "eu"}


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(_CHANGES, max_size=5))
def test_any_changes_are_replayed_and_heard(changes: list[dict[str, Any]]) -> None:
    replaying = Brain(replace(MANIFEST, slots=2))
    replaying.step(ev.Appended(parse_entry(changes), is_replay=True))
    replaying.step(ev.Resumed({}))
    replaying.step(ev.Tick(1.0))
    brain, append = proposing()
    brain.step(ev.Appended(append.changes))
    brain.step(ev.LogRead((parse_entry(changes),)))
    brain.step(ev.Tick(20.0))
    assert len(brain.slots) == len(replaying.slots) == 2


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(_CHANGES, max_size=5))
def test_any_changes_make_a_timeline(changes: list[dict[str, Any]]) -> None:
    usable = [change for change in changes if not isinstance(parse(change), Unusable | Unknown)]
    spans = timeline([("2026-01-01T00:00:00Z", parse_entry(changes))], {}, (), {"us": 1.0}).spans
    assert len(spans) <= len(usable)


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(sorted(json.loads(MANIFEST.to_json()))), _VALUES)
def test_any_value_in_a_manifest_gives_a_manifest_or_our_error(name: str, value: Any) -> None:
    data = copy.deepcopy(json.loads(MANIFEST.to_json()))
    data[name] = value
    try:
        found = Manifest.from_json(json.dumps(data).encode(), source="runs/x")
    except (IndexCorrupt, FormatTooNew):
        return
    assert Manifest.from_json(found.to_json(), source="runs/x") == found
    assert found.expected_keys >= 0


@pytest.mark.parametrize("text", [b"[" * 100_000, b"9" * 9_999, b'{"format": Infinity}', b'{"a": 1, "a": 2}', b"\x00"])
def test_bombs_are_no_manifest(text: bytes) -> None:
    with pytest.raises(IndexCorrupt, match="runs/x is not a manifest"):
        Manifest.from_json(text, source="runs/x")


@pytest.mark.parametrize(
    "text", [b"", b"[" * 100_000, b"{}", b" " * 70_000, b'{"id": 1}', b'{"id": "", "author": null}', b"\xff"]
)
def test_a_lease_that_cant_be_read_is_watched_for_a_lifetime_and_taken(tmp_path: Path, text: bytes) -> None:
    home = open_store(StoreConfig(f"file://{tmp_path}/home"))
    home.put(f"runs/r/lease/{1:020d}.json", text)
    home.put("runs/r/lease/readme.json", b"x")
    clock = Clock()
    told: list[str] = []
    lease = Lease(home, "r", author="a", folder=tmp_path / "locks", clock=clock, pause=clock.pause)
    assert lease.acquire(tell=told.append)
    assert "somebody whose lease can't be read" in told[0]
    lease.release()


@pytest.mark.parametrize("change", [{"type": "ack", "job_id": "x"}, {"type": "fail", "cause": "exit"}], ids=str)
def test_a_change_of_an_attempt_that_is_only_proposed_is_passed_over(change: dict[str, Any]) -> None:
    """Its binding isn't in the log yet, and may never be."""
    brain, append = proposing()
    heard = brain.step(ev.LogRead((parse_entry(({**change, "slot": 0, "attempt": 1},)),)))
    assert ["which was never bound" in tell.detail for tell in of(heard, cmd.Tell)] == [True]
    brain.step(ev.AppendRefused(append.changes, ()))
    assert not brain.state.children
    assert brain.slots[0].state == "open"
