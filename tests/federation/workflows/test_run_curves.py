"""Curves of a run are read from artifacts and regions, bounded, and what can't be read is said and stops nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from federation.result import ResultFile
from federation.run.brain.state import Attempt, Slot
from federation.run.brain.transitions import Phase, SlotState
from federation.run.curve_reader import CURVES_PATH, EACH_S
from federation.workflows import run_curves
from federation.workflows.run_curves import CurveFollower, curves
from federation.workflows.run_reader import RunStory
from regions.errors import NotFound, RegionUnreachable
from regions.model import Allocation
from tests.federation.run.brain.world import MANIFEST

LINES = b'{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n'


@dataclass
class Region:
    """Allocations and their files."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    allocations_: list[Allocation] = field(default_factory=list)
    error: Exception | None = None
    calls: list[str] = field(default_factory=list)

    def within(self, deadline_s: float) -> Region:
        assert deadline_s <= 15
        return self

    def allocations(self) -> tuple[list[Allocation], int]:
        self.calls.append("list")
        if self.error:
            raise self.error
        return self.allocations_, 1

    def read_file_from(self, alloc_id: str, path: str, *, offset_bytes: int, limit_bytes: int) -> tuple[bytes, int]:
        assert path == CURVES_PATH
        self.calls.append(alloc_id)
        if alloc_id not in self.files:
            raise NotFound("no such file", region="us", operation="read")
        file = self.files[alloc_id]
        return file[offset_bytes:][:limit_bytes], len(file)


