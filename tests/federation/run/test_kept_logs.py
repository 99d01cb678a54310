"""What tasks wrote and what happened to them, kept in the home store and read back."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from federation.errors import FormatTooNew, IndexCorrupt
from federation.run.kept_logs import (
    FAILED_TAIL_BYTES,
    GOOD_TAIL_BYTES,
    STREAMS,
    KeptAttempt,
    keep,
    keep_histories,
    kept,
)
from federation.run.redaction import Redactor
from regions.errors import NotFound, PermissionDenied
from regions.model import StoreConfig
from regions.nomad.task_history import AllocationStory, TaskEvent, TaskStory
from regions.storage import open_store
from regions.storage.store import Overwrite, Store
from tests.federation.run.helpers import histories

RUN = "01936d00-0000-7000-8000-000000000000"
TASK = TaskStory(
    "dead",
    True,
    1,
    137,
    True,
    "2026-11-25T00:00:01.500Z",
    "2026-11-25T00:00:09.000Z",
    500,
    256,
    (TaskEvent("2026-11-25T00:00:09.000Z", "Terminated", "fetched https://ann:hunter22@example.net/x"),),
)
STORY = AllocationStory("alloc-1", "job/dispatch-1", "main", 0, "us-1", "failed", {"train": TASK, "store": TASK})


class Region:
    """One region: `train` has output, the streams of `store` are gone."""

    name = "us"

    def __init__(self, stderr: bytes = b"boom\n") -> None:
        self.stderr = stderr
        self.asked: list[tuple[str, str, int | None]] = []
        self.empty: set[tuple[str, str]] | None = set()
        """Streams that hold nothing; None: the token may not list files."""

    def allocation_story(self, alloc_id: str) -> AllocationStory:
        assert alloc_id == "alloc-1"
        return STORY

    def logs(
        self, alloc_id: str, task: str, *, kind: Literal["stdout", "stderr"] = "stdout", tail_bytes: int | None = None
    ) -> bytes:
        self.asked.append((task, kind, tail_bytes))
        if task == "store":
            raise NotFound("gone", region="us", operation="logs")
        return b"epoch 1\n" if kind == "stdout" else self.stderr

    def written_streams(self, alloc_id: str) -> frozenset[tuple[str, str]]:
        if self.empty is None:
            raise PermissionDenied("read-fs", region="us", operation="read")
        return frozenset({(task, kind) for task in STORY.tasks for kind in STREAMS} - self.empty)


@pytest.fixture
def home(tmp_path: Path) -> Store:
    return open_store(StoreConfig(f"file://{tmp_path}"))


def _keep(home: Store, region: Region, *, slot: int = 3, is_failed: bool = True) -> None:
    keep(region, home, RUN, slot=slot, attempt=2, alloc_id="alloc-1", is_failed=is_failed, redact=Redactor(["s3cr3t!"]))


def test_story_and_output_are_read_back_without_credentials(home: Store) -> None:
    _keep(home, Region(b"login s3cr3t! refused\n\xff"))
    (one,) = kept(home, RUN)
    assert (one.slot, one.attempt, one.region, one.is_failed) == (3, 2, "us", True)
    assert one.output == {"train": {"stdout": "epoch 1\n", "stderr": "login [redacted] refused\n�"}, "store": {}}
    event = TaskEvent("2026-11-25T00:00:09.000Z", "Terminated", "fetched https://ann:[redacted]@example.net/x")
    assert one.story.tasks["train"] == replace(TASK, events=(event,))
    assert replace(one.story, tasks={}) == replace(STORY, tasks={})


@pytest.mark.parametrize(("is_failed", "limit_bytes"), [(True, FAILED_TAIL_BYTES), (False, GOOD_TAIL_BYTES)])
def test_the_end_of_a_stream_is_kept(home: Store, is_failed: bool, limit_bytes: int) -> None:
    region = Region(b"x" * (FAILED_TAIL_BYTES + 10) + b"end")
    _keep(home, region, is_failed=is_failed)
    (one,) = kept(home, RUN)
    text = one.output["train"]["stderr"]
    assert len(text) == limit_bytes
    assert text.endswith("end")
    assert {tail_bytes for _, _, tail_bytes in region.asked} == {limit_bytes}


def test_streams_that_hold_nothing_are_not_asked_for(home: Store) -> None:
    region = Region()
    region.empty = {("train", "stderr"), ("store", "stdout"), ("store", "stderr")}
    _keep(home, region)
    assert [(task, kind) for task, kind, _ in region.asked] == [("train", "stdout")]
    (one,) = kept(home, RUN)
    assert one.output == {"train": {"stdout": "epoch 1\n"}, "store": {}}


def test_all_streams_are_asked_for_where_the_token_may_not_list_files(home: Store) -> None:
    region = Region()
    region.empty = None
    _keep(home, region)
    assert len(region.asked) == 4


def test_histories_are_read_back_together(home: Store) -> None:
    attempts = [KeptAttempt(slot, 1, "us", False, replace(STORY, id=f"alloc-{slot}"), {}) for slot in range(3)]
    keep_histories(home, RUN, attempts[:2])
    keep_histories(home, RUN, attempts[2:])
    assert list(histories(home, RUN)) == attempts
    assert list(kept(home, RUN)) == []


def test_one_slot_of_a_run_is_read_alone_and_kept_again_it_stays_one(home: Store) -> None:
    for slot in (1, 2, 2):
        _keep(home, Region(), slot=slot)
    assert [one.slot for one in kept(home, RUN)] == [1, 2]
    assert [one.slot for one in kept(home, RUN, 2)] == [2]
    assert list(kept(home, "another")) == []


def test_a_newer_format_and_a_broken_object_are_named(home: Store) -> None:
    key = f"runs/{RUN}/logs/000000001/1/a.json.gz"
    home.put(key, gzip.compress(json.dumps({"format": 2}).encode()), Overwrite())
    with pytest.raises(FormatTooNew, match=r"a\.json\.gz was written by a newer fedml"):
        list(kept(home, RUN))
    home.put(key, b"\x1f\x8b torn", Overwrite())
    with pytest.raises(IndexCorrupt, match=r"a\.json\.gz does not hold kept logs"):
        list(kept(home, RUN))
