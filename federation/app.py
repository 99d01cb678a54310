"""One `fedml.toml` enters, everything that its commands need leaves: region clients, stores, the index, the job prepared.

The only place where stages meet. Region clients and stores are opened when they are first used; `close()` gives them back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation import capacity
from federation.capacity import CapacitySnapshot, RegionCapacity
from federation.config import Config
from federation.deploy import Deployment, deploy
from federation.errors import ConfigError, FederationError, UsageError
from federation.index import Index
from federation.plan import Plan, Reason, plan
from federation.prepare import JobRequest, PreparedJob, is_job_id, prepare_file, prepare_registered
from jobs.errors import FedmlError
from jobs.multiregion import EACH_FOR_ITSELF, Strategy
from jobs.spec import checked_version
from regions.model import Region, StoreConfig
from regions.storage import open_store
from regions.storage.store import Store

if TYPE_CHECKING:
    from regions.nomad import NomadRegion

__all__ = ["App", "JobRequest", "PreparedJob", "Preview"]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a dispatch would do now. `version` is the one it would get; nothing is reserved."""

    prepared: PreparedJob
    snapshot: CapacitySnapshot
    plan: Plan
    version: str
    existing_results: int
    """Results that this version has already; they would be added to."""

    @property
    def usable(self) -> list[str]:
        """Regions that may get slots, now or later, retries included."""
        return [name for name, one in self.snapshot.regions.items() if one.problem is None]

    @property
    def changes(self) -> list[str]:
        """Regions whose registered job would change."""
        return [one.region for one in self.snapshot.regions.values() if one.change in ("Added", "Edited")]

    @property
    def unanswered(self) -> list[RegionCapacity]:
        """Regions that did not answer, or refused to (a wrong token, a job that they don't take)."""
        problems = (Reason.UNREACHABLE, Reason.REFUSED)
        return [one for one in self.snapshot.regions.values() if one.problem in problems]

    def require_an_answer(self) -> None:
        """Raises FederationError when every region was silent or refused: then nothing is known, and nothing to plan."""
        regions = self.unanswered
        if len(regions) == len(self.snapshot.regions):
            details, hints = ({getattr(one, of): None for one in regions} for of in ("detail", "hint"))
            raise FederationError(
                f"no region can be asked: {'; '.join(details)}",
                hint="\n".join(filter(None, hints)) or "see: fedml doctor",
            )


