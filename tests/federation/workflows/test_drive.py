"""A run's log that two coordinators write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from federation.log import Log
from federation.run.brain.changes import Cancel
from federation.run.brain.events import Joined
from federation.workflows.drive import RunOutcome, SharedLog, _joiner
from regions.errors import NotFound
from tests.federation.conftest import MemoryStore
from tests.federation.run.brain.world import MANIFEST


def opened(store: MemoryStore, author: str) -> SharedLog:
    log = Log(store, "runs/r/log/", author=author)
    log.refresh()
    return SharedLog(log)


def note(text: str) -> Cancel:
    return Cancel(text)


def test_an_entry_that_came_too_late_is_refused_with_what_came_before_it() -> None:
    store = MemoryStore()
    one, other = opened(store, "one"), opened(store, "other")
    assert one.append([note("a")], after=0) == (True, [])
    stands, entries = other.append([note("b")], after=0)
    assert (stands, list(entries)) == (False, [(note("a"),)])
    assert other.append([note("b")], after=1) == (True, [])
    assert list(one.news()) == [(note("b"),)]
    assert list(one.news()) == []


def test_what_was_read_already_makes_an_older_entry_late_too() -> None:
    """The log itself would take it: only who decided it didn't know."""
    store = MemoryStore()
    one, other = opened(store, "one"), opened(store, "other")
    one.append([note("a")], after=0)
    assert list(other.news()) == [(note("a"),)]
    assert other.append([note("b")], after=0) == (False, [])


def test_of_many_who_write_at_once_each_entry_has_exactly_those_before_it_that_its_writer_knew() -> None:
    store = MemoryStore()

    def write(name: str) -> int:
        own = Log(store, "runs/r/log/", author=name)
        known, written = len(own.refresh()), 0
        log = SharedLog(own)
        while written < 10:
            stands, entries = log.append([note(str(known))], after=known)
            known += len(entries) + stands
            written += stands
        return written

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, "abcd")) == 40
    entries = Log(store, "runs/r/log/").refresh()
    assert [entry.changes[0]["reason"] for entry in entries] == [str(known) for known in range(40)]


def test_the_text_of_an_outcome_names_some_failures_with_their_parameters() -> None:
    failures = {slot: f"Exit Code: {slot}" for slot in range(5)}
    params = {slot: {"lr": 0.1, "depth": slot} for slot in range(5)}
    assert repr(RunOutcome(MANIFEST, "failed", "", 1, 5, failures, {"eu": 2}, params)) == (
        f"<run {MANIFEST.run}: failed, 1 of 6 slots done>\n"
        "  slot 0 (lr=0.1, depth=0): Exit Code: 0\n"
        "  slot 1 (lr=0.1, depth=1): Exit Code: 1\n"
        "  slot 2 (lr=0.1, depth=2): Exit Code: 2\n"
        "  … and 2 more in .failures\n"
        "  eu: 2 attempts may still run"
    )


@pytest.mark.parametrize("needs_program", [True, False])
def test_a_region_that_joins_late_has_the_program_of_its_job_first(
    monkeypatch: pytest.MonkeyPatch, needs_program: bool
) -> None:
    """Who resumes a run may have another fedml, whose program no store has yet."""
    did: list[str] = []

    def deploy(prepared: Any, regions: list[str]) -> Any:
        did.append(f"job {regions}")
        return SimpleNamespace(failed=[])

    monkeypatch.setattr("federation.workflows.drive.runs_in_the_way", lambda *_: [])
    monkeypatch.setattr(
        "federation.workflows.code_stores.put_into_stores",
        lambda app, prepared, regions, packed, tell: did.append(f"program {regions}"),
    )

    class Client:
        def job(self, job_id: str) -> Any:
            raise NotFound(f"no {job_id}", region="eu")

    app: Any = SimpleNamespace(deploy=deploy)
    places: Any = SimpleNamespace(routes={"eu": Client()})
    prepared: Any = SimpleNamespace(needs_program=needs_program)
    assert _joiner(app, replace(MANIFEST, late=("eu",)), prepared, places)("eu") == Joined("eu")
    assert did == (["program ['eu']", "job ['eu']"] if needs_program else ["job ['eu']"])
