"""Prepares a job for each chosen region, from a jobspec's file or from the ID of a registered job. Writes nothing.

From a file the job is rendered for each region, by the job's own `multiregion` block where it has one. A job without a
file (`--job ID`) is taken as it stands in the regions, with no meta that it doesn't declare. A problem of one region is a
value; one of the job itself is raised."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from federation.errors import UsageError
from jobs.errors import FedmlError, InvalidSpec
from jobs.multiregion import Multiregion, Strategy, for_region, multiregion_of
from jobs.spec import JobShape, shape_of
from jobs.store_task import StoreTask
from regions.errors import NotFound
from regions.model import Region
from regions.storage import store_url

if TYPE_CHECKING:
    from jobs.load import JobSource, LoadedJob

JOB_SUFFIXES = (".hcl", ".nomad", ".json")
ISOLATED_HASH_CHARS = 8


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Which job, with which variables, in which regions. Empty means the project's own."""

    job: str = ""
    variables: tuple[str, ...] = ()
    var_files: tuple[Path, ...] = ()
    regions: tuple[str, ...] = ()
    text: str = ""
    """The jobspec itself, where no file holds it (`fedml run`): `job` is then its job's name."""


@dataclass(frozen=True, slots=True)
class PreparedJob:
    """One job as each chosen region has or gets it, in the order of a rollout, or the error that prevents it there."""

    file: Path
    """The job's ID for a registered job without a file."""
    shape: JobShape
    spec_hash: str
    rendered: Mapping[str, dict[str, Any] | FedmlError]
    strategy: Strategy | None = None
    """What its multiregion block says of a rollout; None without one."""
    is_registered: bool = False
    """The job is dispatched as it is registered. Nothing is deployed."""
    registered_at: Mapping[str, int] = field(default_factory=dict)
    """Region → JobModifyIndex, of a registered job that isn't as fedml registered it."""
    parent: str = ""
    """The Nomad job's ID where it isn't the job's own: an isolated run's, or one that runs code."""
    needs_program: bool = False
    """Its tasks run fedml's own program (`fedml run`), which nodes may fetch from their store."""

    @property
    def job_id(self) -> str:
        """The ID that is registered and dispatched."""
        return self.parent or self.shape.id

    @property
    def declared_meta(self) -> tuple[str, ...] | None:
        """The only meta keys that may be sent; None where the renderer has declared all that are needed."""
        return self.shape.declared_meta if self.is_registered and self.registered_at else None


class Holder(Protocol):
    """The part of a region client that this asks."""

    @property
    def name(self) -> str: ...
    def job(self, job_id: str) -> dict[str, Any]: ...


def is_job_id(name: str, root: Path) -> bool:
    """Whether the name is that of a registered job, not of a file: no jobspec's suffix, no path, and no such file."""
    if not name or name.endswith(JOB_SUFFIXES) or "/" in name:
        return False
    return not os.path.exists(root / name)  # noqa: PTH110 - Path.exists raises for a name that no file can have


def source_of(request: JobRequest, file: Path) -> JobSource:
    """The jobspec of the request's text, or else of the file, with its variables. Raises InvalidSpec or HclError."""
    from jobs.hcl import environment_variables
    from jobs.load import JobSource, read_job

    if request.text:
        return JobSource(file, request.text, environment_variables({}))
    return read_job(file, variables=request.variables, var_files=request.var_files, environ=os.environ)


def prepare_source(
    source: JobSource,
    request: JobRequest,
    regions: Sequence[Region],
    version_meta: str | None,
    store_task: StoreTask | None = None,
) -> PreparedJob:
    """Renders the jobspec for each region, with the task that publishes where that is added. Raises HclError or InvalidSpec
    for what is wrong with the job itself, UsageError for a region that its multiregion block leaves out. What is wrong for
    one region only is in `rendered`."""
    file = source.path
    first = _first_evaluated(source, regions)
    block = multiregion_of(first.job)
    chosen = list(regions) if block is None else _in_order(block, regions, request.regions, file.name)
    by_region = {region.name: _evaluated(source, region, block) for region in chosen}
    usable = [job.job for job in by_region.values() if not isinstance(job, FedmlError)]
    shape = shape_of(usable[0] if usable else first.job, version_meta=version_meta, where=file.name)
    if block is not None:
        _check_counts(file.name, shape, by_region)
    rendered = {region.name: _render_one(by_region[region.name], region, shape, store_task) for region in chosen}
    return PreparedJob(file, shape, first.spec_hash, rendered, block.strategy if block else None)


