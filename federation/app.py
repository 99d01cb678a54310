"""Opens what commands of one `fedml.toml` need: region clients, stores, the index and the prepared job.

Each is opened when it is first used. `close()` closes them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.config.adopted_places import adopted_stores
from federation.config.model import Config
from federation.deploy.allowed_regions import limited
from federation.deploy.prepare import (
    JobRequest,
    PreparedJob,
    is_job_id,
    isolated,
    prepare_registered,
    prepare_source,
    source_of,
)
from federation.errors import ConfigError, NoPlace, RegionNotAllowed, UnknownName, UsageError
from federation.index import Index
from federation.index.home import Owner
from federation.index.stores import KnownStores, Stores
from federation.index.validation import checked_names
from federation.task.node_program import NodeProgram, node_program
from jobs.code_job import SHA256_VARIABLE, TASK_VARIABLE, URL_VARIABLE
from jobs.errors import FedmlError
from jobs.multiregion import EACH_FOR_ITSELF, Strategy
from regions.model import Region, StoreConfig
from regions.storage import open_store
from regions.storage.store import Store

if TYPE_CHECKING:
    from federation.deploy.outcome import Deployment
    from regions.nomad.client import NomadRegion

__all__ = ["App", "JobRequest", "PreparedJob"]


class App:
    """Clients, stores, index and job of one project. May be used from threads: each is opened once."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._opening = threading.RLock()
        self._clients: dict[str, NomadRegion] = {}
        self._stores: dict[StoreConfig, Store] = {}
        self._index: Index | None = None

    def close(self) -> None:
        """Closes connections and the local catalog."""
        for client in self._clients.values():
            client.close()
        if self._index is not None:
            self._index.close()

    # ── places ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def chosen_regions(self, names: Sequence[str]) -> list[Region]:
        """The regions of these names, all of the federation when there are none. Raises UsageError for an unknown one."""
        for name in names:
            if name not in self.config.regions:
                near = get_close_matches(name, self.config.regions, n=1)
                raise UnknownName(
                    f"there is no region {name!r} in {self.config.path.name}",
                    hint=f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(self.config.regions)}",
                )
        return [region for name, region in self.config.regions.items() if not names or name in names]

    def client(self, name: str) -> NomadRegion:
        """The client of one region."""
        with self._opening:
            if name not in self._clients:
                from regions.nomad.client import NomadRegion

                self._clients[name] = NomadRegion(self.config.regions[name])
            return self._clients[name]

    def store(self, config: StoreConfig) -> Store:
        """The store, opened once."""
        with self._opening:
            if config not in self._stores:
                self._stores[config] = open_store(config)
            return self._stores[config]

    def result_stores(self, allow: Iterable[str] = ()) -> Stores:
        """The stores in which results may lie. `allow` are the URLs of `--allow-store`."""
        config = self.config
        known = KnownStores(config.home, config.further_stores, adopted_stores(config))
        return Stores(config.regions, known, allow=allow, opener=self.store)

    @property
    def home(self) -> Store:
        """The store of the index and the runs."""
        return self.store(self.config.home)

    @property
    def owner(self) -> Owner:
        """The federation, as its home names it."""
        return Owner(self.config.name, self.config.is_named, tuple(self.config.regions))

    @property
    def index(self) -> Index:
        """The index in the home store."""
        with self._opening:
            if self._index is None:
                self._index = Index(self.home, cache_dir=self.config.cache_dir, owner=self.owner)
            return self._index

    def deploy(
        self,
        prepared: PreparedJob,
        regions: Sequence[str] = (),
        *,
        may_register: bool = True,
        allow_drift: bool = False,
        strategy: Strategy | None = None,
    ) -> Deployment:
        """Registers the job in these regions (none: all it was prepared for). Without `may_register` it only compares what
        is there. `strategy` None: what the job's multiregion block says. Raises what keeps the job from being rendered."""
        from federation.deploy.rollout import deploy  # brings the job language, which most commands have no use for

        chosen: dict[str, dict[str, Any]] = {}
        for name, rendered in prepared.rendered.items():
            if not regions or name in regions:
                if isinstance(rendered, RegionNotAllowed) and name not in regions:
                    continue
                if isinstance(rendered, FedmlError):
                    raise rendered
                chosen[name] = rendered
        if not chosen:
            raise NoPlace("no region may have the job", hint="see: fedml plan")
        clients = [self.client(name) for name in chosen]
        return deploy(
            clients,
            chosen,
            spec_hash=prepared.spec_hash,
            may_register=may_register,
            allow_drift=allow_drift,
            strategy=strategy or prepared.strategy or EACH_FOR_ITSELF,
        )

    # ── the job ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def job_file(self, job: str = "") -> Path:
        """The jobspec that a command works on: `--job` (a path from the working folder), `job` in fedml.toml (a path from
        its folder), or the only jobspec there. Raises ConfigError where there is none, or more than one."""
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
            hint=f'write  job = "{found[0].name if found else "my-job.nomad.hcl"}"  under [federation], or use --job; '
            "code without a jobspec:  fedml run SCRIPT",
        )

    def prepare(self, request: JobRequest, *, allow_drift: bool = False) -> PreparedJob:
        """Prepares the job for each chosen region: rendered from its file, or as it is registered there (`--job ID`).
        Raises what is wrong with the job itself (see `federation.deploy.prepare`). What is wrong for one region only is in
        `rendered`."""
        regions = self.chosen_regions(request.regions)
        job_id = "" if request.text else self.registered_request(request)
        if job_id:
            return self.prepare_registered(job_id, [region.name for region in regions], allow_drift=allow_drift)
        return self.prepare_from_file(request)

    def prepare_from_file(self, request: JobRequest) -> PreparedJob:
        """Renders the job from its file (or text) for each chosen region. Asks no region. A job that is only a text has an ID
        for each state of it, so that nobody else's is changed."""
        regions, config = self.chosen_regions(request.regions), self.config
        source = source_of(request, Path(request.job) if request.text else self.job_file(request.job))
        if TASK_VARIABLE not in source.text:
            return self._limited(prepare_source(source, request, regions, config.version_meta, config.store_task))
        programs = {region.name: self.node_program(region) for region in regions}
        with_programs = [
            replace(region, variables={**region.variables, **_variables(program)})
            for region in regions
            if isinstance(program := programs[region.name], NodeProgram)
        ]
        errors = {name: error for name, error in programs.items() if isinstance(error, FedmlError)}
        if not with_programs:
            raise next(iter(errors.values()))
        prepared = prepare_source(source, request, with_programs, None if request.text else config.version_meta)
        prepared = isolated(prepared) if request.text else prepared
        prepared = replace(prepared, rendered={**prepared.rendered, **errors}, needs_program=True)
        return self._limited(prepared)

    def node_program(self, region: Region) -> NodeProgram | FedmlError:
        """The program that runs code on this region's nodes; the error that says why there is none."""
        try:
            return node_program(
                region.name,
                [datacenter.store for datacenter in region.datacenters.values()],
                is_dev=self.config.dev is not None,
                archives=self.config.archives,
                cache=self.config.cache_dir,
                python=self.config.node_python,
            )
        except FedmlError as error:
            return error

    def prepare_registered(
        self, job_id: str, regions: Sequence[str], *, allow_drift: bool = False, nowhere: FedmlError | None = None
    ) -> PreparedJob:
        """Prepares the job as it is registered in these regions, which must agree on it. Raises `nowhere`, where it is given,
        if none of them has it."""
        clients, version_meta = [self.client(name) for name in regions], self.config.version_meta
        return self._limited(
            prepare_registered(job_id, clients, version_meta, allow_drift=allow_drift, nowhere=nowhere)
        )

    def _limited(self, prepared: PreparedJob) -> PreparedJob:
        if self.config.results != "none":
            checked_names(prepared.shape, prepared.file.name)
        return limited(prepared, self.config.allowed_regions.get(prepared.shape.id))

    def registered_request(self, request: JobRequest) -> str:
        """The ID of the registered job that is requested; empty where it is a file. Raises UsageError for variables of it."""
        job_id = self.registered_job(request.job)
        if job_id and (request.variables or request.var_files):
            raise UsageError(
                f"-var changes nothing in the job {job_id!r}, which is registered already",
                hint="name a jobspec's file with --job",
            )
        return job_id

    def registered_job(self, job: str = "") -> str:
        """The ID of the registered job that `--job` or fedml.toml names; empty where they name a file."""
        if job:
            return job if is_job_id(job, Path()) else ""
        own = self.config.job or ""
        return own if is_job_id(own, self.config.root) else ""


def _variables(program: NodeProgram) -> dict[str, object]:
    """The HCL variables by which a region's job names the program."""
    return {TASK_VARIABLE: list(program.command), URL_VARIABLE: program.url, SHA256_VARIABLE: program.sha256}
