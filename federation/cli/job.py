"""`fedml job`: the jobspec's errors, and its JSON for each region."""

from __future__ import annotations

import typer

from federation.cli.options import ConfigOption, JobOption, RegionsOption, VarFileOption, VarOption, names

app = typer.Typer(help="The jobspec: check it, or see what each region gets.", no_args_is_help=True)


@app.command("validate")
def validate(
    job: JobOption = "",
    var: VarOption = None,
    var_file: VarFileOption = None,
    regions: RegionsOption = "",
    config: ConfigOption = None,
) -> None:
    """Check the jobspec: its language, that it is a parameterized batch job, and that each region can render it.

    Example:

      fedml job validate -var count=2
    """
    from federation.app import JobRequest
    from federation.cli.session import answer, opened
    from jobs.errors import FedmlError

    with opened(config) as app_:
        prepared = app_.prepare(JobRequest(job, tuple(var or ()), tuple(var_file or ()), names(regions)))
        for region, rendered in prepared.rendered.items():
            if isinstance(rendered, FedmlError):
                raise rendered
            answer(f"{region}: {prepared.file.name} is valid; datacenters {', '.join(rendered['Datacenters'])}")


@app.command("render")
def render(
    job: JobOption = "",
    var: VarOption = None,
    var_file: VarFileOption = None,
    regions: RegionsOption = "",
    config: ConfigOption = None,
) -> None:
    """Print the job's JSON as each chosen region would get it: one object, region → job.

    Example:

      fedml job render --regions us
    """
    from federation.app import JobRequest
    from federation.cli.session import answer_json, opened
    from jobs.errors import FedmlError

    with opened(config) as app_:
        prepared = app_.prepare(JobRequest(job, tuple(var or ()), tuple(var_file or ()), names(regions)))
        for rendered in prepared.rendered.values():
            if isinstance(rendered, FedmlError):
                raise rendered
        answer_json(prepared.rendered)
