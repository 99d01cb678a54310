"""Runs a brain with threads, clocks, regions and stores around it.

1. The brain gets the events from before (a replayed run log).
2. A thread a region follows the region's news and queues them as events.
3. The main thread tells the brain the time, then gives it one queued event after another until the next tick.
4. Each command of the brain goes to a pool of threads, which queues what happened as events.
5. When the brain closes, or an error ends the run, all pools are shut down.

Pools: two a region (one for dispatches and questions; one for pings and lists, which nothing slow may hold up), one for stores,
and one writer each for the run log and the index, so that each has one writer here, in order. Ctrl-C
leaves everything as it is; the run goes on from its log.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from federation.result import Key, ResultRecord
from federation.run.brain.brain import Brain
from federation.run.brain.commands import Append, Close, Command, Commit, KeepLogs, List, Look, Ping, ReadLog, Tell
from federation.run.brain.events import (
    AllocationChanged,
    CancelRequested,
    CommitFailed,
    Committed,
    Event,
    Listed,
    LogsKept,
    Measured,
    RegionHeard,
    RegionProbed,
    Tick,
)
from federation.run.execution import Execution
from federation.run.ports import Ports
from jobs.errors import FedmlError
from regions.storage.errors import Unavailable

TICK_S = 0.2
DISPATCH_THREADS = 8
STORE_THREADS = 8
REACH_THREADS = 2
"""A region: one for a ping, one for a list, so that no slow call holds them up."""


class Coordinator:
    """Runs one brain to its end."""

    def __init__(self, brain: Brain, ports: Ports, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._brain = brain
        self._ports = ports
        self._clock = clock
        self._execution = Execution(brain.manifest, ports)
        self._events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._regions: dict[str, Executor] = {
            name: ThreadPoolExecutor(DISPATCH_THREADS, thread_name_prefix=name) for name in ports.clients
        }
        self._reach: dict[str, Executor] = {
            name: ThreadPoolExecutor(REACH_THREADS, thread_name_prefix=f"reach-{name}") for name in ports.clients
        }
        self._stores: Executor = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
        self._log_writer: Executor = ThreadPoolExecutor(1, thread_name_prefix="run-log")
        self._index_writer: Executor = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._records: list[tuple[ResultRecord, ...]] = []
        self._records_lock = threading.Lock()

    def run(self, first: Sequence[Event] = (), probed: Sequence[RegionProbed] = ()) -> Close:
        """Run until the brain closes. `first` are events from before; the rooms that were `probed` aren't asked for at the
        beginning. An error of the run log or the index ends the run; all state is kept."""
        closed: Close | None = None
        try:
            closed = self._take_all(first)
            self._brain.expect_rooms(probed)
            for event in probed:
                self._events.put(event)
            self._follow_regions()
            while closed is None:
                closed = self._take(Tick(self._clock())) or self._take_news()
            return closed
        finally:
            self._shut_down()

    def _take_all(self, events: Sequence[Event]) -> Close | None:
        return next(filter(None, map(self._take, events)), None)

    def _follow_regions(self) -> None:
        for name in self._ports.clients:
            threading.Thread(target=self._watch, args=(name,), name=f"watch-{name}", daemon=True).start()

    def _shut_down(self) -> None:
        self._stop.set()
        regions = (*self._regions.values(), *self._reach.values())
        for executor in (*regions, self._stores, self._log_writer, self._index_writer):
            executor.shutdown(wait=False, cancel_futures=True)

    def cancel(self, reason: str) -> None:
        """Ask for the end of the run (from any thread)."""
        self._events.put(CancelRequested(reason))

    def measured(self, event: Measured) -> None:
        """Judge a task by its newest values (from any thread)."""
        self._events.put(event)

    def abandon(self, error: FedmlError) -> None:
        """Stop driving with this error (from any thread); what is under way in regions and stores stays."""
        self._events.put(error)

    def _take_news(self) -> Close | None:
        """Take what comes in until the next tick is due."""
        deadline = time.monotonic() + TICK_S
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                news = self._events.get(timeout=left_s)
            except queue.Empty:
                return None
            if isinstance(news, BaseException):
                raise news
            if closed := self._take(news):
                return closed
        return None

    def _take(self, event: Event) -> Close | None:
        for command in self._brain.step(event):
            if isinstance(command, Close):
                return command
            self._execute(command)
        return None

    def _execute(self, command: Command) -> None:
        match command:
            case Tell():
                self._ports.observe(command)
            case Commit():
                with self._records_lock:
                    self._records.append(command.records)
                self._index_writer.submit(self._guarded, self._commit)
            case Append() | ReadLog():
                self._log_writer.submit(self._guarded, self._do, command)
            case Look():
                self._stores.submit(self._guarded, self._do, command)
            case KeepLogs():
                kept = LogsKept(command.slot, command.attempt)
                self._ports.keep_logs(command, lambda: self._events.put(kept))
            case Ping() | List():
                self._reach[command.region].submit(self._guarded, self._do, command)
            case Close():
                pass
            case _:
                self._regions[command.region].submit(self._guarded, self._do, command)

    def _guarded(self, act: Callable[..., None], *arguments: object) -> None:
        """Does a thread's work. An error that isn't expected ends the run in the main thread instead of being lost."""
        try:
            act(*arguments)
        except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
            self._events.put(error)

    def _do(self, command: Command) -> None:
        for event in self._execution.do(command):
            self._events.put(event)

    def _commit(self) -> None:
        """Commit all that has gathered meanwhile as one entry."""
        with self._records_lock:
            batches, self._records = self._records, []
        records = [record for batch in batches for record in batch]
        if not records:
            return
        try:
            outcomes = self._ports.index.commit(records)
            givers = self._givers(records, outcomes)
        except Unavailable as error:
            for batch in batches:
                self._events.put(CommitFailed(batch, error.message))
            return
        for batch in batches:
            self._events.put(Committed(tuple((record, outcomes[record.alloc_id]) for record in batch), givers))

    def _givers(self, records: Sequence[ResultRecord], outcomes: Mapping[str, str]) -> dict[Key, int]:
        """The attempts that won the keys of these records, where an earlier commit decided."""
        slots: dict[str, set[int]] = {}
        for key in (one.key for one in records if outcomes[one.alloc_id] in ("superseded", "known")):
            slots.setdefault(key.run, set()).add(key.slot)
        return {
            Key(row.run, row.slot, row.group, row.index): row.attempt
            for run in sorted(slots)
            for row in self._ports.index.won(run, slots[run])
        }

    def _watch(self, region: str) -> None:
        self._guarded(
            self._ports.watch,
            region,
            lambda allocation: self._events.put(AllocationChanged(region, allocation)),
            lambda is_room_likely: self._events.put(RegionHeard(region, is_room_likely)),
            lambda job_ids: self._events.put(Listed(region, frozenset(job_ids))),
            self._stop,
        )
