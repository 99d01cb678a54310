"""`fedml job`: the jobspec's errors, its JSON for each region, and its drift."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options.common import (
    ConfigOption,
    JobOption,
    JsonOption,
    RegionsOption,
    VarFileOption,
    VarOption,
    names,
)

if TYPE_CHECKING:
    from federation.app import JobRequest

app = typer.Typer(
    help="The jobspec: check it, see what each region gets, or how far the regions are from it.", no_args_is_help=True
)
_CHANGE = "change it in the jobspec; these are the words of Nomad's servers"
FileArgument = Annotated[str, typer.Argument(metavar="[FILE]", help="A jobspec (else the project's own).")]


@app.command("validate")
def validate(
    file: FileArgument = "",
    job: JobOption = "",
    var: VarOption = None,
    var_file: VarFileOption = None,
    regions: RegionsOption = "",
    config: ConfigOption = None,
) -> None:
    """Check the jobspec: its language, what Nomad's servers would refuse (in their words), that fedml can dispatch it,
    and that each region can render it. Asks no region.

    Examples:

      fedml job validate

      fedml job validate train.nomad.hcl -var count=2

      fedml job validate --regions us,eu
    """
    from federation.cli.session import answer, opened
    from jobs.errors import FedmlError, InvalidSpec
    from jobs.nomad_json.canonical import canonical_job
    from jobs.nomad_json.problems import problems, sentences

    request = _request(file, job, var, var_file, regions)
    with opened(config) as app_:
        prepared = app_.prepare_from_file(request)
        for region, rendered in prepared.rendered.items():
            if isinstance(rendered, FedmlError):
                raise rendered
            if found := problems(canonical_job(rendered, region)):
                listed = "\n  ".join(sentences(found))
                raise InvalidSpec(f"{prepared.file.name} would be refused by Nomad:\n  {listed}", hint=_CHANGE)
            answer(f"{region}: {prepared.file.name} is valid; datacenters {', '.join(rendered['Datacenters'])}")


@app.command("render")
def render(
    file: FileArgument = "",
    job: JobOption = "",
    var: VarOption = None,
    var_file: VarFileOption = None,
    regions: RegionsOption = "",
    config: ConfigOption = None,
) -> None:
    """Print the job's JSON as each chosen region would get it: one object, region → job. Asks no region.

    One region's job can be given to Nomad itself: `fedml job render --regions us | jq '{Job: .us}'` is what
    `nomad job run -json -` takes.

    Examples:

      fedml job render

      fedml job render train.nomad.hcl --regions us -var count=2
    """
    from federation.cli.session import answer_json, opened
    from jobs.errors import FedmlError

    request = _request(file, job, var, var_file, regions)
    with opened(config) as app_:
        prepared = app_.prepare_from_file(request)
        for rendered in prepared.rendered.values():
            if isinstance(rendered, FedmlError):
                raise rendered
        answer_json(prepared.rendered)


@app.command("diff")
def diff(
    file: FileArgument = "",
    job: JobOption = "",
    var: VarOption = None,
    var_file: VarFileOption = None,
    regions: RegionsOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show how the registered jobs differ from the file and between the regions, and what somebody else has changed.

    FILE may be the ID of a registered job: then the regions are compared with one another. Changes nothing. Exit code as
    of `diff`: 0 no drift, 1 drift, 2 trouble (a region that can't be read, a wrong file).

    Examples:

      fedml job diff

      fedml job diff train.nomad.hcl --regions us,eu

      fedml job diff train --json
    """
    from federation.cli.session import answer_json, opened
    from federation.deploy.job_diff import diff_of
    from federation.ui.job_view import job_diff_document, show_job_diff

    request = _request(file, job, var, var_file, regions)
    with opened(config) as app_:
        prepared = app_.prepare(request, allow_drift=True)
        found = diff_of(prepared, [app_.client(name) for name in prepared.rendered])
        if as_json:
            answer_json(job_diff_document(found))
        else:
            show_job_diff(found)
        if len(found.problems) == len(found.regions):
            raise found.problems[0]
    raise typer.Exit(2 if found.problems else 0 if found.is_same else 1)


def _request(file: str, job: str, var: list[str] | None, var_file: list[Path] | None, regions: str) -> JobRequest:
    from federation.app import JobRequest
    from federation.errors import UsageError

    if file and job:
        raise UsageError(f"two jobs are named: {file} and --job {job}", hint="name one")
    return JobRequest(file or job, tuple(var or ()), tuple(var_file or ()), names(regions))
