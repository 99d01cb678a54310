"""A federation for tests of planning: real configuration, index and home store in memory, regions that answer as told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from federation.app import App
from federation.config.load import load
from federation.config.model import Config
from federation.deploy.allowed_regions import limited
from federation.deploy.prepare import JobRequest, PreparedJob, prepare_registered
from federation.index import Index
from federation.index.stores import Stores
from jobs.errors import FedmlError
from jobs.spec import shape_of
from regions.errors import NotFound, PermissionDenied, RegionUnreachable
from regions.model import DryRun, GroupShortfall, HeldDevices, Node, Region, StoreConfig
from regions.nomad.resources import Resources
from tests.federation.conftest import MemoryStore

TOML = """
[federation]
home = "file://./home"
{federation}

[regions.us]
addresses = ["https://us:4646"]
store = "file://./us"
{us}
[regions.us.datacenters.dc1]

[regions.eu]
addresses = ["https://eu:4646"]
store = "file://./eu"
{eu}
[regions.eu.datacenters.dc1]

{more}
"""

JOB: dict[str, Any] = {
    "ID": "train",
    "Type": "batch",
    "Datacenters": ["dc1"],
    "Meta": {"fedml_spec": "5ec" * 20},
    "ParameterizedJob": {"MetaOptional": ["lr", "depth", "model_version"]},
    "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}],
}


@dataclass
class FakeRegion:
    """One region with so many free slots; `evicting` more where preemption is allowed."""

    name: str
    free: int = 4
    evicting: int = 0
    is_silent: bool = False
    may_not_dispatch: bool = False
    fits: bool = True
    change: str = "None"
    index: int = 7
    nomad: str = "1.6.3"
    registered: dict[str, Any] | None = None
    """What is registered there."""
    asked: int = 0
    questions: int = 0
    deadlines_s: list[float] = field(default_factory=list)
    node_list: list[Node] = field(
        default_factory=lambda: [Node("1", "n1", "dc1", True, 1000, 1000, frozenset({"raw_exec"}))]
    )

    held: list[HeldDevices] = field(default_factory=list)
    live_jobs: list[dict[str, Any]] = field(default_factory=list)

    def within(self, deadline_s: float, *, rounds: int = 3) -> FakeRegion:
        self.deadlines_s.append(deadline_s)
        return self

    def version(self) -> str:
        self.questions += 1
        if self.is_silent:
            raise RegionUnreachable("no answer", region=self.name)
        return self.nomad

    def nodes(self) -> list[Node]:
        self.version()
        return self.node_list

    def try_to_dispatch(self, unused_id: str) -> None:
        if self.may_not_dispatch:
            raise PermissionDenied("403", region=self.name, operation="dispatch")

    def try_to_submit(self, unused_id: str) -> None:
        self.version()

    def jobs(self, prefix: str = "", **_: object) -> list[dict[str, Any]]:
        return self.live_jobs

    def summary(self, job_id: str) -> dict[str, Any]:
        return {"Children": {"Pending": 1, "Running": 2, "Dead": 3}}

    address = "http://10.0.0.1:4646"

    def leader_and_time(self) -> tuple[str, datetime | None]:
        self.version()
        return "10.0.0.1:4647", datetime.now(UTC)

    def job(self, job_id: str) -> dict[str, Any]:
        if self.registered is None:
            raise NotFound("no job", region=self.name)
        return self.registered

    def used(self) -> dict[str, Resources]:
        return {"1": Resources(250, 100)}

    def taken(self) -> tuple[dict[str, Resources], list[HeldDevices]]:
        return self.used(), self.held

    def job_versions(self, job_id: str) -> list[dict[str, Any]]:
        return [self.job(job_id)]

    def evaluations(self, job_id: str | None = None, status: str = "") -> list[dict[str, Any]]:
        return []

    def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun:
        self.version()
        if diff:
            return DryRun(self.index, self.change, {})
        self.asked += 1
        wanted = sum(group["Count"] for group in job["TaskGroups"])
        placed = min(wanted, self.free + self.evicting)
        shortfall = {"g": GroupShortfall(wanted - placed - 1, nodes_evaluated=1, nodes_exhausted=int(self.fits))}
        return DryRun(self.index, "", {} if placed == wanted else shortfall, preempted=max(0, placed - self.free))


class FakeApp:
    """What `preview` needs of an App."""

    def __init__(self, root: Path, *regions: FakeRegion, job: Mapping[str, Any] = JOB, **toml: str) -> None:
        parts = {"federation": "", "us": "", "eu": "", "more": "", **toml}
        (root / "fedml.toml").write_text(TOML.format(**parts))
        self.config: Config = load(root)
        self.home = MemoryStore()
        self.index = Index(self.home, cache_dir=root / "cache")
        self.regions = {one.name: one for one in regions or (FakeRegion("us", 8), FakeRegion("eu", 4))}
        self.job = dict(job)
        self.spec_hash = "5ec" * 20

    def client(self, name: str) -> FakeRegion:
        return self.regions[name]

    def chosen_regions(self, names: Sequence[str] = ()) -> list[Region]:
        return App.chosen_regions(cast(App, self), names)

    def result_stores(self) -> Stores:
        return Stores(self.config.regions, opener=lambda _: MemoryStore())

    def prepare(self, request: JobRequest, *, allow_drift: bool = False) -> PreparedJob:
        names = request.regions or tuple(self.regions)
        rendered: dict[str, dict[str, Any] | FedmlError] = dict.fromkeys(names, self.job)
        prepared = PreparedJob(Path("train.nomad.hcl"), shape_of(self.job), self.spec_hash, rendered)
        return limited(prepared, self.config.allowed_regions.get("train"))

    def prepare_from_file(self, request: JobRequest) -> PreparedJob:
        return self.prepare(request)

    def registered_job(self, job: str = "") -> str:
        return ""

    def registered_request(self, request: JobRequest) -> str:
        return ""

    def store(self, config: StoreConfig) -> MemoryStore:
        return MemoryStore()

    def prepare_registered(
        self, job_id: str, regions: Sequence[str], *, allow_drift: bool = False, nowhere: FedmlError | None = None
    ) -> PreparedJob:
        clients = [self.regions[name] for name in regions]
        return prepare_registered(job_id, clients, None, allow_drift=allow_drift, nowhere=nowhere)

    @property
    def app(self) -> App:
        """As the code under test wants it."""
        return cast(App, self)


def with_driver(driver: str) -> dict[str, Any]:
    """The job with another driver."""
    group = JOB["TaskGroups"][0]
    return {**JOB, "TaskGroups": [{**group, "Tasks": [{**group["Tasks"][0], "Driver": driver}]}]}


def node(**changes: Any) -> Node:
    """A ready node."""
    return replace(Node("1", "n1", "dc1", True, 1000, 1000, frozenset({"raw_exec"})), **changes)
