"""Samples how much CPU and memory running allocations take: one allocation of each region every few seconds.

The number of requests doesn't depend on the size of the run: with 10,000 running slots, a part of them is sampled.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from federation.run.ports import RegionReader
from jobs.errors import FedmlError
from regions.model import Allocation
from regions.nomad.task_history import TaskUsage

SAMPLE_S = 5.0


Watch = Callable[..., None]
"""(region, on_allocation, …): calls `on_allocation` with each allocation that changed, until it is over."""


def passing_on(watch: Watch, changed: Callable[[str, Allocation], None]) -> Watch:
    """The same watch, which calls `changed(region, allocation)` before the watcher's own function."""

    def watched(region: str, on_allocation: Callable[[Allocation], None], *rest: Any) -> None:
        def told(allocation: Allocation) -> None:
            changed(region, allocation)
            on_allocation(allocation)

        watch(region, told, *rest)

    return watched


class Sampler:
    """Samples while its `with` lasts. May be told and asked from several threads."""

    def __init__(self, sources: Mapping[str, RegionReader], *, every_s: float = SAMPLE_S) -> None:
        self._sources = sources
        self._every_s = every_s
        self._running: dict[str, deque[str]] = {region: deque() for region in sources}
        self._peaks: dict[str, dict[str, TaskUsage]] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()

    def __enter__(self) -> Self:
        for region in self._sources:
            threading.Thread(target=self._sample, args=(region,), name=f"sample-{region}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()

    def watching(self, watch: Watch) -> Watch:
        """Wraps a watch, so that each allocation is passed to `changed` too."""
        return passing_on(watch, self.changed)

    def changed(self, region: str, allocation: Allocation) -> None:
        """Samples a running allocation from now on, and no longer one that isn't running."""
        with self._lock:
            running = self._running[region]
            if allocation.client_status == "running":
                if allocation.id not in running:
                    running.append(allocation.id)
            elif allocation.id in running:
                running.remove(allocation.id)

    def taken(self, alloc_id: str) -> Mapping[str, TaskUsage]:
        """Gives and forgets the most that each of its tasks was seen to take; empty when it was never sampled."""
        with self._lock:
            return self._peaks.pop(alloc_id, {})

    def sample(self, region: str) -> None:
        """Samples the region's allocation whose turn it is."""
        with self._lock:
            running = self._running[region]
            if not running:
                return
            alloc_id = running[0]
            running.rotate(-1)
        try:
            now = self._sources[region].usage(alloc_id)
        except FedmlError:
            return
        with self._lock:
            seen = self._peaks.setdefault(alloc_id, {})
            for task, usage in now.items():
                seen[task] = usage.peak(seen[task]) if task in seen else usage

    def _sample(self, region: str) -> None:
        while not self._end.wait(self._every_s):
            self.sample(region)
