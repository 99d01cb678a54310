"""`fedml deploy`: registers one jobspec in all chosen regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from federation.cli.options.common import ConfigOption, JobFileArgument, JsonOption
from federation.cli.options.groups import DeployOptions, JobOptions

if TYPE_CHECKING:
    from federation.app import App, JobRequest


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command("deploy")(deploy)


def deploy(
    job: JobOptions,
    deployment: DeployOptions,
    file: JobFileArgument = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Register the jobspec in all chosen regions.

    A region is changed only if its job differs from the file. The job's `multiregion` block sets the order of the
    regions and how many change at a time. Without the block all change at once. A change that somebody makes in Nomad
    at the same time is never overwritten (EnforceIndex). One that was made before is overwritten only with
    --allow-drift.

    Exit codes: 0 if all regions have the job, 1 if a region failed. The table shows each region's version.

    Examples:

      fedml deploy

      fedml deploy train.nomad.hcl --regions eu -var count=2

      fedml deploy --on-failure fail_all

      fedml deploy --dry-run
    """
    from federation.cli.session import answer_json, note, opened
    from federation.ui.job_view import deployment_document, show_deployment
    from federation.workflows.dispatch import deploy_alone

    with opened(config) as project:
        if deployment.dry_run:
            _show_changes(project, job.request(file), as_json=as_json)
            return
        outcome = deploy_alone(project, job.request(file), deployment.deploying(), note)
        if as_json:
            answer_json(deployment_document(outcome))
        else:
            show_deployment(outcome)
        for failed in outcome.failed:
            if failed.error is not None and failed.error.hint:
                note(f"{failed.region}: {failed.error.hint}")
    raise typer.Exit(1 if outcome.failed else 0)


def _show_changes(project: App, request: JobRequest, *, as_json: bool) -> None:
    """Prints what a deployment would change, as `job diff` does. Raises the error of a region that can't be read."""
    from federation.cli.session import answer_json, note
    from federation.ui.job_view import job_diff_document, show_job_diff
    from federation.workflows.job_checks import compared_jobs

    difference = compared_jobs(project, request)
    if as_json:
        answer_json(job_diff_document(difference))
    else:
        show_job_diff(difference)
    if difference.problems:
        raise difference.problems[0]
    note("Nothing was registered (--dry-run).")
