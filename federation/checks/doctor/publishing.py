"""Checks that something in a job publishes what the run waits for. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from federation.check import Check, Outcome
from jobs.errors import FedmlError

_PUBLISHES = re.compile(r"(fedml|federation)[\s\S]{0,200}publish")
_REMEDY = (
    "end a task of it with  fedml publish DIR  (docs/how-to/publish.md), or say in fedml.toml how results are found: "
    'add_task = true below [publish], results = "adopt", or "none"'
)


def check_publishing(results: str, jobs: Mapping[str, Mapping[str, Any] | FedmlError]) -> list[Check]:
    """One check of the job, as some region gets it. None where the run doesn't wait for `fedml publish`."""
    job = next((job for job in jobs.values() if not isinstance(job, FedmlError)), None)
    if results != "publish" or job is None:
        return []
    silent = [
        str(group["Name"])
        for group in job.get("TaskGroups") or ()
        if not any(map(_publishes, group.get("Tasks") or ()))
    ]
    name = f"job {job['ID']}, publishing"
    if not silent:
        return [Check("job", name, Outcome.OK, "every group calls `fedml publish`")]
    names = f"group{'s' if len(silent) > 1 else ''} {', '.join(silent)}"
    detail = (
        f"nothing in {names} calls `fedml publish`: a slot that publishes nothing fails (NoResult). A script in an image or "
        "an artifact can't be seen from here"
    )
    return [Check("job", name, Outcome.WARNING, detail, _REMEDY)]


def _publishes(task: Mapping[str, Any]) -> bool:
    """Whether a command, an argument, a template or a variable of the task calls `fedml publish`, in whatever words."""
    texts = {name: task.get(name) for name in ("Config", "Templates", "Env")}
    return _PUBLISHES.search(json.dumps(texts, ensure_ascii=False)) is not None
