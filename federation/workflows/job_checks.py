"""Checks a jobspec: renders it for each region, finds what Nomad would refuse, compares it with the registered jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federation.app import App, JobRequest, PreparedJob
from federation.deploy.job_diff import JobDiff, diff_of
from jobs.errors import FedmlError, InvalidSpec
from jobs.nomad_json.canonical import canonical_job
from jobs.nomad_json.problems import problems, sentences


def rendered_jobs(app: App, request: JobRequest) -> tuple[PreparedJob, Mapping[str, Mapping[str, Any]]]:
    """The job with its JSON for each chosen region. Raises the first region's error when it can't be rendered."""
    prepared = app.prepare_from_file(request)
    jobs: dict[str, Mapping[str, Any]] = {}
    for region, rendered in prepared.rendered.items():
        if isinstance(rendered, FedmlError):
            raise rendered
        jobs[region] = rendered
    return prepared, jobs


def validated_jobs(app: App, request: JobRequest) -> tuple[PreparedJob, Mapping[str, Mapping[str, Any]]]:
    """The same, checked by the rules of Nomad's servers. Raises InvalidSpec with their messages."""
    prepared, jobs = rendered_jobs(app, request)
    for region, job in jobs.items():
        if found := problems(canonical_job(job, region)):
            listed = "\n  ".join(sentences(found))
            raise InvalidSpec(
                f"{prepared.file.name} would be refused by Nomad:\n  {listed}",
                hint="change it in the jobspec (the lines above are the messages of Nomad's servers)",
            )
    return prepared, jobs


def compared_jobs(app: App, request: JobRequest) -> JobDiff:
    """The differences between the registered jobs and the file, and between the regions. Asks the regions."""
    prepared = app.prepare(request, allow_drift=True)
    return diff_of(prepared, [app.client(name) for name in prepared.rendered])
