"""Registers one job in all chosen regions, compares it with what is there, and protects changes of others.

Registration uses EnforceIndex with the index that was seen when the difference was computed. So a change that somebody
makes meanwhile is a Conflict and is never overwritten. An earlier change by anybody but fedml is a JobDrifted unless it is
allowed. The registered job is read back, and must carry the spec hash and fedml's mark (`jobs.nomad_json.drift`).

Regions are changed in order, as the strategy says. A region's failure is in its outcome, not raised. The strategy says which
other regions get back the version that stood there before. After a crash each region has the old job or the new one; the
same deployment again goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from federation.deploy.outcome import CHANGED, Deployed, Deployment
from federation.errors import JobDrifted
from jobs.errors import FedmlError
from jobs.multiregion import EACH_FOR_ITSELF, Strategy
from jobs.nomad_json.drift import (
    ABSENT_VERSION,
    MARK_KEY,
    Standing,
    as_marked,
    change_of,
    differences,
    marked,
    spec_of,
    standing_of,
    version_of,
)
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
    def job_versions(self, job_id: str) -> list[dict[str, Any]]: ...
    def stop_job(self, job_id: str, *, purge: bool = False) -> None: ...


def deploy(
    clients: Sequence[Registrar],
    rendered: Mapping[str, dict[str, Any]],
    *,
    spec_hash: str,
    may_register: bool = True,
    allow_drift: bool = False,
    strategy: Strategy = EACH_FOR_ITSELF,
) -> Deployment:
    """Registers the job wherever it differs, region after region as the strategy says.

    Without `may_register`, the job that is there must be the very same spec.
    """
    job_id = str(next(iter(rendered.values()))["ID"]) if rendered else ""
    failed: list[int] = []
    lock = threading.Lock()

    def one(number: int) -> Deployed:
        client = clients[number]
        with lock:
            if _falls(number, failed, strategy):
                return Deployed(client.name, "skipped")
        outcome = deploy_one(
            client, rendered[client.name], spec_hash, may_register=may_register, allow_drift=allow_drift
        )
        if outcome.error is not None:
            with lock:
                failed.append(number)
        return outcome

    with ThreadPoolExecutor(max_workers=strategy.max_parallel or max(1, len(clients))) as pool:
        outcomes = list(pool.map(one, range(len(clients))))
        back = [number for number, done in enumerate(outcomes) if done.action in CHANGED]
        back = [number for number in back if _falls(number, failed, strategy)]
        for number, done in zip(
            back,
            pool.map(lambda n: revert(clients[n], job_id, spec_hash, to_version=outcomes[n].version_before), back),
            strict=True,
        ):
            outcomes[number] = done
    return Deployment(job_id, spec_hash, tuple(outcomes))


def _falls(number: int, failed: Sequence[int], strategy: Strategy) -> bool:
    """Whether the region of that number in the order is given up because others failed."""
    if not failed or strategy.on_failure == "fail_local":
        return False
    return strategy.on_failure == "fail_all" or number > min(failed)


def deploy_one(
    client: Registrar, job: dict[str, Any], spec_hash: str, *, may_register: bool, allow_drift: bool = False
) -> Deployed:
    """Deploys to one region: compares, registers if the job differs, reads it back."""
    job_id = str(job["ID"])
    try:
        there = _there(client, job_id)
        standing, before = standing_of(there), version_of(there)
        if not may_register:
            return _as_it_is(client, there, spec_hash, 'fedml.toml says deploy = "never"', allow_drift=allow_drift)
        try:
            dry = client.plan_job(as_marked(job, there), diff=True)
        except PermissionDenied:
            return _as_it_is(client, there, spec_hash, "the token may not register it", allow_drift=allow_drift)
        if there is not None and change_of(job, there, dry.diff_type) == "None":
            return Deployed(client.name, "unchanged", dry.job_modify_index, version=before, version_before=before)
        if dry.job_modify_index != (there or {"JobModifyIndex": 0})["JobModifyIndex"]:
            raise _moved(client, "the job changed while it was compared")
        if standing.is_drift and not allow_drift:
            raise drifted(client, job_id, there or {})
        client.register(marked(job, there), enforce_index=dry.job_modify_index)
        now = client.job(job_id)
        if spec_of(now) != spec_hash or standing_of(now) is not Standing.OWN:
            raise _moved(client, "the job changed right after it was registered")
        action = "registered" if there is None else "updated"
        return Deployed(client.name, action, int(now["JobModifyIndex"]), None, version_of(now), before)
    except Conflict as error:  # another dispatch may have registered the same job at this moment
        try:
            now = client.job(job_id)
        except FedmlError:
            return Deployed(client.name, "failed", error=error)
        if spec_of(now) != spec_hash or standing_of(now) is not Standing.OWN:
            return Deployed(client.name, "failed", error=error)
        return Deployed(client.name, "unchanged", int(now["JobModifyIndex"]), None, version_of(now), version_of(now))
    except FedmlError as error:
        return Deployed(client.name, "failed", error=error)


def revert(client: Registrar, job_id: str, spec_hash: str, *, to_version: int) -> Deployed:
    """Puts back the version that stood there before fedml registered that spec: as Nomad's `job revert`, under a new number
    and guarded by the index. A job that wasn't there before (`to_version` -1) is purged; its children go on.

    A job that is no longer fedml's registration of that spec is left as it is, and `error` says so.
    """
    try:
        there = _there(client, job_id)
        if there is None and to_version == ABSENT_VERSION:
            return Deployed(client.name, "reverted")
        versions = client.job_versions(job_id) if there is not None else []
        old = next((one for one in versions if version_of(one) == to_version), None)
        if old is not None and spec_of(there) == spec_of(old) != spec_hash:
            return Deployed(client.name, "reverted", version=version_of(there), version_before=to_version)
        if spec_of(there) != spec_hash or standing_of(there) is not Standing.OWN:
            raise Conflict(
                f"the job {job_id} isn't what this deployment registered any more: it is left as it is",
                region=client.name,
                operation="revert",
                hint="see: fedml job diff",
            )
        before = version_of(there)
        if to_version == ABSENT_VERSION:
            client.stop_job(job_id, purge=True)
            return Deployed(client.name, "reverted", version_before=before)
        if old is None:
            raise NotFound(
                f"Nomad no longer keeps version {to_version} of the job {job_id}: the job is left as it is",
                region=client.name,
                operation="revert",
                hint="deploy the jobspec that you want there:  fedml deploy",
            )
        job = marked(old, there) if standing_of(old) is Standing.OWN else old
        done = client.register(job, enforce_index=int((there or {})["JobModifyIndex"]))
        return Deployed(client.name, "reverted", done.job_modify_index, None, before + 1, to_version)
    except FedmlError as error:
        return Deployed(client.name, "failed", error=error)


def check_drift(clients: Sequence[Registrar], job_id: str) -> None:
    """Raises JobDrifted, before anything is changed, where a deployment to these regions would undo what somebody else
    did. Regions that don't answer are left to the deployment itself."""
    with ThreadPoolExecutor(max_workers=max(1, len(clients))) as pool:
        found = list(pool.map(lambda client: _drift_in(client, job_id), clients))
    errors = [error for error in found if error is not None]
    if errors:
        others = "".join(f"\n  also {error.message}" for error in errors[1:])
        raise JobDrifted(errors[0].message + others, hint=errors[0].hint)