def prepare_registered(
    job_id: str,
    clients: Sequence[Holder],
    version_meta: str | None,
    *,
    allow_drift: bool = False,
    nowhere: FedmlError | None = None,
) -> PreparedJob:
    """Reads the job from the regions, which must agree on it.

    Raises InvalidSpec where no region has it (or `nowhere`), it can't be dispatched, the regions' jobs carry different spec
    hashes (no run has two), or (not `allow_drift`) they differ otherwise. Where no region has it, raises the error of the
    first that couldn't be asked.
    """
    from jobs.nomad_json.drift import Standing, differences, spec_of, standing_of  # brings the job language

    found = read_registered(job_id, clients)
    there = {name: job for name, job in found.items() if not isinstance(job, FedmlError)}
    if not there:
        raise _registered_nowhere(job_id, found, nowhere)
    first_name, first = next(iter(there.items()))
    shape = shape_of(first, version_meta=version_meta, where=f"region {first_name}")
    specs = {name: spec_of(job) for name, job in there.items()}
    if len(set(specs.values())) > 1:
        each = ", ".join(f"{name} {spec[:12] or 'none'}" for name, spec in specs.items())
        raise InvalidSpec(
            f"the regions' jobs {job_id!r} were made from different specs: {each}",
            hint=f"see: fedml job diff {job_id}; deploy one to all (fedml deploy), or choose regions that agree with --regions",
        )
    for name, job in there.items():
        if not allow_drift and (differing := differences(first, job)):
            raise InvalidSpec(
                f"the job {job_id!r} isn't the same in {first_name} and {name}: {'; '.join(map(str, differing[:3]))}",
                hint=f"see: fedml job diff {job_id}; --allow-drift dispatches each region's as it is",
            )
        own = shape_of(job, where=f"region {name}")
        if own.groups != shape.groups:
            raise InvalidSpec(
                f"the job {job_id!r} has groups {dict(own.groups)} in {name} and {dict(shape.groups)} in {first_name}",
                hint="one run has the same results a slot everywhere: choose regions with --regions",
            )
    is_own = all(standing_of(job) is Standing.OWN for job in there.values())
    indexes = {} if is_own else {name: int(job["JobModifyIndex"]) for name, job in there.items()}
    spec_hash = next(iter(specs.values()))
    return PreparedJob(Path(job_id), shape, spec_hash, found, is_registered=True, registered_at=indexes)


def _registered_nowhere(
    job_id: str, found: Mapping[str, dict[str, Any] | FedmlError], nowhere: FedmlError | None
) -> FedmlError:
    """The error of the first region that couldn't be asked; else `nowhere`, or InvalidSpec."""
    for answer in found.values():
        if isinstance(answer, FedmlError) and not isinstance(answer, NotFound):
            return answer
    return nowhere or registered_nowhere(job_id, found)


def registered_nowhere(job_id: str, regions: Iterable[str]) -> InvalidSpec:
    """The error for a job that no region has."""
    return InvalidSpec(
        f"no job {job_id!r} is registered in {', '.join(regions)}, and there is no such file",
        hint="name a jobspec's file, or a registered job: fedml init --from ADDRESS lists them",
    )


def read_registered(job_id: str, clients: Sequence[Holder]) -> dict[str, dict[str, Any] | FedmlError]:
    """Reads the registered job of each region at once. The value is an error where it couldn't be read (NotFound: it isn't
    there)."""

    def read(client: Holder) -> dict[str, Any] | FedmlError:
        try:
            return client.job(job_id)
        except FedmlError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, len(clients))) as pool:
        return dict(zip((client.name for client in clients), pool.map(read, clients), strict=True))


