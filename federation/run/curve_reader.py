"""Reads the curves of a run's running tasks through Nomad's file API, as far as the rules of the run need them.

One thread a region reads one allocation after another, and of each only what is new. So a region gets one request at a time
and at most `REQUESTS_A_MINUTE`, however many tasks run there; with more tasks, each is read less often. A region that doesn't
answer is left alone for a while. An allocation that ended well is read once more.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from federation.curves import KeepBest, LineReader, Newest
from federation.run.brain.commands import Tell
from federation.run.brain.events import Measured
from federation.run.ports import RegionReader
from jobs.code_run import CURVES_FILE, OUTPUT_FOLDER
from jobs.errors import FedmlError
from regions.errors import NotFound, PermissionDenied
from regions.model import Allocation

CURVES_PATH = f"alloc/{OUTPUT_FOLDER}/{CURVES_FILE}"
"""In the allocation's folder."""
EACH_S = 2.0
"""Between two reads of one allocation, at least."""
PACE_S = 0.2
"""Between two reads in one region, at least. A read is at most two requests."""
READS_A_SECOND = 10
"""In all regions together, at most: a read takes 3 to 4 ms of a core here."""
REQUESTS_A_MINUTE = round(2 * 60 / PACE_S)
SILENT_S = 30.0
"""How long a region is left alone that doesn't answer, or refuses."""
READ_BYTES_MAX = 1 << 20
TAIL_BYTES = 64 << 10
"""What is read of a file that grew by more than `READ_BYTES_MAX`, where only its newest values count."""


@dataclass(slots=True)
class _File:
    """The curves of one allocation, as far as they were read."""

    job_id: str
    newest: Newest
    lines: LineReader = field(default_factory=LineReader)
    offset_bytes: int = 0
    is_over: bool = False


class CurveReader:
    """Reads while `reading` lasts. `changed` says which allocations run. For several threads."""

    def __init__(
        self,
        sources: Mapping[str, RegionReader],
        *,
        keep: KeepBest | None = None,
        slots: int = 0,
        observe: Callable[[Tell], None] = lambda _: None,
    ) -> None:
        self._sources = sources
        self._metric = keep.metric if keep is not None else ""
        self._steps = tuple(step for step, _ in keep.rungs(slots)) if keep is not None else ()
        self._observe = observe
        self._files: dict[str, dict[str, _File]] = {region: {} for region in sources}
        self._order: dict[str, deque[str]] = {region: deque() for region in sources}
        self._refused: set[str] = set()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._begun = {region: threading.Event() for region in sources}

    @contextmanager
    def reading(self, take: Callable[[Measured], None]) -> Iterator[None]:
        """Gives the newest values of each task that has any to `take`, until the block ends."""
        for region in self._sources:
            threading.Thread(target=self._read_on, args=(region, take), name=f"curves-{region}", daemon=True).start()
        try:
            yield
        finally:
            self._end.set()
            for begun in self._begun.values():
                begun.set()

    def changed(self, region: str, allocation: Allocation) -> None:
        """Reads a running allocation from now on, one that ended well once more, and no other one."""
        with self._lock:
            files = self._files[region]
            if allocation.client_status == "running" and allocation.id not in files:
                files[allocation.id] = _File(allocation.job_id, Newest(self._metric, self._steps))
                self._order[region].append(allocation.id)
            elif allocation.client_status == "complete" and allocation.id in files:
                files[allocation.id].is_over = True
            elif allocation.is_over:
                files.pop(allocation.id, None)
        self._begun[region].set()

    def read_next(self, region: str) -> Measured | None:
        """Reads the allocation whose turn it is. Returns its newest values, None where there are no new ones. Raises
        FedmlError where the region doesn't answer."""
        with self._lock:
            order, files = self._order[region], self._files[region]
            while order and order[0] not in files:
                order.popleft()
            if not order:
                return None
            alloc_id, file = order[0], files[order[0]]
            order.rotate(-1)
        is_last = file.is_over
        try:
            has_news = self._read(region, alloc_id, file)
        except NotFound:
            has_news = False
        if is_last:
            with self._lock:
                files.pop(alloc_id, None)
        newest = file.newest
        return Measured(file.job_id, newest.step, dict(newest.values), tuple(newest.reached)) if has_news else None

    def _read(self, region: str, alloc_id: str, file: _File) -> bool:
        source, newest = self._sources[region], file.newest
        data, size_bytes = source.read_file_from(
            alloc_id, CURVES_PATH, offset_bytes=file.offset_bytes, limit_bytes=READ_BYTES_MAX
        )
        if size_bytes < file.offset_bytes:  # it was written anew
            file.offset_bytes, file.lines = 0, LineReader()
            return False
        file.offset_bytes += len(data)
        has_news = newest.take(file.lines.feed(data, is_end=file.is_over and file.offset_bytes >= size_bytes))
        is_settled = len(newest.reached) == len(newest.steps)
        if size_bytes - file.offset_bytes > READ_BYTES_MAX and is_settled:
            file.offset_bytes = size_bytes - TAIL_BYTES
            file.lines.jump()
        return has_news

    def pause_s(self, region: str) -> float:
        """The pause until the region's next read."""
        busy = sum(1 for files in self._files.values() if files)
        return max(PACE_S, busy / READS_A_SECOND, EACH_S / max(1, len(self._files[region])))

    def _read_on(self, region: str, take: Callable[[Measured], None]) -> None:
        self._begun[region].wait()
        pause_s = self.pause_s(region)
        while not self._end.wait(pause_s):
            pause_s = self.pause_s(region)
            try:
                measured = self.read_next(region)
            except FedmlError as error:
                pause_s = SILENT_S
                self._say_refused(region, error)
                continue
            if measured is not None:
                take(measured)

    def _say_refused(self, region: str, error: FedmlError) -> None:
        """Reports once that a token may not read files: then no rule stops anything there."""
        if isinstance(error, PermissionDenied) and region not in self._refused:
            self._refused.add(region)
            detail = (
                f"its tasks' curves can't be read, so no rule stops them (the token needs read-fs): {error.message}"
            )
            self._observe(Tell("region", region, detail=detail))
