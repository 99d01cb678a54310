"""Whose output is kept, and what the end of a run waits for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from federation.run.brain.commands import KeepLogs
from federation.run.kept_logs import kept
from federation.run.log_keeper import SAMPLE, LogKeeper
from federation.run.redaction import Redactor
from regions.errors import RegionUnreachable
from regions.model import Allocation, StoreConfig
from regions.nomad.task_history import AllocationStory
from regions.storage import open_store
from regions.storage.store import Store
from tests.federation.run.helpers import histories
from tests.federation.run.test_kept_logs import STORY

RUN = "01936d00-0000-7000-8000-000000000000"
FAST_TIMES = {"StartedAt": "2026-11-25T00:00:01Z", "FinishedAt": "2026-11-25T00:00:02Z"}


class Region:
    """One region. While `is_open` isn't set, no list of files is answered."""

    name = "us"

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.is_open.set()
        self.stories: list[str] = []
        self.listed: list[str] = []
        self.is_down = False

    def allocation_story(self, alloc_id: str) -> AllocationStory:
        self.stories.append(alloc_id)
        if self.is_down:
            raise RegionUnreachable("down", region="us")
        return replace(STORY, id=alloc_id)

    def written_streams(self, alloc_id: str) -> frozenset[tuple[str, str]]:
        self.listed.append(alloc_id)
        assert self.is_open.wait(60)
        return frozenset({("train", "stdout")})

    def logs(
        self, alloc_id: str, task: str, *, kind: Literal["stdout", "stderr"] = "stdout", tail_bytes: int | None = None
    ) -> bytes:
        return b"epoch 1\n"


@pytest.fixture
def home(tmp_path: Path) -> Store:
    return open_store(StoreConfig(f"file://{tmp_path}"))


@pytest.fixture
def region() -> Iterator[Region]:
    region = Region()
    yield region
    region.is_open.set()


def keeper_of(of: Literal["failed", "sample", "all"], region: Region, home: Store) -> LogKeeper:
    return LogKeeper({"us": region}, home, RUN, of=of, redact=Redactor(), used=lambda _: {})  # type: ignore[dict-item]


def command(slot: int, *, is_failed: bool = False) -> KeepLogs:
    status = "failed" if is_failed else "complete"
    return KeepLogs(slot, 1, "us", Allocation(f"a-{slot}", "c", "main", 0, "n", "n-1", status, "run"), is_failed)


def payload(slot: int) -> dict[str, Any]:
    """The allocation as an event has it."""
    states = {"train": {"State": "dead", "Failed": False, **FAST_TIMES}}
    return {
        "ID": f"a-{slot}",
        "JobID": "c",
        "Name": "c.main[0]",
        "TaskGroup": "main",
        "ClientStatus": "complete",
        "DesiredStatus": "run",
        "TaskStates": states,
    }


def keep_all(keeper: LogKeeper, slots: int) -> None:
    """Keeps good attempts and waits until the keeper is through with each."""
    is_done = [threading.Event() for _ in range(slots)]
    for slot in range(slots):
        keeper.ended(payload(slot))
        keeper.keep(command(slot), is_done[slot].set)
    assert all(one.wait(60) for one in is_done)


@pytest.mark.parametrize(("of", "with_output"), [("failed", 0), ("sample", SAMPLE), ("all", SAMPLE + 20)])
def test_output_of_so_many_good_attempts_is_kept_and_the_history_of_all(
    of: Any, with_output: int, region: Region, home: Store
) -> None:
    with keeper_of(of, region, home) as keeper:
        keep_all(keeper, SAMPLE + 20)
    assert len(region.listed) == with_output
    assert region.stories == []
    output, rest = list(kept(home, RUN)), list(histories(home, RUN))
    assert len(output) == with_output
    assert {one.slot for one in (*output, *rest)} == set(range(SAMPLE + 20))
    assert {one.story.tasks["train"].finished for one in (*output, *rest)} == {"2026-11-25T00:00:02.000Z"}


def test_a_good_attempt_whose_end_came_by_no_event_is_asked_for_its_history(region: Region, home: Store) -> None:
    is_done = threading.Event()
    with keeper_of("failed", region, home) as keeper:
        keeper.keep(command(7), is_done.set)
        assert is_done.wait(60)
    assert (region.stories, region.listed) == (["a-7"], [])
    assert [one.slot for one in histories(home, RUN)] == [7]


def test_failed_attempts_are_waited_for_and_good_ones_are_not(region: Region, home: Store) -> None:
    with keeper_of("sample", region, home) as keeper:
        keeper.ended(payload(1))
        region.is_open.clear()
        keeper.keep(command(1), lambda: None)
        keeper.keep(command(2, is_failed=True), region.is_open.set)
        threading.Timer(0.05, region.is_open.set).start()
        keeper.wait_for_failed()
        assert [(one.slot, one.is_failed) for one in kept(home, RUN, 2)] == [(2, True)]


def test_a_region_that_does_not_answer_costs_only_the_copy(region: Region, home: Store) -> None:
    region.is_down, is_done = True, threading.Event()
    with keeper_of("all", region, home) as keeper:
        keeper.keep(command(1, is_failed=True), is_done.set)
        keeper.wait_for_failed()
    assert is_done.is_set()
    assert list(kept(home, RUN)) == []


def test_all_of_them_are_kept_after_the_end_and_it_is_said(region: Region, home: Store) -> None:
    said: list[str] = []

    def tell(text: str) -> None:
        said.append(text)
        region.is_open.set()

    with keeper_of("all", region, home) as keeper:
        region.is_open.clear()
        for slot in range(3):
            keeper.ended(payload(slot))
            keeper.keep(command(slot), lambda: None)
        keeper.finish(tell)
    assert len(list(kept(home, RUN))) == 3
    assert said == ["the run is over; the output of 3 attempts is still being kept (Ctrl-C leaves it out)"]


def test_stories_of_attempts_that_are_never_kept_do_not_pile_up(
    region: Region, home: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.run.log_keeper.ENDED_MAX", 10)
    with keeper_of("all", region, home) as keeper:
        for slot in range(50):
            keeper.ended(payload(slot))
        assert len(keeper._ended) == 10
