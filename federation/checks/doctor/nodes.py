"""Makes checks on a node of each datacenter, by a task like the job's own.

A small batch job a datacenter, with the driver, image, environment and artifacts of the task that publishes, runs
`fedml publish --check`. It is purged in any case. Its result is one line in its log. Nomad variables that the job's
templates read are checked from here (`variables`).
"""

from __future__ import annotations

import copy
import re
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from federation.check import Check, Outcome
from federation.checks.doctor.node_command import command_of
from federation.checks.doctor.variables import check_variables, is_own, needed_by, put_command
from federation.publish.check import CREDENTIALS, fedml_version, from_log
from jobs.errors import FedmlError, ForeignTextError
from jobs.foreign import parse_object
from jobs.spec import PUBLISH_KEY, SPEC_KEY
from regions.model import Allocation
from regions.storage.backend import backend_of

if TYPE_CHECKING:
    from regions.nomad.client import NomadRegion

PREFIX = "fedml-doctor-"
TASK = "check"
WAIT_S = 120.0
"""How long to wait: for a node, for an image, and for the check itself."""
_POLL_S = 0.5
_OVER = ("complete", "failed", "lost")
_LOG_BYTES = 16384


def examine_nodes(
    client: Callable[[str], NomadRegion], jobs: Mapping[str, Mapping[str, Any] | FedmlError] | FedmlError
) -> list[Check]:
    """Checks all regions for which the job could be rendered, side by side. Without a job there is nothing to make a task
    of, and the check says so. Raises nothing but for a bug."""
    rendered = (
        {} if isinstance(jobs, FedmlError) else {name: job for name, job in jobs.items() if isinstance(job, Mapping)}
    )
    if not rendered:
        return [Check("nodes", "job", Outcome.SKIPPED, "there is no job to take the driver and its image from")]
    clients = {name: client(name) for name in rendered}
    with ThreadPoolExecutor(max_workers=len(rendered)) as pool:
        groups = pool.map(lambda name: check_nodes(clients[name], name, rendered[name]), rendered)
        return [found for group in groups for found in group]


def check_nodes(client: NomadRegion, region: str, job: Mapping[str, Any]) -> list[Check]:
    """Checks every datacenter of a rendered job, side by side. Raises nothing but for a bug."""
    datacenters = [str(name) for name in job.get("Datacenters") or ()]
    try:
        variables = check_variables(client, region, job)
    except FedmlError as error:
        return [Check(f"variables in {region}", "Nomad variables", Outcome.FAILED, error.message, error.hint)]
    missing = {check.name for check in variables if check.outcome is Outcome.FAILED}
    if any(not is_own(name, str(job["ID"])) for name in missing):
        return variables  # the task would wait for it

    def check(datacenter: str) -> list[Check]:
        subject = f"node in {region}/{datacenter}"
        job_id = f"{PREFIX}{secrets.token_hex(6)}"
        try:
            client.register(check_job(job, datacenter, job_id), enforce_index=0)
        except FedmlError as error:
            return [Check(subject, "job", Outcome.FAILED, error.message, error.hint)]
        try:
            return [_explained(check, job, datacenter) for check in _checks_from_log(client, job_id, subject)]
        except FedmlError as error:
            return [Check(subject, "job", Outcome.FAILED, error.message, error.hint)]
        finally:
            _purge(client, job_id)

    with ThreadPoolExecutor(max_workers=max(len(datacenters), 1)) as pool:
        return [*variables, *(found for group in pool.map(check, datacenters) for found in group)]


def check_job(job: Mapping[str, Any], datacenter: str, job_id: str) -> dict[str, Any]:
    """Nomad's JSON of the small job: one group with one task, made of the task that publishes (the leader, else the last
    one, of the first group that publishes). No restarts: a failure is an answer."""
    groups = job["TaskGroups"]
    group = next((one for one in groups if (one.get("Meta") or {}).get(PUBLISH_KEY) != "false"), groups[0])
    tasks = group.get("Tasks") or []
    publishing = next((task for task in tasks if task.get("Leader")), tasks[-1])
    task: dict[str, Any] = copy.deepcopy(dict(publishing))
    task |= {"Name": TASK, "Leader": False, "Lifecycle": None, "DispatchPayload": None}
    task["Templates"] = [one for one in task.get("Templates") or () if not _reads_own(one, str(job["ID"]))]
    task["Config"] = {**(task.get("Config") or {}), **command_of(task)}
    kept = {name: copy.deepcopy(group[name]) for name in ("Volumes", "Networks", "Constraints") if group.get(name)}
    return {
        "ID": job_id,
        "Name": job_id,
        "Type": "batch",
        "Region": job.get("Region"),
        "Namespace": job.get("Namespace"),
        "NodePool": job.get("NodePool"),
        "Datacenters": [datacenter],
        "Constraints": copy.deepcopy(job.get("Constraints")),
        "Meta": {SPEC_KEY: ""},
        "TaskGroups": [
            {
                **kept,
                "Name": "doctor",
                "Count": 1,
                "RestartPolicy": {"Attempts": 0, "Mode": "fail", "Interval": 60 * 10**9, "Delay": 10**9},
                "ReschedulePolicy": {"Attempts": 0, "Unlimited": False},
                "Tasks": [task],
            }
        ],
    }


