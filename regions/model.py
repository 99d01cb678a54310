"""Values that describe places: a region and how to reach it, its datacenters and their stores. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jobs.frozen import field, frozen
from regions.credentials import SecretRef
from regions.store_config import StoreConfig as StoreConfig


@frozen
class TLSFiles:
    """Files for TLS towards one region. Verification is on unless a person writes `verify = false`."""

    ca_cert: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    server_name: str | None = None
    verify: bool = True


@frozen
class Datacenter:
    """A Nomad datacenter of one region; its name is unique only there."""

    name: str
    store: StoreConfig


@frozen
class Price:
    """What one slot costs for an hour on nodes of one kind: those that match all that is set here."""

    per_hour: float
    node_class: str = ""
    node_pool: str = ""
    device: str = ""
    """`TYPE`, `VENDOR/TYPE` or `VENDOR/TYPE/NAME`; counts for jobs that ask for such a device."""


@frozen
class Region:
    """One Nomad region, as `fedml.toml` names it.

    `nomad_region` is the name Nomad knows it by (usually the same as `name`). `addresses` (`http(s)://host:port`) are
    tried in turn; any server of the federation will do, since Nomad forwards `?region=`.
    """

    name: str
    addresses: tuple[str, ...]
    datacenters: Mapping[str, Datacenter]
    nomad_region: str = ""
    token: SecretRef | None = None
    namespace: str = "default"
    tls: TLSFiles = TLSFiles()
    order: int = 0
    weight: float = 1.0
    price_per_hour: float | None = None
    prices: tuple[Price, ...] = ()
    """Of some kinds of nodes; the first that fits a node holds, `price_per_hour` for the others."""
    minimum: int = 0
    """So many slots of each run it gets first."""
    cap: int | None = None
    """It never gets more slots of one run."""
    elastic_slots: int = 0
    """How many slots are sent there beyond what is free."""
    pending_timeout_s: float | None = None
    """How long an attempt may wait for a node there; None: as everywhere."""
    max_outstanding: int | None = None
    """Children of one job, finished ones too, that it keeps at most."""
    variables: Mapping[str, object] = field(factory=dict)
    """HCL variables of this region (`[regions.NAME.vars]`)."""
    further_stores: tuple[StoreConfig, ...] = ()
    """Stores in which results of this region may lie besides its datacenters' own: those that moved, for example."""

    def __post_init__(self) -> None:
        if not self.nomad_region:
            object.__setattr__(self, "nomad_region", self.name)


@frozen
class Node:
    """A Nomad client node: sizes are totals, not what is free."""

    id: str
    name: str
    datacenter: str
    is_ready: bool
    """Status ready, eligible and not draining."""
    cpu_mhz: int
    memory_mb: int
    drivers: frozenset[str] = frozenset()
    host_volumes: frozenset[str] = frozenset()
    node_class: str = ""
    node_pool: str = ""
    """"" where the servers know no pools (before 1.6)."""
    devices: Mapping[str, int] = field(factory=dict)
    """`VENDOR/TYPE/NAME` of each model → how many of it are healthy."""


@frozen
class TaskState:
    """One task of an allocation, as Nomad describes it."""

    state: str
    """pending, running or dead"""
    failed: bool
    restarts: int = 0
    last_event: str = ""
    """Text of the newest event about the task itself (`Exit Code: 1`)."""
    exit_code: int | None = None
    """Of its last run; None when it never ran."""
    is_oom_killed: bool = False
    is_killed: bool = False
    """Nomad ended its last run, or kept it from running: it didn't end by itself, whatever its exit code."""
    is_released: bool = False
    """Nomad ended it because the leader, or all main tasks, had ended."""
    trouble: str = ""
    """What keeps it from starting, or ended its last run so that Nomad restarts it; empty where nothing does."""

    @property
    def has_ended_well(self) -> bool:
        """Whether its last run ended by itself with exit code 0."""
        return self.state == "dead" and not self.failed and self.exit_code == 0 and not self.is_killed


@frozen
class Allocation:
    """One allocation: `group` and `index` come from its name (`job.group[index]`)."""

    id: str
    job_id: str
    group: str
    index: int
    node_id: str
    node_name: str
    client_status: str
    """pending, running, complete, failed, lost or unknown"""
    desired_status: str
    """run, stop or evict"""
    next_allocation: str = ""
    follow_up_eval: str = ""
    create_index: int = 0
    modify_index: int = 0
    tasks: Mapping[str, TaskState] = field(factory=dict)
    is_preempted: bool = False
    """Its room was taken by a job of higher priority."""
    is_moved: bool = False
    """Its node was drained, or somebody stopped it alone: Nomad places another one."""
    client_description: str = ""
    """What the node says of its status ("allocation exceeded max_run_duration")."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.client_status in ("complete", "failed", "lost") or self.is_preempted


@frozen
class HeldDevices:
    """The devices of one model that an allocation holds. `ids` name them on their node."""

    node_id: str
    alloc_id: str
    job_id: str
    namespace: str
    model: str
    ids: tuple[str, ...]


@frozen
class Dispatched:
    """What a dispatch answered. `eval_id` is empty when an idempotency token hit an existing child."""

    job_id: str
    eval_id: str


@frozen
class GroupShortfall:
    """Why a group could not be placed whole, in Nomad's counters."""

    coalesced: int
    """Further instances that failed for the same reason (CoalescedFailures)."""
    nodes_evaluated: int = 0
    nodes_filtered: int = 0
    nodes_exhausted: int = 0
    nodes_available: Mapping[str, int] = field(factory=dict)
    constraint_filtered: Mapping[str, int] = field(factory=dict)
    dimension_exhausted: Mapping[str, int] = field(factory=dict)


@frozen
class DryRun:
    """Nomad's answer to a plan: `shortfalls` is empty when all of it would be placed."""

    job_modify_index: int
    diff_type: str
    """None, Added, Edited or Deleted (empty when no diff was asked for)"""
    shortfalls: Mapping[str, GroupShortfall]
    warnings: str = ""
    diff: Mapping[str, object] = field(factory=dict)
    preempted: int = 0


@frozen
class Event:
    """One event of the stream. `payload` is Nomad's own object (for topic Allocation the allocation's JSON)."""

    topic: str
    type: str
    key: str
    namespace: str
    index: int
    payload: Mapping[str, object]