class App:
    """What a command works with. Not thread-safe itself; clients, stores and index are."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._clients: dict[str, NomadRegion] = {}
        self._stores: dict[StoreConfig, Store] = {}

    def close(self) -> None:
        """Give back connections and the local catalog."""
        for client in self._clients.values():
            client.close()
        if "index" in self.__dict__:
            self.index.close()

    # ── places ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def chosen_regions(self, names: Sequence[str]) -> list[Region]:
        """The regions of these names, all of the federation when there are none. Raises UsageError for an unknown one."""
        for name in names:
            if name not in self.config.regions:
                near = get_close_matches(name, self.config.regions, n=1)
                raise UsageError(
                    f"there is no region {name!r} in {self.config.path.name}",
                    hint=f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(self.config.regions)}",
                )
        return [region for name, region in self.config.regions.items() if not names or name in names]

    def client(self, name: str) -> NomadRegion:
        """The client of one region."""
        if name not in self._clients:
            from regions.nomad import NomadRegion

            self._clients[name] = NomadRegion(self.config.regions[name])
        return self._clients[name]

    def store(self, config: StoreConfig) -> Store:
        """The store, opened once."""
        if config not in self._stores:
            self._stores[config] = open_store(config)
        return self._stores[config]

    @cached_property
    def home(self) -> Store:
        """The store of the index and the runs."""
        return self.store(self.config.home)

    @cached_property
    def index(self) -> Index:
        """The index in the home store."""
        return Index(self.home, cache_dir=self.config.cache_dir)

    def preview(
        self, request: JobRequest, *, slots: int | None, version: str | None, prepared: PreparedJob | None = None
    ) -> Preview:
        """Ask all chosen regions for their room at once, and plan. Writes nothing anywhere."""
        if slots is not None and slots < 1:
            raise UsageError(f"-n {slots}: a run has at least one slot")
        if version is not None:
            checked_version(version)
        prepared = prepared or self.prepare(request)
        regions = [self.config.regions[name] for name in prepared.rendered]
        clients = [self.client(region.name) for region in regions]
        snapshot = capacity.snapshot(clients, prepared.rendered, prepared.shape)
        rooms = snapshot.rooms(
            {region.name: region.weight for region in regions}, {region.name: region.order for region in regions}
        )
        wanted = slots if slots is not None else self.config.slots
        existing = self.index.query(job=prepared.shape.id, version=version) if version else []
        return Preview(
            prepared=prepared,
            snapshot=snapshot,
            plan=plan(wanted, rooms, self.config.policy),
            version=version or self._next_version(prepared.shape.id),
            existing_results=len(existing),
        )

    def deploy(
        self,
        prepared: PreparedJob,
        regions: Sequence[str] = (),
        *,
        may_register: bool = True,
        allow_drift: bool = False,
        strategy: Strategy | None = None,
    ) -> Deployment:
        """Register the job in these regions (none: all it was prepared for), or (not `may_register`) only compare what is
        there; `strategy` None: what the job's multiregion block says. Raises what keeps it from being rendered."""
        chosen: dict[str, dict[str, Any]] = {}
        for name, rendered in prepared.rendered.items():
            if not regions or name in regions:
                if isinstance(rendered, FedmlError):
                    raise rendered
                chosen[name] = rendered
        clients = [self.client(name) for name in chosen]
        return deploy(
            clients,
            chosen,
            spec_hash=prepared.spec_hash,
            may_register=may_register,
            allow_drift=allow_drift,
            strategy=strategy or prepared.strategy or EACH_FOR_ITSELF,
        )

    def _next_version(self, job: str) -> str:
        latest = self.index.latest_version(job)
        return str(int(latest) + 1) if latest and latest.isdecimal() else "1"

    # ── the job ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def job_file(self, job: str = "") -> Path:
        """The jobspec that a command works on: `--job` (a path from the working folder), `job` in fedml.toml (a path
        from its folder), or the only jobspec there. Raises ConfigError where that says nothing or too much."""
        root = self.config.root
        if job:
            return Path(job).absolute()
        if self.config.job:
            return root / self.config.job
        found = sorted(root.glob("*.nomad.hcl"))
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} jobspecs are" if found else "no jobspec is"
        raise ConfigError(
            f"{what} in {root}, and fedml.toml names none",
            hint=f'write  job = "{found[0].name if found else "my-job.nomad.hcl"}"  under [federation], or use --job',
        )

    def prepare(self, request: JobRequest, *, allow_drift: bool = False) -> PreparedJob:
        """The job for each chosen region: rendered from its file, or as it is registered there (`--job ID`). Raises what
        is wrong with the job itself (see `federation.prepare`); what is wrong for one region only is in `rendered`."""
        regions = self.chosen_regions(request.regions)
        job_id = self.registered_job(request.job)
        if job_id:
            if request.variables or request.var_files:
                raise UsageError(
                    f"-var changes nothing in the job {job_id!r}, which is registered already",
                    hint="name a jobspec's file with --job",
                )
            return self.prepare_registered(job_id, [region.name for region in regions], allow_drift=allow_drift)
        return prepare_file(self.job_file(request.job), request, regions, self.config.version_meta)

    def prepare_registered(self, job_id: str, regions: Sequence[str], *, allow_drift: bool = False) -> PreparedJob:
        """The job as it stands in these regions, which must agree on it."""
        clients = [self.client(name) for name in regions]
        return prepare_registered(job_id, clients, self.config.version_meta, allow_drift=allow_drift)

    def registered_job(self, job: str = "") -> str:
        """The ID of the registered job that `--job` or fedml.toml names; "" where that is a file."""
        if job:
            return job if is_job_id(job, Path.cwd()) else ""
        own = self.config.job or ""
        return own if is_job_id(own, self.config.root) else ""