def _drift_in(client: Registrar, job_id: str) -> JobDrifted | None:
    try:
        there = _there(client, job_id)
    except FedmlError:
        return None
    return drifted(client, job_id, there) if there is not None and standing_of(there).is_drift else None


def drifted(client: Registrar, job_id: str, there: Mapping[str, Any]) -> JobDrifted:
    """Makes the error for a registered job that somebody else changed. It names the changes, where Nomad still has them."""
    standing, version = standing_of(there), version_of(there)
    changes = ""
    if standing is Standing.CHANGED:
        mark = (there.get("Meta") or {}).get(MARK_KEY)
        try:
            ours = next((one for one in client.job_versions(job_id) if str(version_of(one)) == mark), None)
        except FedmlError:
            ours = None
        found = "; ".join(map(str, differences(ours, there)[:3])) if ours else ""
        changes = f" (version {mark} → {version}{f': {found}' if found else ''})"
    return JobDrifted(
        f"region {client.name}: the job {job_id} was {standing}{changes}"
        if standing is not Standing.FOREIGN
        else f"region {client.name}: the job {job_id} was registered by somebody else, not by fedml",
        hint="see: fedml job diff; --allow-drift puts the file's job in its place",
    )


def _as_it_is(
    client: Registrar, there: Mapping[str, Any] | None, spec_hash: str, why: str, *, allow_drift: bool
) -> Deployed:
    """Takes the job as it is there, if that is the very same spec. Raises PermissionDenied otherwise."""
    if there is not None and spec_of(there) == spec_hash:
        if standing_of(there).is_drift and not allow_drift:
            error = drifted(client, str(there["ID"]), there)
            raise JobDrifted(error.message, hint="see: fedml job diff; --allow-drift dispatches it as it is")
        version = version_of(there)
        return Deployed(client.name, "unchanged", int(there["JobModifyIndex"]), None, version, version)
    what = "isn't registered there" if there is None else "differs from the file"
    raise PermissionDenied(
        f"the job {what}, and {why}",
        region=client.name,
        operation="register",
        hint="have it deployed by whoever may (fedml deploy, with a token that has submit-job)"
        + ("" if there is None else f", or dispatch what is registered: --job {there['ID']}"),
    )


def _there(client: Registrar, job_id: str) -> dict[str, Any] | None:
    try:
        return client.job(job_id)
    except NotFound:
        return None


def _moved(client: Registrar, what: str) -> Conflict:
    return Conflict(what, region=client.name, operation="register", hint="run it again")


def purge_isolated(clients: Sequence[Registrar], parent: str) -> dict[str, str]:
    """Removes an isolated run's own job. Returns region → why that wasn't possible. Children that are over stay until Nomad
    collects them."""
    problems: dict[str, str] = {}
    for client in clients:
        try:
            client.stop_job(parent, purge=True)
        except NotFound:
            continue
        except FedmlError as error:
            problems[client.name] = error.message
    return problems
