"""Fills in what a server works out from other parts of a job: policies of the job for its groups, policies of a group for
its tasks, and names."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from typing import Any

Record = dict[str, Any]
SECOND = 1_000_000_000
_HOUR = 3600 * SECOND
_UPDATE: Record = {
    "AutoPromote": False,
    "AutoRevert": False,
    "Canary": 0,
    "HealthCheck": "checks",
    "HealthyDeadline": 300 * SECOND,
    "MaxParallel": 1,
    "MinHealthyTime": 10 * SECOND,
    "ProgressDeadline": 600 * SECOND,
    "Stagger": 30 * SECOND,
}
NO_UPDATE: Record = {name: type(value)() for name, value in _UPDATE.items()}
_MIGRATE = {name: _UPDATE[name] for name in ("HealthCheck", "HealthyDeadline", "MaxParallel", "MinHealthyTime")}
_RESTART: Record = {"Delay": 15 * SECOND, "Mode": "fail", "RenderTemplates": False}
_RESTARTS = {
    "service": {**_RESTART, "Attempts": 2, "Interval": 1800 * SECOND},
    "batch": {**_RESTART, "Attempts": 3, "Interval": 24 * _HOUR},
}
_NO_RESCHEDULE: Record = {
    "Attempts": 0,
    "Delay": 0,
    "DelayFunction": "",
    "Interval": 0,
    "MaxDelay": 0,
    "Unlimited": False,
}
_RESCHEDULES = {
    "service": {
        **_NO_RESCHEDULE,
        "Delay": 30 * SECOND,
        "DelayFunction": "exponential",
        "MaxDelay": _HOUR,
        "Unlimited": True,
    },
    "batch": {
        **_NO_RESCHEDULE,
        "Attempts": 1,
        "Delay": 5 * SECOND,
        "DelayFunction": "constant",
        "Interval": 24 * _HOUR,
    },
}


def inherit(job: Record, version: tuple[int, ...]) -> None:
    """Fills in, before the defaults, what groups have from their job and tasks from their group. In place."""
    job["Name"] = job["ID"] if job["Name"] is None else job["Name"]
    kind = "service" if job["Type"] is None else job["Type"]
    has_update = kind == "service" or (kind == "system" and version >= (1, 7))
    update = _over(_UPDATE, job["Update"]) if job["Update"] or has_update else None
    for group in job["TaskGroups"] or ():
        _inherit_policies(group, job, kind, update if update and any(update.values()) else None)
        _inherit_reschedule(group, job, kind, version)
        _inherit_count(group)
        if group["Consul"] is None and version < (1, 7):
            group["Consul"] = {}
        _inherit_checks(group["Services"])
        for task in group["Tasks"] or ():
            task["RestartPolicy"] = _over(group["RestartPolicy"], task["RestartPolicy"])
            _inherit_checks(task["Services"])
            _default_task(task, version)
    kept = ("MaxParallel", "Stagger") if update and update["MaxParallel"] > 0 else ()
    job["Update"] = NO_UPDATE | {name: update[name] for name in kept if update}


def _over(base: Record | None, block: Record | None) -> Record:
    """Returns the base with the values that the block sets."""
    return {**(base or {}), **{name: value for name, value in (block or {}).items() if value is not None}}


def _inherit_policies(group: Record, job: Record, kind: str, update: Record | None) -> None:
    if group["Update"] or update:
        group["Update"] = _over(_over(_UPDATE, update), group["Update"])
    if group["Migrate"] or job["Migrate"] or kind == "service":
        group["Migrate"] = _over(_over(_MIGRATE, job["Migrate"]), group["Migrate"])
    group["RestartPolicy"] = _over(
        _RESTARTS["service" if kind in ("service", "system") else "batch"], group["RestartPolicy"]
    )


def _inherit_reschedule(group: Record, job: Record, kind: str, version: tuple[int, ...]) -> None:
    without = ("system", "sysbatch") if version >= (1, 7) else ("system",)
    if group["ReschedulePolicy"] or job["Reschedule"] or kind not in without:
        default = _RESCHEDULES.get(kind, _NO_RESCHEDULE)
        group["ReschedulePolicy"] = _over(_over(default, job["Reschedule"]), group["ReschedulePolicy"])


def _inherit_count(group: Record) -> None:
    scaling = group["Scaling"]
    if group["Count"] is None:
        group["Count"] = 1 if not scaling or scaling["Min"] is None else scaling["Min"]
    if scaling and scaling["Min"] is None:
        scaling["Min"] = group["Count"]


def _inherit_checks(services: list[Record] | None) -> None:
    for service in services or ():
        for check in service["Checks"] or ():
            check["OnUpdate"] = check["OnUpdate"] or service["OnUpdate"] or "require_healthy"
            restart = {name: value for name, value in (check["CheckRestart"] or {}).items() if value or name == "Grace"}
            if service["CheckRestart"]:
                check["CheckRestart"] = _over(service["CheckRestart"], restart)


def _default_task(task: Record, version: tuple[int, ...]) -> None:
    resources = task["Resources"] or {}
    if resources.get("CPU") is None and resources.get("Cores") is not None:
        resources["CPU"] = 0
    task["VolumeMounts"] = [one for one in task["VolumeMounts"] or () if one["Volume"] is not None] or None
    for template in task["Templates"] or ():
        if template["ChangeSignal"] is None and template["ChangeMode"] == "signal":
            template["ChangeSignal"] = "SIGHUP"
    for artifact in task["Artifacts"] or ():
        if artifact["RelativeDest"] is None:
            file = posixpath.join("local", posixpath.basename((artifact["GetterSource"] or "").rstrip("/")))
            artifact["RelativeDest"] = posixpath.normpath(file) if artifact["GetterMode"] == "file" else "local/"
    if task["Lifecycle"] is not None and not task["Lifecycle"]["Hook"] and version < (1, 7):
        task["Lifecycle"] = None


def settle(job: Record) -> None:
    """Replaces, after the defaults, what a server doesn't accept as empty, and fills in names. In place."""
    for name, default in (("Namespace", "default"), ("NodePool", "default"), ("Priority", 50)):
        if name in job:
            job[name] = job[name] or default
    job["Datacenters"] = job["Datacenters"] or ["*"]
    if job["Periodic"] is not None:
        job["Periodic"]["TimeZone"] = job["Periodic"]["TimeZone"] or "UTC"
    for group in job["TaskGroups"] or ():
        volumes = (group["Volumes"] or {}).items()
        group["Volumes"] = {name: one for name, one in volumes if one["Type"] in ("host", "csi")} or None
        _name_services(group["Services"], job, group["Name"], "")
        for task in group["Tasks"] or ():
            _name_services(task["Services"], job, group["Name"], task["Name"])
            _settle_task(task)
        _settle_native(group)


