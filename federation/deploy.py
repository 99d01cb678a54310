"""The job as each region gets it enters, registered jobs leave: one jobspec in all chosen regions, compared and guarded.

Registration uses EnforceIndex with the index that was seen when the difference was computed, so that a change that somebody
made meanwhile is a Conflict and never overwritten. What is registered is read back, and must carry the spec hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from jobs.errors import FedmlError
from jobs.spec import SPEC_KEY
from regions.errors import Conflict, NotFound, PermissionDenied
from regions.model import DryRun


class Registered(Protocol):
    """What a registration answered."""

    @property
    def job_modify_index(self) -> int: ...


class Registrar(Protocol):
    """The part of a region client that a deployment asks."""

    @property
    def name(self) -> str: ...
    def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun: ...
    def register(self, job: dict[str, Any], *, enforce_index: int | None) -> Registered: ...
    def job(self, job_id: str) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Deployed:
    """One region's outcome: `action` is registered, updated, unchanged or failed (then `error` says why)."""

    region: str
    action: str
    job_modify_index: int = 0
    error: FedmlError | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """All regions' outcomes, in the order asked."""

    job_id: str
    spec_hash: str
    regions: tuple[Deployed, ...]

    @property
    def failed(self) -> tuple[Deployed, ...]:
        """Those that did not get the job."""
        return tuple(one for one in self.regions if one.error is not None)


def deploy(
    clients: Sequence[Registrar],
    rendered: Mapping[str, dict[str, Any]],
    *,
    spec_hash: str,
    may_register: bool = True,
) -> Deployment:
    """Register the job wherever it differs, all regions at once. A region's failure is in its outcome, not raised.

    Where it may not be registered, what is there must be the very same spec.
    """
    job_id = str(next(iter(rendered.values()))["ID"]) if rendered else ""
    with ThreadPoolExecutor(max_workers=max(1, len(clients))) as pool:
        outcomes = tuple(
            pool.map(
                lambda client: deploy_one(client, rendered[client.name], spec_hash, may_register=may_register), clients
            )
        )
    return Deployment(job_id, spec_hash, outcomes)


def deploy_one(client: Registrar, job: dict[str, Any], spec_hash: str, *, may_register: bool) -> Deployed:
    """One region: compare, register if it differs, read back."""
    try:
        if not may_register:
            return _as_it_is(client, job, spec_hash, 'fedml.toml says deploy = "never"')
        try:
            dry = client.plan_job(job, diff=True)
        except PermissionDenied:
            return _as_it_is(client, job, spec_hash, "the token may not register it")
        if dry.diff_type == "None":
            return Deployed(client.name, "unchanged", dry.job_modify_index)
        client.register(job, enforce_index=dry.job_modify_index)
        there = client.job(str(job["ID"]))
        if (there.get("Meta") or {}).get(SPEC_KEY) != spec_hash:
            raise Conflict(
                "the job changed right after it was registered",
                region=client.name,
                operation="register",
                hint="run it again",
            )
        action = "registered" if dry.diff_type == "Added" else "updated"
        return Deployed(client.name, action, int(there["JobModifyIndex"]))
    except FedmlError as error:
        return Deployed(client.name, "failed", error=error)


def _as_it_is(client: Registrar, job: dict[str, Any], spec_hash: str, why: str) -> Deployed:
    """What can't be registered may still be dispatched as it is there, if that is the very same spec."""
    try:
        there = client.job(str(job["ID"]))
    except NotFound:
        there = {}
    if (there.get("Meta") or {}).get(SPEC_KEY) == spec_hash:
        return Deployed(client.name, "unchanged", int(there["JobModifyIndex"]))
    what = "is another than the file" if there else "isn't registered there"
    raise PermissionDenied(
        f"the job {what}, and {why}",
        region=client.name,
        operation="register",
        hint="have it deployed by whoever may (fedml deploy, with a token that has submit-job)",
    )
