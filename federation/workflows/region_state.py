"""What one region holds now: its servers, nodes, devices, and the jobs that wait or run there. Five requests, however busy
the region is, but for further pages of long lists.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from federation.app import App
from federation.check import Check, clock_check
from federation.checks.doctor.regions import CLOCK_LIMIT_S
from federation.index.rows import RunRow
from jobs.errors import FedmlError
from jobs.spec import RUN_KEYS, SPEC_KEY
from regions.model import HeldDevices, Node
from regions.nomad.resources import Resources

T = TypeVar("T")

ASK_S = 5.0
"""How long one question may take."""
JOBS_MAX = 5_000
"""More jobs of a region than these, and a page more, are not read."""
WAITING = "pending"
DEFAULT_NAMESPACE = "default"
"""That of a job that names none."""
LAST_MOMENT_S = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A job that isn't dead. `run`, `slot` and `attempt` are those of a child that fedml dispatched, else empty."""

    id: str
    parent: str
    namespace: str
    status: str
    """`pending` (it waits for room), or `running`."""
    submitted_s: float
    run: str = ""
    slot: str = ""
    attempt: str = ""
    spec_hash: str = ""


@dataclass(frozen=True, slots=True)
class RegionState:
    """One region's answers. `unknown` says what it didn't tell, and why."""

    region: str
    address: str = ""
    """Which of its addresses answered."""
    leader: str = ""
    answered_in_s: float = 0.0
    """One request to the leader and back."""
    skew_s: float | None = None
    """How far its clock is ahead of this machine's, to about a second."""
    version: str = ""
    nodes: tuple[Node, ...] = ()
    used: Mapping[str, Resources] = field(default_factory=dict)
    """Node ID → what allocations take there."""
    held: tuple[HeldDevices, ...] = ()
    jobs: Mapping[tuple[str, str], LiveJob] = field(default_factory=dict)
    """By namespace and ID: other namespaces may have jobs of the same ID."""
    unknown: tuple[str, ...] = ()

    @property
    def ready(self) -> list[Node]:
        """The nodes that take work."""
        return [node for node in self.nodes if node.is_ready]

    @property
    def queue(self) -> list[LiveJob]:
        """The jobs that wait, those that wait longest first."""
        return sorted((job for job in self.jobs.values() if job.status == WAITING), key=lambda job: job.submitted_s)

    @property
    def clock(self) -> Check:
        """Whether its clock agrees with this machine's."""
        return clock_check(f"region {self.region}", self.skew_s, limit_s=CLOCK_LIMIT_S, error_s=1.0)

    @property
    def used_devices(self) -> dict[str, Counter[str]]:
        """Node ID → model → how many of them allocations hold."""
        used: dict[str, Counter[str]] = {}
        for one in self.held:
            used.setdefault(one.node_id, Counter())[one.model] += len(one.ids)
        return used


def read_state(app: App, name: str) -> RegionState:
    """Asks the region. Raises its error where it doesn't say who leads; what else it refuses is in the state."""
    client = app.client(name).within(ASK_S)
    before = datetime.now(UTC)
    begin = time.perf_counter()
    leader, theirs = client.leader_and_time()
    answered_in_s = time.perf_counter() - begin
    # The header has whole seconds, rounded down.
    skew_s = None if theirs is None else (theirs - before).total_seconds() + 0.5 - answered_in_s / 2
    unknown: list[str] = []

    def ask(what: str, question: Callable[[], T], otherwise: T) -> T:
        try:
            return question()
        except FedmlError as error:
            unknown.append(f"{what}: {error.message}")
            return otherwise

    used: tuple[dict[str, Resources], list[HeldDevices]] = ({}, [])
    none: list[dict[str, Any]] = []
    version = ask("version", client.version, "")
    nodes: list[Node] = ask("nodes", client.nodes, [])
    used = ask("what is used", client.taken, used)
    jobs = ask(
        "jobs", lambda: client.jobs(meta=True, is_alive=True, namespace="*", items_max=JOBS_MAX), none
    )  # fmt: skip
    if len(jobs) >= JOBS_MAX:
        unknown.append(f"jobs: it has more than {JOBS_MAX:,}, so the queue may be longer")
    return RegionState(
        name,
        client.address,
        leader,
        answered_in_s,
        skew_s,
        version,
        tuple(nodes),
        used[0],
        tuple(used[1]),
        {(job.namespace, job.id): job for job in map(_live_job, jobs)},
        tuple(unknown),
    )


