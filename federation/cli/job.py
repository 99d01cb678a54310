"""`fedml job`: validates the jobspec, renders its JSON for each region and shows its drift."""

from __future__ import annotations

import typer

from federation.cli.command_app import CommandApp
from federation.cli.options.common import ConfigOption, JobFileArgument, JsonOption
from federation.cli.options.groups import JobOptions

app = CommandApp(help="Check the jobspec and compare it with the regions.", no_args_is_help=True)


@app.command("validate")
def validate(job: JobOptions, file: JobFileArgument = "", config: ConfigOption = None) -> None:
    """Check the jobspec without asking a region.

    Checks its syntax, the rules of Nomad's servers (all problems, with their lines and Nomad's messages), that fedml can
    dispatch it, and that each region's job can be rendered. The rules are those of Nomad 1.6.3 and 2.0.5. What only one
    of them refuses is a note, except in a development region, whose version fedml.toml says.

    Examples:

      fedml job validate

      fedml job validate train.nomad.hcl -var count=2

      fedml job validate --regions us,eu
    """
    from federation.cli.session import answer, note, opened
    from federation.workflows.job_checks import validated_job

    request = job.request(file)
    with opened(config) as project:
        checked = validated_job(project, request)
        for text in checked.notes:
            note(f"Warning: a version of Nomad refuses this: {text}")
        for region, rendered in checked.jobs.items():
            answer(f"{region}: {checked.prepared.file.name} is valid; datacenters {', '.join(rendered['Datacenters'])}")


@app.command("render")
def render(job: JobOptions, file: JobFileArgument = "", config: ConfigOption = None) -> None:
    """Print the job's JSON for each region.

    Prints one object with a job for each chosen region. Asks no region. Nomad accepts one region's job: the output of
    `fedml job render --regions us | jq '{Job: .us}'` is valid input of `nomad job run -json -`.

    Examples:

      fedml job render

      fedml job render train.nomad.hcl --regions us -var count=2
    """
    from federation.cli.session import answer_foreign_json, opened
    from federation.workflows.job_checks import rendered_jobs

    request = job.request(file)
    with opened(config) as project:
        answer_foreign_json(rendered_jobs(project, request)[1])


@app.command("diff")
def diff(job: JobOptions, file: JobFileArgument = "", as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Compare the registered jobs with the file and with each other.

    Also shows what somebody changed in Nomad directly. If FILE is the ID of a registered job, the regions are compared
    with each other only. Changes nothing.

    Exit codes, as of `diff`: 0 no drift, 1 drift, 2 an error (a region that can't be read, a wrong file).

    Examples:

      fedml job diff

      fedml job diff train.nomad.hcl --regions us,eu

      fedml job diff train --json
    """
    from federation.cli.session import answer_json, opened
    from federation.ui.job_view import job_diff_document, show_job_diff
    from federation.workflows.job_checks import compared_jobs

    request = job.request(file)
    with opened(config) as project:
        difference = compared_jobs(project, request)
        if as_json:
            answer_json(job_diff_document(difference))
        else:
            show_job_diff(difference)
        if len(difference.problems) == len(difference.regions):
            raise difference.problems[0]
    raise typer.Exit(2 if difference.problems else 0 if difference.is_same else 1)
