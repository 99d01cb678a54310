"""Slots with durations and regions with sizes enter, a run in virtual time leaves: its makespan, and what its brain cost.

Nothing goes wrong here (that is tests/federation/run/brain/world.py): regions place what they get, first come first served.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from federation.manifest import Manifest
from federation.result import Key, ResultFile, ResultRecord
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from regions.model import Allocation

LATENCY_S = 0.2
"""Between a command and its answer."""
TICK_S = 10.0


def manifest_of(slots: int, regions: Sequence[str], *, results: str) -> Manifest:
    """A run of one result a slot."""
    return Manifest(
        run="0193-bench", job="train", job_file="train.nomad.hcl", spec_hash="5ec", version="1", slots=slots,
        groups={"g": 1}, regions=tuple(regions), one_each=False, meta={}, payload=b"", policy="spread", results=results,
        max_attempts=3, author="bench", created="2026-01-01T00:00:00Z",
    )  # fmt: skip


class VirtualRun:
    """One run over regions of these sizes; slot i runs for `durations[i]` seconds wherever it is."""

    def __init__(self, durations: Sequence[float], sizes: Mapping[str, int], *, results: str = "none") -> None:
        self.durations, self.sizes = durations, sizes
        self.brain = Brain(manifest_of(len(durations), list(sizes), results=results))
        self.now = 0.0
        self.last_end_s = 0.0
        self.brain_s = 0.0
        self.events = 0
        """Heartbeats and ticks aside."""
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._busy = dict.fromkeys(sizes, 0)
        self._queue: dict[str, deque[tuple[int, int]]] = {name: deque() for name in sizes}
        self._closed = False

    def run(self) -> float:
        """The makespan in seconds."""
        self._tick()
        while self._due and not self._closed:
            self.now, _, act = heapq.heappop(self._due)
            act()
        assert self._closed, "the run did not end"
        return self.last_end_s

    def _later(self, after_s: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.now + after_s, self._count, act))

    def _tick(self) -> None:
        self.give(ev.Tick(self.now + 1.0))
        for name in self.sizes:
            self.give(ev.RegionHeard(name))
        self._later(TICK_S, self._tick)

    def give(self, event: ev.Event) -> None:
        """Step the brain, and begin what it commands."""
        start = time.thread_time()
        commands = self.brain.step(event)
        self.brain_s += time.thread_time() - start
        self.events += not isinstance(event, ev.RegionHeard | ev.Tick)
        for command in commands:
            self._execute(command)

    def _answer(self, event: ev.Event) -> None:
        self._later(LATENCY_S, lambda: self.give(event))

    def _execute(self, command: cmd.Command) -> None:
        match command:
            case cmd.Append():
                self._answer(ev.Appended(command.changes))
            case cmd.ReadLog():
                self._answer(ev.LogRead(()))
            case cmd.CheckParent():
                self._answer(ev.ParentChecked(command.region, "5ec"))
            case cmd.Probe():
                free = self.sizes[command.region] - self._busy[command.region] - len(self._queue[command.region])
                self._answer(ev.RegionProbed(command.region, free))
            case cmd.Dispatch():
                self._queue[command.region].append((command.slot, command.attempt))
                self._answer(ev.Acknowledged(command.slot, command.attempt, _child(command.region, command.slot)))
                self._place(command.region)
            case cmd.Look():
                assert command.allocation is not None
                self._answer(ev.Looked(command.slot, command.attempt, command.allocation.id, (_record(command),)))
            case cmd.Commit():
                self._answer(ev.Committed(tuple((record, "added") for record in command.records)))
            case cmd.KeepLogs():
                self._answer(ev.LogsKept(command.slot, command.attempt))
            case cmd.Inspect():
                self._answer(ev.ChildInspected(command.slot, command.attempt, "unknown"))
            case cmd.InspectAll():
                for pair in command.children:
                    self._answer(ev.ChildInspected(*pair, "unknown"))
            case cmd.Close():
                self._closed = True
            case _:
                pass

    def _place(self, region: str) -> None:
        while self._queue[region] and self._busy[region] < self.sizes[region]:
            slot, _ = self._queue[region].popleft()
            self._busy[region] += 1
            child = _child(region, slot)
            running = Allocation(f"alloc-{slot}", child, "g", 0, "n", "n-1", "running", "run")
            self._answer(ev.AllocationChanged(region, running))
            self._later(self.durations[slot], partial(self._end, region, running))

    def _end(self, region: str, allocation: Allocation) -> None:
        self.last_end_s = self.now
        self._busy[region] -= 1
        self._place(region)
        self._answer(ev.AllocationChanged(region, replace(allocation, client_status="complete")))


def bound_early(durations: Sequence[float], sizes: Mapping[str, int], shares: Mapping[str, int]) -> float:
    """The makespan when all slots are bound before the first begins, so many a region, in turn."""
    ends = {name: [0.0] * size for name, size in sizes.items()}
    turns = sorted(((turn + 0.5) / share, name) for name, share in shares.items() for turn in range(share))
    for duration_s, (_, name) in zip(durations, turns, strict=True):
        heapq.heapreplace(ends[name], ends[name][0] + duration_s)
    return max(max(one) for one in ends.values())


def lower_bound(durations: Sequence[float], sizes: Mapping[str, int]) -> float:
    """No schedule is shorter: all work over all capacity, or the longest slot."""
    return max(sum(durations) / sum(sizes.values()), max(durations))


def _child(region: str, slot: int) -> str:
    return f"train/dispatch-{region}-{slot}"


def _record(command: cmd.Look) -> ResultRecord:
    assert command.allocation is not None
    return ResultRecord(
        key=Key("0193-bench", command.slot, "g", 0), attempt=command.attempt, job="train", version="1", spec_hash="5ec",
        region=command.region, datacenter="dc1", node="n-1", alloc_id=command.allocation.id,
        job_id=command.allocation.job_id, store="file:///x", manifest_sha256="0" * 64,
        files=(ResultFile("m", 1, "0" * 64),), created="2026-01-01T00:00:00Z",
    )  # fmt: skip