def _live_job(stub: Mapping[str, Any]) -> LiveJob:
    meta = stub.get("Meta") or {}
    run, slot, attempt = (str(meta.get(key) or "") for key in RUN_KEYS)
    return LiveJob(
        str(stub["ID"]),
        str(stub.get("ParentID") or ""),
        str(stub.get("Namespace") or DEFAULT_NAMESPACE),
        str(stub.get("Status") or ""),
        min(max((stub.get("SubmitTime") or 0) / 1e9, 0.0), LAST_MOMENT_S),
        run,
        slot if _NUMBER.fullmatch(slot) else "",
        attempt if _NUMBER.fullmatch(attempt) else "",
        str(meta.get(SPEC_KEY) or ""),
    )


@dataclass(frozen=True, slots=True)
class NodeKind:
    """The ready nodes of one datacenter, pool and class, taken together: what they have, and what of it is used."""

    region: str
    datacenter: str
    pool: str
    node_class: str
    nodes: int
    ready: int
    total: Resources
    used: Resources
    devices: Mapping[str, tuple[int, int]]
    """Model → used, total."""
    drivers: tuple[str, ...]

    @property
    def name(self) -> str:
        """For people: `us-east-1 · gpu · large`."""
        return " · ".join(part for part in (self.datacenter, self.pool, self.node_class) if part)


def node_kinds(state: RegionState, nodes: Sequence[Node]) -> list[NodeKind]:
    """These nodes of the region by datacenter, pool and class. Pure."""
    kinds: dict[tuple[str, str, str], list[Node]] = {}
    for node in nodes:
        kinds.setdefault((node.datacenter, node.node_pool, node.node_class), []).append(node)
    held = state.used_devices
    return [_kind(state, key, those, held) for key, those in sorted(kinds.items())]


def _kind(
    state: RegionState, key: tuple[str, str, str], nodes: Sequence[Node], held: Mapping[str, Counter[str]]
) -> NodeKind:
    ready = [node for node in nodes if node.is_ready]
    total, used = Counter[str](), Counter[str]()
    for node in ready:
        total.update(node.devices)
        used.update(held.get(node.id, {}))
    drivers = frozenset[str]().union(*(node.drivers for node in nodes))
    return NodeKind(
        state.region,
        *key,
        len(nodes),
        len(ready),
        sum((Resources(node.cpu_mhz, node.memory_mb) for node in ready), Resources()),
        sum((state.used.get(node.id, Resources()) for node in ready), Resources()),
        {model: (used[model], total[model]) for model in sorted(total | used)},
        tuple(sorted(drivers)),
    )


@dataclass(frozen=True, slots=True)
class QueueGroup:
    """The waiting jobs of one run, or of one parent that fedml didn't dispatch."""

    region: str
    job: str
    namespace: str
    run: str
    number: int
    since_s: float


def queue_groups(state: RegionState) -> list[QueueGroup]:
    """What waits, by whose it is; what waits longest comes first."""
    groups: dict[tuple[str, str, str], list[LiveJob]] = {}
    for job in state.queue:
        groups.setdefault((job.parent or job.id, job.namespace, job.run), []).append(job)
    return [QueueGroup(state.region, *key, len(jobs), jobs[0].submitted_s) for key, jobs in groups.items()]


def runs_of(app: App, states: Sequence[RegionState]) -> dict[str, RunRow]:
    """Run ID → the index's row, of all runs whose children these regions have."""
    wanted = {job.run for state in states for job in state.jobs.values() if job.run}
    if not wanted:
        return {}
    named = "run IN (SELECT value FROM json_each(?))"
    return {row.run: row for row in app.index.ask(lambda catalog: catalog.runs(named, (json.dumps(sorted(wanted)),)))}
