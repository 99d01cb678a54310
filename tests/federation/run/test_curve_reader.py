"""The curves of running tasks are read one a region at a time, only what is new, and never more than is bounded."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

import pytest

from federation.curves import KeepBest
from federation.run import curve_reader
from federation.run.brain.commands import Tell
from federation.run.brain.events import Measured
from federation.run.curve_reader import (
    CURVES_PATH,
    EACH_S,
    PACE_S,
    READ_BYTES_MAX,
    READS_A_SECOND,
    REQUESTS_A_MINUTE,
    CurveReader,
)
from regions.errors import NotFound, PermissionDenied, RegionUnreachable
from regions.model import Allocation

RUNNING = Allocation("a1", "job/dispatch-1", "work", 0, "node", "us-1", "running", "run")


class Region:
    """Files by allocation; `calls` are (allocation, offset)."""

    def __init__(self, **files: bytes) -> None:
        self.files = files
        self.calls: list[tuple[str, int]] = []
        self.error: Exception | None = None

    def read_file_from(self, alloc_id: str, path: str, *, offset_bytes: int, limit_bytes: int) -> tuple[bytes, int]:
        assert path == CURVES_PATH
        assert limit_bytes == READ_BYTES_MAX
        self.calls.append((alloc_id, offset_bytes))
        if self.error is not None:
            raise self.error
        if alloc_id not in self.files:
            raise NotFound("no such file", region="us", operation="read")
        file = self.files[alloc_id]
        return file[offset_bytes : offset_bytes + limit_bytes], len(file)


def reader_of(region: Region, *names: str, keep: KeepBest | None = None) -> CurveReader:
    reader = CurveReader({"us": region}, keep=keep, slots=2)  # type: ignore[dict-item]
    for name in names:
        reader.changed("us", replace(RUNNING, id=name, job_id=f"job/{name}"))
    return reader


def test_only_what_is_new_is_read_in_turn() -> None:
    region = Region(a1=b'{"step": 1, "loss": 3}\n{"step": 2, "lo')
    reader = reader_of(region, "a1", "a2")
    assert reader.read_next("us") == Measured("job/a1", 1, {"loss": 3})
    assert reader.read_next("us") is None, "not written yet"
    region.files["a1"] += b'ss": 2}\n'
    region.files["a2"] = b'{"loss": NaN}\n'
    assert reader.read_next("us") == Measured("job/a1", 2, {"loss": 2})
    measured = reader.read_next("us")
    assert measured is not None
    assert measured.job_id == "job/a2"
    assert reader.read_next("us") is None, "nothing new"
    assert region.calls == [("a1", 0), ("a2", 0), ("a1", 38), ("a2", 0), ("a1", 46)]


def test_one_that_ended_well_is_read_once_more_and_one_that_failed_no_more() -> None:
    region = Region(a1=b'{"step": 5, "loss": 3}', a2=b'{"step": 1, "loss": 3}\n')
    reader = reader_of(region, "a1", "a2", keep=KeepBest(1, 5))
    reader.changed("us", replace(RUNNING, client_status="complete"))
    reader.changed("us", replace(RUNNING, id="a2", client_status="failed"))
    assert reader.read_next("us") == Measured("job/a1", 5, {"loss": 3}, (3,))
    assert reader.read_next("us") is None
    assert region.calls == [("a1", 0)]


def test_a_file_that_was_written_anew_is_read_from_its_beginning() -> None:
    region = Region(a1=b'{"step": 1, "loss": 3}\n' * 9)
    reader = reader_of(region, "a1")
    reader.read_next("us")
    region.files["a1"] = b'{"step": 1, "loss": 7}\n'
    assert reader.read_next("us") is None
    assert reader.read_next("us") == Measured("job/a1", 1, {"loss": 7})


def test_of_a_file_that_grows_too_fast_the_newest_values_are_read() -> None:
    line = b'{"step": %7d, "loss": 1}\n'
    count = 4 * READ_BYTES_MAX // len(line % 1)
    region = Region(a1=b"".join(line % step for step in range(count)))
    reader = reader_of(region, "a1")
    for _ in range(2):
        measured = reader.read_next("us")
    assert measured is not None
    assert measured.step == count - 1
    assert len(region.calls) == 2
    # With --keep-best nothing is left out before the step is reached.
    reader = reader_of(region, "a1", keep=KeepBest(1, count - 2))
    measured = None
    while measured is None or not measured.reached:
        measured = reader.read_next("us")
    assert measured.step == count - 1


def test_requests_a_minute_are_bounded_whatever_runs() -> None:
    for running in (1, 2, 7, 10, 1000):
        reader = reader_of(Region(), *(f"a{number}" for number in range(running)))
        pause_s = reader.pause_s("us")
        assert pause_s >= PACE_S
        assert pause_s * running >= EACH_S or running > EACH_S / PACE_S
        assert 2 * 60 / pause_s <= REQUESTS_A_MINUTE


def test_reads_of_all_regions_together_are_bounded_too() -> None:
    names = [f"r{number}" for number in range(40)]
    reader = CurveReader(dict.fromkeys(names, Region()))  # type: ignore[arg-type]
    for name in names:
        for number in range(50):
            reader.changed(name, replace(RUNNING, id=f"{name}-{number}"))
    assert sum(1 / reader.pause_s(name) for name in names) <= READS_A_SECOND + 1e-9


def test_a_region_that_is_silent_is_left_alone_and_a_refusal_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve_reader, "PACE_S", 0.0)
    monkeypatch.setattr(curve_reader, "EACH_S", 0.0)
    monkeypatch.setattr(curve_reader, "SILENT_S", 0.001)
    refused, silent = Region(), Region()
    refused.error = PermissionDenied("403", region="us", operation="read")
    silent.error = RegionUnreachable("no answer", region="eu", operation="read")
    told: list[Tell] = []
    has_asked = threading.Event()

    class Asked(Region):
        def read_file_from(self, *arguments: object, **options: object) -> tuple[bytes, int]:
            if len(refused.calls) > 3 and len(silent.calls) > 3:
                has_asked.set()
            return b"", 0

    reader = CurveReader({"us": refused, "eu": silent, "on": Asked()}, observe=told.append)  # type: ignore[dict-item]
    for name in ("us", "eu", "on"):
        reader.changed(name, RUNNING)
    with reader.reading(lambda _: None):
        assert has_asked.wait(60)
    assert Counter(tell.region for tell in told) == {"us": 1}
    assert "read-fs" in told[0].detail


def test_values_are_given_while_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve_reader, "EACH_S", 0.01)
    monkeypatch.setattr(curve_reader, "PACE_S", 0.01)
    taken: list[Measured] = []
    has_taken = threading.Event()

    def take(measured: Measured) -> None:
        taken.append(measured)
        has_taken.set()

    reader = reader_of(Region(a1=b'{"step": 1, "loss": 3}\n'))
    with reader.reading(take):
        reader.changed("us", RUNNING)
        assert has_taken.wait(60)
    assert taken[0] == Measured("job/dispatch-1", 1, {"loss": 3})
