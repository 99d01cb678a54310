"""`fedml regions`: reachability, version, nodes, free capacity, queue."""

from __future__ import annotations

import typer

from federation.cli.options import ConfigOption, JobOption, JsonOption, RegionsOption, names

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
    from federation.ui.console import out, table

    with opened(config) as project:
        preview = project.preview(JobRequest(job, regions=names(regions)), slots=None, version=None)
        answers = preview.snapshot.regions.values()
        if as_json:
            fields = ("region", "version", "nodes", "free", "queued", "exactness", "detail")
            answer_json(
                {"regions": [{**{f: getattr(one, f) for f in fields}, "problem": one.problem} for one in answers]}
            )
            return
        rows = [
            (
                one.region,
                str(one.problem) if one.problem else "ready",
                one.version or "-",
                one.nodes,
                one.free,
                one.queued,
                one.detail,
            )
            for one in answers
        ]
        columns = ("region", "state", "nomad", "nodes", "free", "queued", "detail")
        out().print(table(columns, rows, numbers=("nodes", "free", "queued")))
