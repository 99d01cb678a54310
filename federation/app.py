"""One `fedml.toml` enters, everything that its commands need leaves: region clients, stores, the index, the job prepared.

The only place where stages meet. Region clients and stores are opened when they are first used; `close()` gives them back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
from jobs.errors import FedmlError, InvalidSpec
from jobs.spec import JobShape, checked_version, shape_of
from regions.model import Region, StoreConfig
from regions.storage import open_store, store_url
from regions.storage.store import Store

if TYPE_CHECKING:
    from jobs.load import JobSource, LoadedJob
    from regions.nomad import NomadRegion

JOB_SUFFIXES = (".nomad.hcl", ".nomad", ".hcl", ".json")


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Which job, with which variables, in which regions, as a command line says it. Empty means the project's own."""

    job: str = ""
    variables: tuple[str, ...] = ()
    var_files: tuple[Path, ...] = ()
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """One jobspec, rendered for each chosen region, or why it can't be there."""

    file: Path
    shape: JobShape
    spec_hash: str
    rendered: Mapping[str, dict[str, Any] | FedmlError]


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
        regions = self.chosen_regions(request.regions)
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

    def deploy(self, prepared: PreparedJob, regions: Sequence[str] = (), *, may_register: bool = True) -> Deployment:
        """Register the job in these regions (none: all it was prepared for), or (not `may_register`) only compare what is
        there. Raises what keeps it from being rendered."""
        chosen: dict[str, dict[str, Any]] = {}
        for name, rendered in prepared.rendered.items():
            if not regions or name in regions:
                if isinstance(rendered, FedmlError):
                    raise rendered
                chosen[name] = rendered
        clients = [self.client(name) for name in chosen]
        return deploy(clients, chosen, spec_hash=prepared.spec_hash, may_register=may_register)

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

    def prepare(self, request: JobRequest) -> PreparedJob:
        """Load the jobspec and render it for each chosen region. Raises HclError or InvalidSpec for what is wrong with
        the job itself; what is wrong for one region only is in `rendered`."""
        from jobs.load import read_job

        file = self.job_file(request.job)
        source = read_job(file, variables=request.variables, var_files=request.var_files, environ=os.environ)
        regions = self.chosen_regions(request.regions)
        first = _first_evaluated(source, regions)
        shape = shape_of(first.job, version_meta=self.config.version_meta, where=file.name)
        rendered = {region.name: _render_one(source, region, shape) for region in regions}
        return PreparedJob(file, shape, first.spec_hash, rendered)


def _first_evaluated(source: JobSource, regions: Sequence[Region]) -> LoadedJob:
    """The job as the first region for which it evaluates has it. Raises what the first region's evaluation raised."""
    first_error: FedmlError | None = None
    for region in regions:
        try:
            return source.evaluate(region.variables, region=region.name)
        except FedmlError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _render_one(source: JobSource, region: Region, shape: JobShape) -> dict[str, Any] | FedmlError:
    from jobs.render import Place, render

    place = Place(
        name=region.name,
        nomad_region=region.nomad_region,
        namespace=region.namespace,
        stores={name: store_url(datacenter.store) for name, datacenter in region.datacenters.items()},
    )
    try:
        loaded = source.evaluate(region.variables, region=region.name)
        own = shape_of(loaded.job)
        if (own.id, own.groups) != (shape.id, shape.groups):
            raise InvalidSpec(
                f"the job has groups {dict(own.groups)} in region {region.name} and {dict(shape.groups)} elsewhere",
                hint=f"[regions.{region.name}.vars] may not change the job's ID, groups or counts",
            )
        return render(loaded.job, shape, place, spec_hash=loaded.spec_hash)
    except FedmlError as error:
        return error