def isolated(prepared: PreparedJob) -> PreparedJob:
    """Gives the job an ID of its own, `<job>-<hash8>`, so that a run of it affects no other. Its results are still the
    job's."""
    parent = f"{prepared.shape.id}-{prepared.spec_hash[:ISOLATED_HASH_CHARS]}"
    rendered = {
        name: job if isinstance(job, FedmlError) else _renamed(job, parent, prepared.shape.id)
        for name, job in prepared.rendered.items()
    }
    return replace(prepared, rendered=rendered, parent=parent)


def _renamed(job: Mapping[str, Any], parent: str, name: str) -> dict[str, Any]:
    groups = [
        {**group, "Tasks": [{**task, "Env": {**(task.get("Env") or {}), "FEDML_JOB": name}} for task in group["Tasks"]]}
        for group in job["TaskGroups"]
    ]
    return {**job, "ID": parent, "Name": parent, "TaskGroups": groups}


def _in_order(block: Multiregion, regions: Sequence[Region], asked: Sequence[str], file: str) -> list[Region]:
    """The block's regions among the chosen ones, in its order."""
    by_name = {name: region for region in regions for name in (region.name, region.nomad_region)}
    for name in asked:
        if name in by_name and block.find(name, by_name[name].nomad_region) is None:
            raise UsageError(
                f"{file}: its multiregion block has no region {name!r}",
                hint=f"it has: {', '.join(one.name for one in block.regions)}",
            )
    missing = [one.name for one in block.regions if one.name not in by_name]
    if missing and not asked:
        raise InvalidSpec(
            f"{file}: its multiregion block names region {missing[0]!r}, which fedml.toml doesn't have",
            hint=f"fedml.toml has: {', '.join(dict.fromkeys(region.name for region in regions))}",
        )
    return [by_name[one.name] for one in block.regions if one.name in by_name]


def _check_counts(file: str, shape: JobShape, by_region: Mapping[str, LoadedJob | FedmlError]) -> None:
    """Raises InvalidSpec where the block gives publishing groups different counts: a run's slots would give more results
    in one region than in another, and an attempt that goes elsewhere would change how many are expected."""
    for name, loaded in by_region.items():
        if isinstance(loaded, FedmlError):
            continue
        own = shape_of(loaded.job)
        for group, count in own.groups.items():
            if count != shape.groups.get(group):
                raise InvalidSpec(
                    f'{file}: multiregion gives group "{group}", which publishes, {count} allocations in region {name} '
                    f"and {shape.groups.get(group)} elsewhere: a slot must give the same results wherever it runs",
                    hint=f"give all regions the same count (more slots, -n, are how one region does more), or write "
                    f'meta {{ fedml_publish = "false" }} into group "{group}" if it publishes nothing',
                )


def _first_evaluated(source: JobSource, regions: Sequence[Region]) -> LoadedJob:
    """Evaluates the job for the first region where that succeeds. Raises the first region's error where it fails in all."""
    first_error: FedmlError | None = None
    for region in regions:
        try:
            return source.evaluate(region.variables, region=region.name)
        except FedmlError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _evaluated(source: JobSource, region: Region, block: Multiregion | None) -> LoadedJob | FedmlError:
    try:
        loaded = source.evaluate(region.variables, region=region.name)
        own = block.find(region.name, region.nomad_region) if block else None
        return loaded if own is None else replace(loaded, job=for_region(loaded.job, own))
    except FedmlError as error:
        return error


def _render_one(
    loaded: LoadedJob | FedmlError, region: Region, shape: JobShape, store_task: StoreTask | None
) -> dict[str, Any] | FedmlError:
    from jobs.render import Place, render

    if isinstance(loaded, FedmlError):
        return loaded
    place = Place(
        name=region.name,
        nomad_region=region.nomad_region,
        namespace=region.namespace,
        stores={name: store_url(datacenter.store) for name, datacenter in region.datacenters.items()},
        store_task=store_task,
    )
    try:
        own = shape_of(loaded.job)
        if (own.id, own.groups) != (shape.id, shape.groups):
            raise InvalidSpec(
                f"the job has groups {dict(own.groups)} in region {region.name} and {dict(shape.groups)} elsewhere",
                hint=f"[regions.{region.name}.vars] may not change the job's ID, groups or counts",
            )
        return render(loaded.job, shape, place, spec_hash=loaded.spec_hash)
    except FedmlError as error:
        return error
