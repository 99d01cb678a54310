"""Decides whose output is kept in the home store, and keeps it while the run goes on.

Failed attempts are always kept, and the end of a run waits for them. Of good attempts the output of a sample is kept (or of
all, or of none: `keep_logs` in fedml.toml), beside the run and, for a short time, after its end. Of the others the history is
kept: it comes with the region's events, so it takes no request. What can't be kept is left out and never fails a run.

Load: an attempt that is kept takes one list of its files and one request a stream that holds anything; a failed one also takes
one for its history. Histories are written many at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self

from federation.run.brain.commands import KeepLogs
from federation.run.kept_logs import KeptAttempt, Redact, keep, keep_histories, redacted
from federation.run.ports import RegionReader
from jobs.errors import FedmlError
from regions.nomad.json_types import NOT_OF_NOMADS_SHAPE
from regions.nomad.task_history import AllocationStory, TaskUsage, allocation_story
from regions.storage.store import Store

KeepLogsOf = Literal["failed", "sample", "all"]
SAMPLE = 100
"""The good attempts of a run whose output a sample keeps."""
AFTER_END_S = 2.0
"""How long the output of a sample is still kept after the end of the run."""
THREADS = 2
"""For failed attempts; as many more for good ones."""
HISTORIES_AN_OBJECT = 250
WRITE_AFTER_S = 10.0
"""A history waits this long for others, at most until the next one comes."""
ENDED_MAX = 1_000
"""Allocations whose last event came and whose attempts weren't kept yet."""


class LogKeeper:
    """Keeps the output and histories of one run's attempts while its `with` lasts. Called from several threads."""

    def __init__(
        self,
        sources: Mapping[str, RegionReader],
        home: Store,
        run: str,
        *,
        of: KeepLogsOf,
        redact: Redact,
        used: Callable[[str], Mapping[str, TaskUsage]],
    ) -> None:
        self._sources = sources
        self._home = home
        self._run = run
        self._redact = redact
        self._used = used
        self._of = of
        self._left = {"failed": 0, "sample": SAMPLE}.get(of)
        """Good attempts whose output is still to be kept; None: all."""
        self._ended: dict[str, Mapping[str, Any]] = {}
        self._histories: list[KeptAttempt] = []
        self._write_at_s = 0.0
        self._lock = threading.Lock()
        self._failed = ThreadPoolExecutor(THREADS, thread_name_prefix="kept-logs")
        self._good = ThreadPoolExecutor(THREADS, thread_name_prefix="kept-good-logs")
        self._under_way: set[Future[None]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves out what isn't kept yet, but for the histories."""
        for pool in (self._failed, self._good):
            pool.shutdown(wait=False, cancel_futures=True)
        self._write()

    def ended(self, payload: Mapping[str, Any]) -> None:
        """Takes the JSON of an allocation that is over, from an event: its history."""
        with self._lock:
            self._ended[str(payload.get("ID"))] = payload
            if len(self._ended) > ENDED_MAX:
                del self._ended[next(iter(self._ended))]

    def keep(self, command: KeepLogs, done: Callable[[], None]) -> None:
        """Begins to keep what an allocation wrote, or notes its history. Calls `done` when that is done."""
        story = self._story(command.allocation.id)
        is_kept = command.is_failed or self._is_next()
        if not is_kept and story is not None:
            self._note(self._attempt(command, story))
            done()
            return
        pool = self._failed if command.is_failed else self._good
        future = pool.submit(self._keep, command, None if command.is_failed else story, done, has_output=is_kept)
        with self._lock:
            self._under_way.add(future)
        future.add_done_callback(self._over)

    def wait_for_failed(self) -> None:
        """Waits until what failed attempts wrote is kept."""
        self._failed.shutdown(wait=True)

    def finish(self, tell: Callable[[str], None]) -> None:
        """Goes on with good attempts after the end of the run: a sample for at most `AFTER_END_S`, all of them until they are
        kept. Ctrl-C leaves out the rest."""
        with self._lock:
            left = set(self._under_way)
        if left and self._of == "all":
            tell(f"the run is over; the output of {len(left)} attempts is still being kept (Ctrl-C leaves it out)")
        with suppress(KeyboardInterrupt):
            wait(left, timeout=None if self._of == "all" else AFTER_END_S)

    def _story(self, alloc_id: str) -> AllocationStory | None:
        """The history that came with the allocation's last event."""
        with self._lock:
            payload = self._ended.pop(alloc_id, None)
        with suppress(*NOT_OF_NOMADS_SHAPE):
            return None if payload is None else allocation_story(payload)
        return None

    def _is_next(self) -> bool:
        """Whether the output of one more good attempt is kept."""
        with self._lock:
            if self._left is None:
                return True
            self._left -= 1
            return self._left >= 0

    def _keep(
        self, command: KeepLogs, story: AllocationStory | None, done: Callable[[], None], *, has_output: bool
    ) -> None:
        source, allocation = self._sources[command.region], command.allocation
        try:
            with suppress(FedmlError):
                if not has_output:
                    self._note(self._attempt(command, source.allocation_story(allocation.id)))
                    return
                keep(
                    source,
                    self._home,
                    self._run,
                    slot=command.slot,
                    attempt=command.attempt,
                    alloc_id=allocation.id,
                    is_failed=command.is_failed,
                    redact=self._redact,
                    used=self._used(allocation.id),
                    story=story,
                )
        finally:
            done()

    def _over(self, future: Future[None]) -> None:
        with self._lock:
            self._under_way.discard(future)

    def _attempt(self, command: KeepLogs, story: AllocationStory) -> KeptAttempt:
        source, used = self._sources[command.region].name, self._used(command.allocation.id)
        return KeptAttempt(
            command.slot, command.attempt, source, command.is_failed, redacted(story, self._redact), {}, used
        )

    def _note(self, attempt: KeptAttempt) -> None:
        """Collects histories. Writes them in another thread when there are enough, or the first of them has waited."""
        now_s = time.monotonic()
        with self._lock:
            if not self._histories:
                self._write_at_s = now_s + WRITE_AFTER_S
            self._histories.append(attempt)
            is_due = len(self._histories) >= HISTORIES_AN_OBJECT or now_s >= self._write_at_s
        if is_due:
            with suppress(RuntimeError):  # it is shut down: the rest is written at the end
                self._good.submit(self._write)

    def _write(self) -> None:
        with self._lock:
            attempts, self._histories = self._histories, []
        for first in range(0, len(attempts), HISTORIES_AN_OBJECT):
            with suppress(FedmlError):
                keep_histories(self._home, self._run, attempts[first : first + HISTORIES_AN_OBJECT])
