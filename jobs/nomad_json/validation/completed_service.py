"""Fills in what the validation of a service depends on: its name, its provider, and what its checks inherit."""

from __future__ import annotations

import re

from jobs.nomad_json.validation.problem import Record, quoted

REFERENCE = re.compile(r"\$\{[a-zA-Z0-9_\-.]+\}", re.ASCII)
"""A reference to a variable in a text."""


def _name(job: Record, group: Record, task: Record | None, service: Record) -> str:
    """Returns the service's name with what Nomad fills in at registration."""
    of_task = task["Name"] if task else "group"
    own = [job["Name"], group["Name"], *([task["Name"]] if task else [])]
    known = {"JOB": job["Name"], "TASKGROUP": group["Name"], "TASK": of_task}
    known["BASE"] = f"{job['Name']}-{group['Name']}-{of_task}"
    name = service["Name"] or "-".join(own)
    return REFERENCE.sub(lambda found: known.get(found[0][2:-1], found[0]), name)


def completed(job: Record, group: Record, task: Record | None, service: Record) -> Record:
    """Returns the service with the defaults that its validation depends on."""
    name = _name(job, group, task, service)
    on_update = service["OnUpdate"] or "require_healthy"
    task_name = service["TaskName"] or (task["Name"] if task else _native_task(group, service))
    checks = [
        check
        | {
            "Name": check["Name"] or f"service: {quoted(name)} check",
            "TaskName": check["TaskName"] or task_name,
            "OnUpdate": check["OnUpdate"] or on_update,
            "CheckRestart": check.get("CheckRestart") or service.get("CheckRestart"),
        }
        for check in service["Checks"] or ()
    ]
    provider = service["Provider"] or "consul"
    return service | {
        "Name": name,
        "OnUpdate": on_update,
        "TaskName": task_name,
        "Checks": checks,
        "Provider": provider,
        "AddressMode": service["AddressMode"] or "auto",
    }


def _native_task(group: Record, service: Record) -> str:
    """Returns the only task of a group: it speaks Connect itself where no other is named."""
    tasks = group["Tasks"] or []
    is_native = (service["Connect"] or {}).get("Native") and group["Networks"]
    return str(tasks[0]["Name"]) if is_native and len(tasks) == 1 else ""
