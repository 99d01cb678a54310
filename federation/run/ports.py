"""What a run is connected to: its regions, logs and stores as the coordinator calls them. Protocols and one record, no code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from federation.claims import Site
from federation.index.columns import Row
from federation.plan import Budget
from federation.result import Key, ResultRecord
from federation.run.brain.changes import Change, Entry
from federation.run.brain.commands import KeepLogs, Revert, Tell
from federation.run.brain.events import Joined, Pinged, RegionProbed
from federation.run.redaction import Redactor
from jobs.frozen import field, frozen
from regions.model import Allocation, Dispatched, Node
from regions.model import Event as NomadEvent
from regions.nomad.task_history import AllocationStory, TaskUsage


class RegionReader(Protocol):
    """The part of a region client that a run calls."""

    @property
    def name(self) -> str: ...
    def job(self, job_id: str) -> dict[str, Any]: ...
    def jobs(self, prefix: str = "", *, meta: bool = False, is_alive: bool = False) -> list[dict[str, Any]]: ...
    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]: ...
    def allocation_story(self, alloc_id: str) -> AllocationStory: ...
    def evaluations(self, job_id: str | None = None, status: str = "") -> list[dict[str, Any]]: ...
    def events(self, *, topics: Sequence[str], index: int, stop: threading.Event) -> Iterator[list[NomadEvent]]: ...
    def logs(
        self, alloc_id: str, task: str, *, kind: Literal["stdout", "stderr"] = "stdout", tail_bytes: int | None = None
    ) -> bytes: ...
    def written_streams(self, alloc_id: str) -> frozenset[tuple[str, str]]: ...
    def usage(self, alloc_id: str) -> dict[str, TaskUsage]: ...
    def read_file_from(self, alloc_id: str, path: str, *, offset_bytes: int, limit_bytes: int) -> tuple[bytes, int]: ...


class RegionClient(RegionReader, Protocol):
    """A region that a run asks and changes. A stand-in for one that fails needs no more methods than these."""

    def dispatch(
        self, job_id: str, *, meta: Mapping[str, str], payload: bytes = b"", idempotency_token: str = ""
    ) -> Dispatched: ...
    def evaluate(self, job_id: str) -> str: ...
    def stop_job(self, job_id: str, *, purge: bool = False) -> None: ...


class RunLog(Protocol):
    """The run's own log, which others may write too.

    `append` writes one entry where the log has `after` entries so far: whether it stands, and the entries of others that
    weren't given before, which come before ours where it was refused and after it where it stands. `news` reads on.
    """

    def append(self, changes: Sequence[Change], *, after: int) -> tuple[bool, Sequence[Entry]]: ...
    def news(self) -> Sequence[Entry]: ...


class ResultIndex(Protocol):
    """The part of the index that a run uses."""

    def commit(self, records: Sequence[ResultRecord]) -> Mapping[str, str]: ...
    def won(self, run: str, slots: Iterable[int] | None = None) -> Sequence[Row]: ...


@frozen
class Ports:
    """What a run is connected to.

    `probe(region, slots)` gives a RegionProbed, `ping(region)` a Pinged; `list_allocations(region)` all allocations there, and
    the other region through which they were asked for ("" for none); `read(region, key, allocation)` the record of one
    allocation, or None, and raises PublishError for one that can't be read; `search(region, slot)` gives all records that the
    slot left in the region's stores (both as nodes wrote them); `node(region, node_id)` is the node, where the region tells it;
    `sites` are the regions as fedml.toml has them; `watch(region,
    on_allocation, on_heard, on_listed, stop)` follows one region and returns when `stop` is set; `inputs(slot)` gives the
    meta and payload of a slot; `budgets(region)` is what `[shares]` leaves for the run after its bindings in that region were
    logged; `join(region)` brings the job to a late region and gives a Joined; `keep_logs` begins what its command says, and
    calls its second argument, from any thread, when it is through with it; `revert` does what its command says, as far as that
    is possible; `redact` takes credentials out of what a task wrote. `read`, `search`, `list_allocations` and `inputs` raise
    FedmlError.
    """

    clients: Mapping[str, RegionClient]
    run_log: RunLog
    index: ResultIndex
    probe: Callable[[str, int], RegionProbed]
    ping: Callable[[str], Pinged]
    list_allocations: Callable[[str], tuple[Sequence[Allocation], str]]
    read: Callable[[str, Key, Allocation], ResultRecord | None]
    search: Callable[[str, int], Sequence[ResultRecord]]
    watch: Callable[
        [str, Callable[[Allocation], None], Callable[[bool], None], Callable[[Collection[str]], None], Any], None
    ]
    observe: Callable[[Tell], None]
    inputs: Callable[[int], tuple[Mapping[str, str], bytes]]
    sites: Mapping[str, Site]
    budgets: Callable[[str], tuple[Budget, ...]] = lambda _region: ()
    node: Callable[[str, str], Node | None] = lambda _region, _node_id: None
    join: Callable[[str], Joined] = Joined
    keep_logs: Callable[[KeepLogs, Callable[[], None]], None] = lambda _, done: done()
    revert: Callable[[Revert], None] = lambda _: None
    redact: Callable[[bytes], bytes] = field(factory=Redactor)
