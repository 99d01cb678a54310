"""Watching a region: subscribe, list, read on; nothing is missed over gaps and reconnections."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from federation.run.region_watch import watch
from regions.errors import EventGap, RegionUnreachable
from regions.model import Allocation, Event


def allocation(number: int, job_id: str = "train/dispatch-1") -> Allocation:
    return Allocation(f"a{number}", job_id, "g", 0, "n", "n-1", "running", "run")


def event(one: Allocation) -> Event:
    return Event("Allocation", "AllocationUpdated", one.id, "default", 1, {"JobID": one.job_id, "one": one})


class Region:
    """Tells `lines` a connection; what an Exception stands for is raised there. Stops the watch at its end."""

    name = "us"

    def __init__(self, stop: threading.Event, connections: list[list[list[Event] | Exception]]) -> None:
        self.stop, self.connections = stop, connections
        self.calls: list[str] = []
        self.listed = [allocation(0), allocation(1, "other/dispatch-2")]

    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]:
        self.calls.append("list")
        return self.listed, 5

    def events(self, *, topics: Sequence[str], index: int, stop: threading.Event) -> Iterator[list[Event]]:
        self.calls.append(f"subscribe {index}")
        if not self.connections:
            stop.set()
            return
        for line in self.connections.pop(0):
            if isinstance(line, Exception):
                raise line
            yield line


def follow(connections: list[list[list[Event] | Exception]]) -> tuple[list[str], list[str], int]:
    stop = threading.Event()
    region = Region(stop, connections)
    heard: list[str] = []
    beats: list[bool] = []
    watch(
        region,
        "train",
        on_allocation=lambda one: heard.append(one.id),
        on_heard=beats.append,
        on_listed=lambda job_ids: heard.append(f"listed {sorted(job_ids)}"),
        parse=lambda one: one.payload["one"],  # type: ignore[return-value, arg-type]
        stop=stop,
    )
    return heard, region.calls, len(beats)


def test_subscribed_first_then_listed_then_read_on() -> None:
    heard, calls, beats = follow([[[], [event(allocation(2)), event(allocation(3, "other/dispatch-9"))], []]])
    assert heard == ["a0", "listed ['train/dispatch-1']", "a2"]
    assert calls == ["subscribe 0", "list", "subscribe 0"]
    assert beats == 3


def test_a_stream_whose_list_fails_is_no_news() -> None:
    """Small lines get through where a list doesn't: the region isn't followed."""
    stop = threading.Event()

    class Small(Region):
        def allocations(self, **_: object) -> tuple[list[Allocation], int]:
            raise RegionUnreachable("no answer in time", region="us")

    heard: list[object] = []
    region = Small(stop, [[[], [], []], [[]]])
    watch(
        region,
        "train",
        on_allocation=heard.append,
        on_heard=heard.append,
        on_listed=heard.append,
        parse=lambda one: one.payload["one"],  # type: ignore[return-value, arg-type]
        stop=stop,
    )
    assert region.calls.count("subscribe 0") == 3
    assert heard == []


def test_a_gap_or_a_broken_connection_lists_again() -> None:
    gap, broken = EventGap("gone", region="us"), RegionUnreachable("reset", region="us")
    heard, calls, _ = follow([[[], gap], [broken], [[], [event(allocation(4))]]])
    assert [one for one in heard if one.startswith("a")] == ["a0", "a0", "a4"]
    assert calls.count("list") == 2


def test_what_others_end_is_told_as_room() -> None:
    stop = threading.Event()
    other = Event("Allocation", "AllocationUpdated", "x", "default", 1, {"JobID": "else", "ClientStatus": "complete"})
    rooms: list[bool] = []
    watch(
        Region(stop, [[[], [other], [event(allocation(2))]]]),
        "train",
        on_allocation=lambda _: None,
        on_heard=rooms.append,
        on_listed=lambda _: None,
        parse=lambda one: one.payload["one"],  # type: ignore[return-value, arg-type]
        stop=stop,
    )
    assert rooms == [False, True, False]
