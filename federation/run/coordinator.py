"""The run's shell: the brain's commands are executed against regions and stores, and what happened is fed back as events.

One thread steps the brain; pools of threads do the waiting: one a region for dispatches and questions, one for stores, one
writer for the run log and one for the index (so that each log has one writer here, in order). Nothing is decided here.
Ctrl-C once leaves everything as it is and raises Interrupted; `resume` goes on from the run log.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from federation.result import Key, ResultRecord
from federation.run.brain import Brain
from federation.run.commands import (
    Append,
    CheckParent,
    Close,
    Command,
    Commit,
    Dispatch,
    Find,
    Inspect,
    Look,
    Ping,
    Probe,
    Stop,
    Tell,
    Verify,
)
from federation.run.events import (
    Acknowledged,
    AllocationChanged,
    Appended,
    CancelRequested,
    ChildInspected,
    ChildSpec,
    Committed,
    DispatchFailed,
    Event,
    Found,
    Looked,
    Pair,
    ParentChecked,
    Pinged,
    RegionHeard,
    RegionProbed,
    Stopped,
    Tick,
)
from federation.run.manifest import idempotency_token
from jobs.errors import FedmlError
from jobs.spec import SPEC_KEY
from regions.errors import InvalidJob, NotFound, PermissionDenied, RegionUnreachable
from regions.model import Allocation, Dispatched
from regions.storage.errors import StoreError

TICK_S = 0.2
DISPATCH_THREADS = 8
STORE_THREADS = 8
LOG_TAIL_BYTES = 2000
LINE_CHARS = 300


class RegionClient(Protocol):
    """The part of a region client that a run uses."""

    @property
    def name(self) -> str: ...
    def leader(self) -> str: ...
    def job(self, job_id: str) -> dict[str, Any]: ...
    def jobs(self, prefix: str = "", *, meta: bool = False) -> list[dict[str, Any]]: ...
    def dispatch(
        self, job_id: str, *, meta: Mapping[str, str], payload: bytes = b"", idempotency_token: str = ""
    ) -> Dispatched: ...
    def stop_job(self, job_id: str, *, purge: bool = False) -> None: ...
    def evaluate(self, job_id: str) -> str: ...
    def logs(
        self, alloc_id: str, task: str, *, kind: Literal["stdout", "stderr"] = "stdout", tail_bytes: int | None = None
    ) -> bytes: ...
    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]: ...


class RunLog(Protocol):
    """The run's own log: `append` returns when the entry stands, and raises LogConflict when another coordinator wrote."""

    def append(self, changes: Sequence[dict[str, Any]], *, reason: str = "") -> object: ...


