"""`fedml regions`: shows which regions answer, their versions, nodes, free capacity and queues."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.cli.command_app import CommandApp
from federation.cli.options.common import ConfigOption, JobOption, JsonOption, RegionsOption, names

app = CommandApp(help="Show which regions answer and what they have free.", no_args_is_help=True)


@app.command("list")
def list_regions(
    regions: RegionsOption = "", job: JobOption = "", as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """List the regions with their free slots.

    Shows each region's Nomad version, ready nodes, free slots for the project's job and the length of its queue. Without
    a jobspec, free slots and queue are unknown. Exit codes: 0 if a region answers, 1 if none does or all refuse.

    Example:

      fedml regions list
    """
    from federation.app import JobRequest
    from federation.cli.session import answer_json, note, opened
    from federation.ui.regions_view import no_job_note, regions_document, show_regions
    from federation.workflows.region_report import regions_now

    with opened(config) as project:
        now = regions_now(project, JobRequest(job, regions=names(regions)))
    if as_json:
        answer_json(regions_document(now.capacities.values()))
    else:
        show_regions(now.capacities.values())
    if now.problem:
        note(no_job_note(now.problem))
    raise typer.Exit(0 if now.is_any_there else 1)


@app.command("show")
def show(
    region: Annotated[str, typer.Argument(metavar="REGION", help="The region's name in fedml.toml.")],
    job: JobOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one region.

    Shows its addresses, leader, clock and stores, and its free slots. Then what its nodes have and what of it is free, by
    datacenter, pool and class; its devices, and which allocation holds which; what waits there, and whose it is.
    Exit codes: 0 if the region answers, else 1.

    Example:

      fedml regions show us
    """
    from federation.app import JobRequest
    from federation.cli.session import answer_json, note, opened
    from federation.ui.regions_view import no_job_note, region_document, show_region
    from federation.workflows.region_report import regions_now, report

    with opened(config) as project:
        now = regions_now(project, JobRequest(job, regions=(region,)))
        region_report = report(project, now, region)
        if now.problem:
            note(no_job_note(now.problem))
        if as_json:
            answer_json(region_document(region_report))
        else:
            show_region(region_report)
    raise typer.Exit(1 if region_report.capacity.problem == "unreachable" else 0)
