"""Checks that this machine has the programs that tasks need in its own regions (`fedml dev`)."""

from __future__ import annotations

import os

from federation.app import PreparedJob
from federation.errors import DevError
from federation.task.command_line import NONE, Command, parse_command
from federation.task.environment import uv_of
from federation.workflows.request import RunRequest
from jobs.code_job import DRIVERS_WITH_IMAGE
from jobs.code_run import COMMAND_KEY


def check_uv(request: RunRequest, prepared: PreparedJob) -> None:
    """Raises DevError where the code declares dependencies and this machine has no uv that makes their environment."""
    command = _command(request, prepared)
    if command is None or command.environment == NONE or command.uv is not None or uv_of(os.environ) is not None:
        return
    raise DevError(
        f"uv is needed on this machine for the dependencies of {command.file}; nothing was sent",
        hint="pip install uv  (or see https://docs.astral.sh/uv/)",
    )


def _command(request: RunRequest, prepared: PreparedJob) -> Command | None:
    """The command that runs here without an image; None where there is none."""
    jobs = [job for job in prepared.rendered.values() if isinstance(job, dict)]
    drivers = {task.get("Driver") for job in jobs for group in job["TaskGroups"] for task in group["Tasks"]}
    if not prepared.needs_program or drivers.intersection(DRIVERS_WITH_IMAGE):
        return None
    meta = request.code.meta if request.code is not None else jobs[0].get("Meta") or {}
    return parse_command(meta[COMMAND_KEY]) if COMMAND_KEY in meta else None