def _reads_own(template: Mapping[str, Any], job_id: str) -> bool:
    """Whether the task needs a variable that no other job's tasks may read."""
    text = {"TaskGroups": [{"Tasks": [{"Templates": [template]}]}]}
    return any(is_own(one.path, job_id) for one in needed_by(text))


def _explained(check: Check, job: Mapping[str, Any], datacenter: str) -> Check:
    """Explains a node without credentials: how Nomad hands them over, or that it does."""
    if check.name != CREDENTIALS or check.outcome is not Outcome.FAILED:
        return check
    own = [one.path for one in needed_by(job) if is_own(one.path, str(job["ID"]))]
    if own:
        detail = f"the job's own tasks have them from variable {own[0]}, which no other job may read"
        return replace(check, outcome=Outcome.SKIPPED, detail=detail, remedy="")
    names = backend_of(_store_of(job, datacenter)).credential_names
    if not names:
        return check
    path = f"nomad/jobs/{job['ID']}"
    command = put_command(path, list(names), str(job.get("Namespace") or "default"), str(job.get("Region")))
    return replace(check, remedy=f"{check.remedy}; or by Nomad, with a template in the task that reads it: {command}")


def _store_of(job: Mapping[str, Any], datacenter: str) -> str:
    for task in (task for group in job["TaskGroups"] for task in group.get("Tasks") or ()):
        stores = (task.get("Env") or {}).get("FEDML_STORES")
        if stores:
            with suppress(ForeignTextError):
                return str(parse_object(str(stores), source="FEDML_STORES").get(datacenter, ""))
    return ""


def _checks_from_log(client: NomadRegion, job_id: str, subject: str) -> list[Check]:
    deadline = time.monotonic() + WAIT_S
    while True:
        allocations, _ = client.allocations(job_id=job_id)
        if allocations and allocations[0].client_status in _OVER:
            return _read(client, allocations[0], subject)
        if not allocations and client.evaluations(job_id, "blocked"):
            return [
                Check(subject, "job", Outcome.FAILED, "no node there has room for its task now, or none can run it")
            ]
        if time.monotonic() > deadline:
            state = allocations[0].client_status if allocations else "without a place"
            task = allocations[0].tasks.get(TASK) if allocations else None
            said = f": {task.last_event}" if task and task.last_event else ""
            return [Check(subject, "job", Outcome.FAILED, f"after {WAIT_S:.0f} s its task was still {state}{said}")]
        time.sleep(_POLL_S)


def _read(client: NomadRegion, allocation: Allocation, subject: str) -> list[Check]:
    name = f"{subject} ({allocation.node_name})"
    found = from_log(_log(client, allocation, "stdout"))
    if found is not None:
        return [_compared(replace(check, subject=name)) for check in found]
    state = allocation.tasks.get(TASK)
    said = _log(client, allocation, "stderr").strip().splitlines()[-1:]
    detail = "; ".join(["its task ended without an answer", *filter(None, [state.last_event if state else "", *said])])
    remedy = "is fedml there: on the task's PATH, in its image, or as the archive of `make node-bundle`?"
    return [Check(name, "fedml publish --check", Outcome.FAILED, detail, remedy)]


def _compared(check: Check) -> Check:
    """Warns of a fedml on the node that is more than one minor version from this one."""
    if check.name != "fedml publish" or check.outcome is not Outcome.OK:
        return check
    theirs, own = _minor(check.detail), _minor(fedml_version())
    if theirs is None or own is None or (theirs[0] == own[0] and abs(theirs[1] - own[1]) <= 1):
        return check
    detail = f"{check.detail}; this one is {fedml_version()}"
    return replace(check, outcome=Outcome.WARNING, detail=detail, remedy="keep them at most one minor version apart")


def _minor(text: str) -> tuple[int, int] | None:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _log(client: NomadRegion, allocation: Allocation, kind: Any) -> str:
    try:
        return client.logs(allocation.id, TASK, kind=kind, tail_bytes=_LOG_BYTES).decode("utf-8", "replace")
    except FedmlError:
        return ""


def _purge(client: NomadRegion, job_id: str) -> None:
    try:
        client.stop_job(job_id, purge=True)
    except FedmlError:
        return  # it ends by itself, and Nomad's garbage collection removes it
