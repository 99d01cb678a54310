"""Compares the registered jobs of the regions with the job's file and with one another. Writes nothing.

Each region's own dry run tells the difference to the file (as `nomad plan` does). Where the token may not ask for one, the
difference is computed from the registered job and Nomad's defaults. What the file itself makes different between regions
(variables, a multiregion block) is not drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from federation.deploy.prepare import PreparedJob, registered_nowhere
from jobs.errors import FedmlError
from jobs.frozen import frozen
from jobs.nomad_json.drift import (
    ABSENT_VERSION,
    Difference,
    Standing,
    as_marked,
    change_of,
    differences,
    file_differences,
    rendered_differences,
    spec_of,
    standing_of,
    version_of,
)
from regions.errors import NotFound, PermissionDenied
from regions.model import DryRun


class Asked(Protocol):
    """The part of a region client that this asks."""

    @property
    def name(self) -> str: ...
    def job(self, job_id: str) -> dict[str, Any]: ...
    def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun: ...


@frozen
class RegionJob:
    """The registered job of one region. `problem` is set, and the rest unknown, where it couldn't be read."""

    region: str
    standing: Standing = Standing.ABSENT
    version: int = ABSENT_VERSION
    spec_hash: str = ""
    change: str = ""
    """What deploying the file would do: None, Added, Edited; "" without a file."""
    diff: Mapping[str, Any] | None = None
    """Nomad's own diff, where the region gave one."""
    differences: tuple[Difference, ...] = ()
    """Registered => file, where the region may not be asked for a dry run."""
    problem: FedmlError | None = None


@frozen
class JobDiff:
    """The job in all regions. `between` has the differences of each region that differs from the first (first => that one)."""

    job_id: str
    spec_hash: str
    """The file's; "" without a file."""
    regions: tuple[RegionJob, ...]
    between: Mapping[str, tuple[Difference, ...]]
    first: str = ""
    """The region with which the others are compared; "" where fewer than two have the job."""

    @property
    def is_same(self) -> bool:
        """Whether all regions that were read have the same job, as the file says it and as fedml registered it."""
        as_the_file = all(one.change in ("", "None") for one in self.regions)
        untouched = all(not one.standing.is_drift for one in self.regions) or not self.spec_hash
        everywhere = all(one.standing is not Standing.ABSENT for one in self.regions)
        of_one_spec = len({one.spec_hash for one in self.regions if one.problem is None}) <= 1
        return as_the_file and untouched and everywhere and (of_one_spec or bool(self.spec_hash)) and not self.between

    @property
    def problems(self) -> list[FedmlError]:
        """The errors of regions that couldn't be read."""
        return [one.problem for one in self.regions if one.problem is not None]


def diff_of(prepared: PreparedJob, clients: Sequence[Asked]) -> JobDiff:
    """Reads and compares all regions at once. A region's failure is in its value, not raised."""
    return _compared(prepared.job_id, prepared.spec_hash, prepared.rendered, clients)


def diff_registered(job_id: str, clients: Sequence[Asked]) -> JobDiff:
    """Compares the registered jobs with one another, whatever specs they were made from. Raises InvalidSpec where no region
    has the job, and the error of the first region where none could be read."""
    found = _compared(job_id, "", {}, clients)
    if all(one.problem or one.standing is Standing.ABSENT for one in found.regions):
        raise next(iter(found.problems), None) or registered_nowhere(job_id, [client.name for client in clients])
    return found


def _compared(
    job_id: str, spec_hash: str, rendered: Mapping[str, dict[str, Any] | FedmlError], clients: Sequence[Asked]
) -> JobDiff:
    with ThreadPoolExecutor(max_workers=max(1, len(clients))) as pool:
        asked = list(pool.map(lambda client: _ask(client, job_id, rendered.get(client.name)), clients))
    there = {one.region: job for one, job in asked if job is not None}
    first = next(iter(there), "") if len(there) > 1 else ""
    between = {}
    for name in there if first else ():
        found = differences(there[first], there[name])
        meant = _meant(rendered.get(first), rendered.get(name))
        if drift := tuple(one for one in found if one.path not in meant):
            between[name] = drift
    return JobDiff(job_id, spec_hash, tuple(one for one, _ in asked), between, first)


def _meant(ours: dict[str, Any] | FedmlError | None, theirs: dict[str, Any] | FedmlError | None) -> set[str]:
    """The paths where the file itself gives two regions different values."""
    if not isinstance(ours, Mapping) or not isinstance(theirs, Mapping):
        return set()
    return {one.path for one in rendered_differences(ours, theirs)}


def _ask(
    client: Asked, job_id: str, wanted: dict[str, Any] | FedmlError | None
) -> tuple[RegionJob, dict[str, Any] | None]:
    """Reads a region's job, and compares it with `wanted`, unless that is None."""
    try:
        try:
            there: dict[str, Any] | None = client.job(job_id)
        except NotFound:
            there = None
        one = RegionJob(client.name, standing_of(there), version_of(there), spec_of(there))
        if wanted is None:
            return one, there
        if isinstance(wanted, FedmlError):
            raise wanted
        change, diff, found = _change(client, wanted, there)
        return RegionJob(client.name, one.standing, one.version, one.spec_hash, change, diff, found), there
    except FedmlError as error:
        return RegionJob(client.name, problem=error), None


def _change(
    client: Asked, wanted: dict[str, Any], there: dict[str, Any] | None
) -> tuple[str, Mapping[str, Any] | None, tuple[Difference, ...]]:
    if there is None:
        return "Added", None, ()
    try:
        dry = client.plan_job(as_marked(wanted, there), diff=True)
        change = change_of(wanted, there, dry.diff_type)
        return (change, dry.diff, ()) if change == dry.diff_type else (change, None, _registered_to_file(wanted, there))
    except PermissionDenied:
        found = _registered_to_file(wanted, there)
        return "Edited" if found or spec_of(there) != spec_of(wanted) else "None", None, found


def _registered_to_file(wanted: dict[str, Any], there: dict[str, Any]) -> tuple[Difference, ...]:
    return tuple(Difference(one.path, one.right, one.left) for one in file_differences(wanted, there))