def _settle_native(group: Record) -> None:
    """Names the task behind each service that speaks Consul Connect itself, and the service at the task."""
    tasks = group["Tasks"] or []
    for service in group["Services"] or () if group["Networks"] else ():
        if service["Connect"] and service["Connect"]["Native"]:
            named = [task for task in tasks if task["Name"] == service["TaskName"] or len(tasks) == 1]
            for task in named[:1]:
                service["TaskName"], task["Kind"] = task["Name"], f"connect-native:{service['Name']}"


def _settle_task(task: Record) -> None:
    task["KillTimeout"] = task["KillTimeout"] or 5 * SECOND
    task["Config"] = task["Config"] or None
    for block in (task["Vault"], *(task["Templates"] or ())):
        if block:
            block["ChangeSignal"] = block["ChangeSignal"].upper()
    if task["Vault"]:
        task["Vault"]["ChangeMode"] = task["Vault"]["ChangeMode"] or "restart"
    for identity in identities(task):
        if "Name" in identity:
            identity["Name"] = identity["Name"] or "default"
            identity["ChangeSignal"] = identity["ChangeSignal"].upper()
            if identity["Name"] == "default":
                identity["Audience"] = ["nomadproject.io"]
    others = [one for one in task.get("Identities") or () if one["Name"] != "default"]
    own = [one for one in task.get("Identities") or () if one["Name"] == "default"]
    if own:
        task["Identity"], task["Identities"] = own[-1], others or None


def identities(task: Record) -> Iterator[Record]:
    """Yields the identity blocks of a task."""
    if task.get("Identity"):
        yield task["Identity"]
    yield from task.get("Identities") or ()


def _name_services(services: list[Record] | None, job: Record, group: str, task: str) -> None:
    where = task or "group"
    names = {"JOB": job["Name"], "TASKGROUP": group, "TASK": where, "BASE": f"{job['Name']}-{group}-{where}"}
    for service in services or ():
        default = "-".join(part for part in (job["Name"], group, task) if part)
        service["Name"] = re.sub(
            r"\$\{(\w+)\}", lambda found: names.get(found[1], found[0]), service["Name"] or default
        )
        service["TaskName"] = service["TaskName"] or task
        for check in service["Checks"] or ():
            check["Name"] = check["Name"] or f"service: {json.dumps(service['Name'], ensure_ascii=False)} check"
            check["TaskName"] = ("" if task else check["TaskName"]) or service["TaskName"]
