"""`fedml regions`: reachability, version, nodes, free capacity, queue."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JobOption, JsonOption, RegionsOption, names

app = typer.Typer(help="The regions: which answer, and what they have free.", no_args_is_help=True)


@app.command("list")
def list_regions(
    regions: RegionsOption = "", job: JobOption = "", as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """List the regions: version, ready nodes, free slots for the project's job, and its queue.

    Example:

      fedml regions list
    """
    from federation.app import JobRequest
    from federation.cli.session import answer_json, opened
    from federation.ui.regions_view import regions_document, show_regions
    from federation.workflows.plan import preview
    from federation.workflows.request import RunRequest

    with opened(config) as project:
        answers = preview(project, RunRequest(JobRequest(job, regions=names(regions)))).snapshot.regions.values()
        if as_json:
            answer_json(regions_document(answers))
        else:
            show_regions(answers)


@app.command("show")
def show(
    region: Annotated[str, typer.Argument(metavar="REGION", help="Its name in fedml.toml.")],
    job: JobOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one region: how it is reached, its servers, nodes by datacenter and class, free slots, queue and stores.

    Exit code 1 when it doesn't answer.

    Example:

      fedml regions show us
    """
    from federation.app import JobRequest
    from federation.cli.session import answer_json, opened
    from federation.ui.regions_view import region_document, show_region
    from federation.workflows.plan import preview
    from federation.workflows.region_report import report
    from federation.workflows.request import RunRequest

    with opened(config) as project:
        made = preview(project, RunRequest(JobRequest(job, regions=(region,))))
        told = report(project, made, region)
        if as_json:
            answer_json(region_document(told))
        else:
            show_region(told)
    raise typer.Exit(1 if told.capacity.problem == "unreachable" else 0)