class Artifacts:
    """The store of results: files by key."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def get_range(self, key: str, start: int, size_bytes: int) -> bytes:
        return self.files[key][start:][:size_bytes]

    def url_of(self, key: str) -> str:
        return f"file:///x/{key}"


def allocation(alloc_id: str, job_id: str, status: str = "running", **changes: Any) -> Allocation:
    return replace(Allocation(alloc_id, job_id, "model", 0, "n", "n-1", status, "run"), **changes)


def slot(region: str, job_id: str, state: SlotState = SlotState.OPEN) -> Slot:
    return Slot([Attempt(1, region, Phase.RUNNING, job_id)], state=state)


def app_of(regions: Mapping[str, Region], results: Mapping[int, tuple[ResultFile, ...]], store: Artifacts) -> Any:
    records = {
        number: SimpleNamespace(files=files, store="file:///x", artifact_prefix=f"artifacts/{number}/")
        for number, files in results.items()
    }
    return SimpleNamespace(
        config=SimpleNamespace(regions=regions),
        client=regions.__getitem__,
        index=SimpleNamespace(record=lambda row: records[row.slot]),
        result_stores=lambda: SimpleNamespace(of=lambda url, record: store),
    )


def story(*slots: Slot, results: tuple[int, ...] = ()) -> RunStory:
    rows: Any = [
        SimpleNamespace(slot=number, attempt=1, region="us", alloc_id=f"won-{number}", index=0) for number in results
    ]
    return RunStory(MANIFEST, "open", "", slots, results=rows)


def file_of(data: bytes, path: str = "metrics.jsonl") -> ResultFile:
    return ResultFile(path, len(data), hashlib.sha256(data).hexdigest())


def test_running_and_finished_slots_are_read_from_where_they_are() -> None:
    us = Region({"a-0": LINES}, [allocation("a-0", "job/0"), allocation("other", "job/9"), allocation("a-2", "job/2")])
    app = app_of(
        {"us": us}, {1: (file_of(b"x", "model"), file_of(LINES))}, Artifacts({"artifacts/1/metrics.jsonl": LINES})
    )
    found = curves(
        app, story(slot("us", "job/0"), slot("us", "job/1", SlotState.DONE), slot("us", "job/2"), Slot(), results=(1,))
    )
    assert [(one.slot, one.alloc_id, one.state) for one in found.tasks] == [(0, "a-0", "running"), (1, "won-1", "done")]
    assert all(one.metrics == {"loss": ((1, 3), (2, 2))} and one.is_whole for one in found.tasks)
    assert found.problems == ()
    assert sorted(us.calls) == ["a-0", "a-2", "list"]


def test_of_an_allocation_that_nomad_replaced_the_newest_is_read() -> None:
    first = allocation("a-0", "job/0", "lost", create_index=1, next_allocation="a-1")
    us = Region({"a-1": LINES}, [first, allocation("a-1", "job/0", create_index=2), allocation("b", "job/0", index=1)])
    found = curves(app_of({"us": us}, {}, Artifacts({})), story(slot("us", "job/0")))
    assert [one.alloc_id for one in found.tasks] == ["a-1"]


def test_a_stopped_slot_keeps_its_curve_while_nomad_does() -> None:
    us = Region({"a-0": LINES}, [allocation("a-0", "job/0", "complete")])
    found = curves(app_of({"us": us}, {}, Artifacts({})), story(slot("us", "job/0", SlotState.STOPPED)))
    assert [one.state for one in found.tasks] == ["stopped"]


def test_of_a_large_file_the_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_curves, "FILE_BYTES_MAX", 1000)
    data = b"".join(b'{"step": %d, "loss": 1}\n' % step for step in range(1000))
    us = Region({"a-0": data}, [allocation("a-0", "job/0")])
    app = app_of({"us": us}, {1: (file_of(data),)}, Artifacts({"artifacts/1/metrics.jsonl": data}))
    found = curves(app, story(slot("us", "job/0"), slot("us", "job/1", SlotState.DONE), results=(1,)))
    for one in found.tasks:
        assert not one.is_whole
        assert one.skipped == 0
        assert one.metrics["loss"][-1] == (999, 1)
        assert 30 < one.lines < 45


def test_a_region_that_is_silent_or_gone_and_a_changed_artifact_are_said() -> None:
    us, eu = Region({"a-0": LINES}, [allocation("a-0", "job/0")]), Region()
    eu.error = RegionUnreachable("no answer in time", region="eu", operation="list")
    app = app_of({"us": us, "eu": eu}, {3: (file_of(LINES),)}, Artifacts({"artifacts/3/metrics.jsonl": b"{}"}))
    slots = (slot("us", "job/0"), slot("eu", "job/1"), slot("mars", "job/2"), slot("us", "job/3", SlotState.DONE))
    found = curves(app, story(*slots, results=(3,)))
    assert [one.slot for one in found.tasks] == [0]
    text = "\n".join(found.problems)
    assert "eu: " in text
    assert "no answer in time" in text
    assert "mars: fedml.toml has no such region" in text
    assert "artifacts/3/metrics.jsonl is not the file that was published" in text


def test_so_many_slots_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_curves, "TASKS_MAX", 2)
    us = Region({f"a-{n}": LINES for n in range(4)}, [allocation(f"a-{n}", f"job/{n}") for n in range(4)])
    found = curves(app_of({"us": us}, {}, Artifacts({})), story(*(slot("us", f"job/{n}") for n in range(4))))
    assert [one.slot for one in found.tasks] == [0, 1]
    assert found.problems == ("only the first 2 of 4 slots are read",)


def test_whoever_reads_again_reads_only_what_is_new_and_a_file_that_was_written_anew() -> None:
    files = {"a-0": b'{"step": 1, "loss": 3}\n{"step": 2, "lo'}
    us = Region(files, [allocation("a-0", "job/0")])
    app = app_of({"us": us}, {1: (file_of(LINES),)}, Artifacts({"artifacts/1/metrics.jsonl": LINES}))
    follower = CurveFollower(app)
    slots = (slot("us", "job/0"), slot("us", "job/1", SlotState.DONE))

    def read() -> list[Any]:
        return [one.metrics["loss"] for one in follower.read(story(*slots, results=(1,))).tasks]

    assert read() == [((1, 3),), ((1, 3), (2, 2))]
    files["a-0"] += b'ss": 1}\n'
    app.result_stores = None  # what has a result doesn't change
    assert read() == [((1, 3), (2, 1)), ((1, 3), (2, 2))]
    files["a-0"] = b'{"step": 1, "loss": 9}\n'
    assert read()[0] == ((1, 9),)
    assert follower.pause_s == EACH_S