class ResultIndex(Protocol):
    """The part of the index that a run uses."""

    def commit(self, records: Sequence[ResultRecord]) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What a run is connected to.

    `probe(region)` gives a RegionProbed; `read(region, key, allocation)` the record of one allocation, or None;
    `search(region, slot)` all records that the slot left in the region's stores; `watch(region, on_allocation, on_heard,
    stop)` follows one region and returns when `stop` is set. `read` and `search` raise StoreError.
    """

    clients: Mapping[str, RegionClient]
    run_log: RunLog
    index: ResultIndex
    probe: Callable[[str], RegionProbed]
    read: Callable[[str, Key, Allocation], ResultRecord | None]
    search: Callable[[str, int], Sequence[ResultRecord]]
    watch: Callable[[str, Callable[[Allocation], None], Callable[[], None], threading.Event], None]
    observe: Callable[[Tell], None]
    clock: Callable[[], float] = time.monotonic


class Coordinator:
    """Runs one brain to its end."""

    def __init__(self, brain: Brain, ports: Ports) -> None:
        self._brain = brain
        self._ports = ports
        self._events: queue.Queue[Event | BaseException] = queue.Queue()
        self._stop = threading.Event()
        self._regions: dict[str, Executor] = {}
        self._stores: Executor = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="store")
        self._log_writer: Executor = ThreadPoolExecutor(1, thread_name_prefix="run-log")
        self._index_writer: Executor = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._records: list[tuple[ResultRecord, ...]] = []
        self._records_lock = threading.Lock()

    def run(self, first: Sequence[Event] = ()) -> Close:
        """Run until the brain closes. `first` are events from before (a replayed log). What a log or the index raises
        ends the run with that error; all state is kept."""
        clients = self._ports.clients
        self._regions = {name: ThreadPoolExecutor(DISPATCH_THREADS, thread_name_prefix=name) for name in clients}
        try:
            for event in first:
                closed = self._take(event)
                if closed:
                    return closed
            for name in clients:
                threading.Thread(target=self._watch, args=(name,), name=f"watch-{name}", daemon=True).start()
            while True:
                closed = self._take(Tick(self._ports.clock()))
                deadline = time.monotonic() + TICK_S
                while not closed:
                    try:
                        news = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
                    except queue.Empty:
                        break
                    if isinstance(news, BaseException):
                        raise news
                    closed = self._take(news)
                if closed:
                    return closed
        finally:
            self._stop.set()
            for executor in (*self._regions.values(), self._stores, self._log_writer, self._index_writer):
                executor.shutdown(wait=False, cancel_futures=True)

    def cancel(self, reason: str) -> None:
        """Ask for the end of the run (from any thread)."""
        self._events.put(CancelRequested(reason))

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
            case Append():
                self._log_writer.submit(self._guarded, self._append, command)
            case Commit():
                with self._records_lock:
                    self._records.append(command.records)
                self._index_writer.submit(self._guarded, self._commit)
            case Look():
                self._stores.submit(self._guarded, self._look, command)
            case Dispatch():
                self._regions[command.region].submit(self._guarded, self._dispatch, command)
            case CheckParent():
                self._regions[command.region].submit(self._guarded, self._check_parent, command)
            case Ping():
                self._regions[command.region].submit(self._guarded, self._ping, command)
            case Probe():
                self._regions[command.region].submit(self._guarded, self._probe, command)
            case Find():
                self._regions[command.region].submit(self._guarded, self._find, command)
            case Verify():
                self._regions[command.region].submit(self._guarded, self._verify, command)
            case Inspect():
                self._regions[command.region].submit(self._guarded, self._inspect, command)
            case Stop():
                self._regions[command.region].submit(self._guarded, self._stop_child, command)

    def _guarded(self, act: Callable[..., None], *arguments: object) -> None:
        """A thread's whole work: what it raises unexpectedly ends the run in the main thread instead of being lost."""
        try:
            act(*arguments)
        except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
            self._events.put(error)

    # ── what each command does; runs in a pool's thread ───────────────────────────────────────────────────────────────

    def _append(self, command: Append) -> None:
        self._ports.run_log.append(command.changes, reason="run")
        self._events.put(Appended(command.changes))

    def _commit(self) -> None:
        """Commit all that has gathered meanwhile as one entry."""
        with self._records_lock:
            batches, self._records = self._records, []
        records = [record for batch in batches for record in batch]
        if not records:
            return
        outcomes = self._ports.index.commit(records)
        for batch in batches:
            self._events.put(Committed(tuple((record, outcomes[record.alloc_id]) for record in batch)))

    def _dispatch(self, command: Dispatch) -> None:
        manifest = self._brain.manifest
        meta = {**manifest.meta, **manifest.own_meta(command.slot, command.attempt)}
        token = idempotency_token(manifest.run, command.slot, command.attempt)
        client = self._ports.clients[command.region]
        try:
            done = client.dispatch(manifest.parent_id, meta=meta, payload=manifest.payload, idempotency_token=token)
        except (InvalidJob, NotFound, PermissionDenied) as error:
            self._events.put(DispatchFailed(command.slot, command.attempt, "refused", error.message))
            return
        except FedmlError as error:
            self._events.put(DispatchFailed(command.slot, command.attempt, "unknown", error.message))
            return
        if not done.eval_id:
            self._ensure_evaluation(client, done.job_id)
        self._events.put(Acknowledged(command.slot, command.attempt, done.job_id))

    @staticmethod
    def _ensure_evaluation(client: RegionClient, job_id: str) -> None:
        """A token hit names a child that may never have got its evaluation (NOMAD.md): one that is pending gets one."""
        try:
            if client.job(job_id).get("Status") == "pending" and not client.allocations(job_id=job_id)[0]:
                client.evaluate(job_id)
        except FedmlError:
            return

    def _check_parent(self, command: CheckParent) -> None:
        try:
            parent = self._ports.clients[command.region].job(self._brain.manifest.parent_id)
        except NotFound:
            self._events.put(ParentChecked(command.region, ""))
        except FedmlError:
            self._events.put(ParentChecked(command.region, None))
        else:
            self._events.put(ParentChecked(command.region, self._brain.manifest.spec_in(command.region, parent)))

    def _ping(self, command: Ping) -> None:
        try:
            self._ports.clients[command.region].leader()
        except FedmlError:
            self._events.put(Pinged(command.region, is_alive=False))
        else:
            self._events.put(Pinged(command.region, is_alive=True))

    def _probe(self, command: Probe) -> None:
        self._events.put(self._ports.probe(command.region))

    def _find(self, command: Find) -> None:
        """Which of these attempts have a child: by meta or token, read from the job's children."""
        manifest = self._brain.manifest
        client = self._ports.clients[command.region]
        wanted = set(command.pairs)
        found: dict[Pair, str] = {}
        try:
            has_meta = manifest.declared_meta is None
            for stub in client.jobs(f"{manifest.parent_id}/dispatch-", meta=has_meta):
                is_told = has_meta and stub.get("Meta") is not None
                pair = manifest.child_of(stub if is_told else client.job(str(stub["ID"])))
                if pair in wanted:
                    found[pair] = str(stub["ID"])
                if len(found) == len(wanted):
                    break
            for job_id in found.values():
                self._ensure_evaluation(client, job_id)
        except FedmlError:
            self._events.put(Found(command.region, {}, ()))
            return
        missing = tuple(pair for pair in command.pairs if pair not in found)
        self._events.put(Found(command.region, found, missing))

    def _verify(self, command: Verify) -> None:
        manifest = self._brain.manifest
        client = self._ports.clients[command.region]
        wanted = set(command.job_ids)
        try:
            if len(wanted) > 3:
                for stub in client.jobs(f"{manifest.parent_id}/dispatch-", meta=True):
                    if stub["ID"] in wanted and stub.get("Meta") is not None:
                        wanted.discard(str(stub["ID"]))
                        self._events.put(ChildSpec(str(stub["ID"]), str(stub["Meta"].get(SPEC_KEY, ""))))
            for job_id in wanted:
                self._events.put(ChildSpec(job_id, str((client.job(job_id).get("Meta") or {}).get(SPEC_KEY, ""))))
        except FedmlError:
            return  # the record carries the hash too: a result of another spec never wins

    def _inspect(self, command: Inspect) -> None:
        client = self._ports.clients[command.region]
        try:
            job = client.job(command.job_id)
            allocations, _ = client.allocations(job_id=command.job_id)
        except NotFound:
            self._events.put(ChildInspected(command.slot, command.attempt, "gone"))
            return
        except FedmlError:
            self._events.put(ChildInspected(command.slot, command.attempt, "unknown"))
            return
        status = str(job.get("Status", ""))
        last_line = _last_line(client, allocations) if status == "dead" else ""
        self._events.put(ChildInspected(command.slot, command.attempt, status, tuple(allocations), last_line))

    def _stop_child(self, command: Stop) -> None:
        done = Stopped(command.region, command.job_id, is_done=True)
        try:
            self._ports.clients[command.region].stop_job(command.job_id)
        except NotFound:
            pass
        except PermissionDenied as error:
            done = replace(done, problem=error.message)
        except FedmlError:
            done = replace(done, is_done=False)
        self._events.put(done)

    def _look(self, command: Look) -> None:
        manifest = self._brain.manifest
        allocation = command.allocation
        alloc_id = allocation.id if allocation else ""
        try:
            if allocation is None:
                records = tuple(self._ports.search(command.region, command.slot))
            else:
                key = Key(manifest.run, command.slot, allocation.group, allocation.index)
                record = self._ports.read(command.region, key, allocation)
                records = (record,) if record is not None else ()
        except (StoreError, RegionUnreachable) as error:
            self._events.put(Looked(command.slot, command.attempt, alloc_id, (), error.message))
            return
        self._events.put(Looked(command.slot, command.attempt, alloc_id, records))

    def _watch(self, region: str) -> None:
        self._guarded(
            self._ports.watch,
            region,
            lambda allocation: self._events.put(AllocationChanged(region, allocation)),
            lambda: self._events.put(RegionHeard(region)),
            self._stop,
        )


def _last_line(client: RegionClient, allocations: Sequence[Allocation]) -> str:
    """The last line that a failed task wrote to stderr, for whoever reads why the attempt failed; "" without any."""
    for allocation in allocations:
        for task, state in allocation.tasks.items():
            if state.failed and allocation.client_status == "failed":
                try:
                    text = client.logs(allocation.id, task, kind="stderr", tail_bytes=LOG_TAIL_BYTES)
                except FedmlError:
                    return ""
                told = (line.strip() for line in text.decode(errors="replace").splitlines())
                lines = [line for line in told if line and not line.startswith("→")]  # a hint isn't what happened
                words = "".join(char if char.isprintable() else " " for char in lines[-1]).split() if lines else []
                return " ".join(words)[:LINE_CHARS]
    return ""
