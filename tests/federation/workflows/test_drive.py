"""A run's log that two coordinators write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from federation.log import Log
from federation.run.brain.changes import Cancel
from federation.workflows.drive import RunOutcome, SharedLog
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
