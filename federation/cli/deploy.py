"""`fedml deploy`: one jobspec to all chosen regions."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption
from federation.cli.options.groups import DeployOptions, JobOptions, grouped


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("deploy")(grouped(deploy))


def deploy(
    job: JobOptions,
    how: DeployOptions,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="A jobspec (else the project's own).")] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Register the jobspec in all chosen regions, wherever it differs from what is there.

    Regions are changed in the order of the job's `multiregion` block, as many at a time as it says (without one: all at
    once). A change that somebody else makes meanwhile is never overwritten (EnforceIndex), one that was made before only
    with --allow-drift. Exit code 1 if a region failed; the table says which version stands where then.

    Examples:

      fedml deploy

      fedml deploy train.nomad.hcl --regions eu -var count=2

      fedml deploy --on-failure fail_all
    """
    from federation.cli.session import answer_json, note, opened
    from federation.ui.job_view import deployment_document, show_deployment
    from federation.workflows.dispatch import deploy_alone

    with opened(config) as app:
        deployment = deploy_alone(app, job.request(file), how.deploying(), note)
        if as_json:
            answer_json(deployment_document(deployment))
        else:
            show_deployment(deployment)
        for failed in deployment.failed:
            if failed.error is not None and failed.error.hint:
                note(f"{failed.region}: {failed.error.hint}")
    raise typer.Exit(1 if deployment.failed else 0)
