"""`fedml deploy`: one jobspec to all chosen regions."""

from __future__ import annotations

import typer

from federation.cli.options import (
    ConfigOption,
    JobOption,
    JsonOption,
    RegionsOption,
    VarFileOption,
    VarOption,
    names,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("deploy")(deploy)


def deploy(
    regions: RegionsOption = "",
    job: JobOption = "",
    var: VarOption = None,
    var_file: VarFileOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Register the jobspec in all chosen regions, wherever it differs from what is there.

    A change that somebody else makes meanwhile is never overwritten (EnforceIndex). Exit code 1 if a region failed.

    Examples:

      fedml deploy

      fedml deploy --regions eu -var count=2
    """
    from federation.app import JobRequest
    from federation.cli.session import answer_json, opened
    from federation.ui.console import out, table

    with opened(config) as app:
        prepared = app.prepare(JobRequest(job, tuple(var or ()), tuple(var_file or ()), names(regions)))
        deployment = app.deploy(prepared)
        if as_json:
            answer_json(
                {
                    "job": deployment.job_id,
                    "spec_hash": deployment.spec_hash,
                    "regions": [
                        {
                            "region": one.region,
                            "action": one.action,
                            "job_modify_index": one.job_modify_index,
                            "error": str(one.error) if one.error else None,
                        }
                        for one in deployment.regions
                    ],
                }
            )
        else:
            rows = [
                (one.region, one.action, one.job_modify_index or "-", one.error or "") for one in deployment.regions
            ]
            out().print(table(("region", "job", "index", "problem"), rows, numbers=("index",)))
    raise typer.Exit(1 if deployment.failed else 0)
