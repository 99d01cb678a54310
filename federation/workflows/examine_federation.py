"""Checks everything that the federation needs, with the job as each region would get it (`fedml doctor`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from federation.app import App, JobRequest
from federation.check import Check
from federation.checks.doctor.examine import examine
from federation.checks.doctor.nodes import examine_nodes
from federation.errors import ConfigError
from jobs.errors import FedmlError


def examine_federation(app: App, job: str, *, on_nodes: bool, note: Callable[[str], None]) -> list[Check]:
    """All checks of regions and stores, with `on_nodes` also those of a task in each datacenter."""
    jobs = _jobs(app, job)
    checks = examine(app.config, jobs)
    if on_nodes:
        note("Checking from a task on the nodes of each datacenter …")
        checks += examine_nodes(app.client, jobs)
    return checks


def _jobs(app: App, job: str) -> Mapping[str, Mapping[str, Any] | FedmlError] | FedmlError:
    """The job of each region. Empty for a project without a job."""
    try:
        return app.prepare(JobRequest(job)).rendered
    except ConfigError:
        return {}
    except FedmlError as error:
        return error
