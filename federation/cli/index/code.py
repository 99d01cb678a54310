"""`fedml index code` and `reproduce`: the exact code of a result, and the same run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federation.cli.index.options import BestOption, JobNameOption, ResultArgument
from federation.cli.options.common import AllowStoreOption, ConfigOption, JsonOption, RegionsOption


def register(app: typer.Typer) -> None:
    """Add the commands to `fedml index`."""
    for command in (code, reproduce):
        app.command()(command)


def code(
    result: ResultArgument,
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder to make (default: JOB-VERSION-ALLOCATION-code here)."),
    ] = None,
    allow_store: AllowStoreOption = None,
    job: JobNameOption = None,
    sort: BestOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Bring the exact code that made a result, verified against the run's manifest, and print the folder.

    Only results of fedml run have their code in a store. A folder that holds something is refused.

    Examples:

      fedml index code 4

      fedml index code production --to source
    """
    from federation.cli.session import answer, answer_json, note, opened
    from federation.text import counted
    from federation.workflows.result_code import bring_code

    with opened(config) as federation:
        row = federation.index.result(result, job=job, sort=sort)
        found = bring_code(federation, row, to, allow_store or ())
    how = "verified" if found.is_of_manifest else "as its record says: its run's manifest names none"
    note(f"{row.job} version {row.version}: code {found.sha256[:12]}, {counted(found.files, 'file')}, {how}")
    if as_json:
        place = {"path": str(found.path), "sha256": found.sha256, "files": found.files, "store": found.store}
        answer_json({"alloc_id": row.alloc_id, "version": row.version, **place})
    else:
        answer(str(found.path))


def reproduce(
    result: ResultArgument,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, metavar="X", help="Accept numbers that differ by this much of the larger one (default: 0)."
        ),
    ] = 0.0,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Compare only this metric (repeatable, default: all).")
    ] = None,
    regions: RegionsOption = "",
    job: JobNameOption = None,
    sort: BestOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run a result of fedml run again with its code, lock, command and parameters, and compare the metrics.

    The run is one like any other: its result is the next version, in a region of the first run's (or of --regions).

    Measured times differ in each run: name the metrics that should agree with --metric.

    Exit codes: 0 if all metrics agree, 1 if one differs, 2 if the run made no result.

    Examples:

      fedml index reproduce production

      fedml index reproduce 8f14e45f --tolerance 0.001 --metric auc --metric loss
    """
    from dataclasses import asdict

    from federation.cli.dispatch import follow_or_detach
    from federation.cli.options.common import names
    from federation.cli.session import answer_block, answer_json_line, note, opened
    from federation.deploy.prepare import JobRequest
    from federation.result import json_value
    from federation.text import shortened
    from federation.ui.index_compare import pairs_text
    from federation.workflows.dispatch import begin
    from federation.workflows.request import RunRequest
    from federation.workflows.result_code import compare_metrics, request_of_result
    from federation.workflows.run_observers import ObserverOptions

    with opened(config) as federation:
        row = federation.index.result(result, job=job, sort=sort)
        asked = RunRequest(JobRequest(regions=names(regions)), name=f"reproduces-{row.alloc_id[:8]}")
        request = request_of_result(federation, row, asked)
        if request.code is not None:
            note(f"Again: {shortened(' '.join(request.code.kept.command), 200)}; code {request.code.kept.sha256[:12]}")
        begun = begin(federation, request, skip_unreachable=False, tell=note)
        ended = follow_or_detach(federation, begun, [], ObserverOptions(), as_json=as_json)
        made = federation.index.query(run=begun[0].manifest.run, state="committed")
    if not made:
        raise typer.Exit(ended or 2)
    pairs = compare_metrics(row.metrics, made[0].metrics, tolerance, only=metric)
    agrees = all(pair.agrees for pair in pairs)
    if as_json:
        alloc_ids = [row.alloc_id, made[0].alloc_id]
        shown = [asdict(pair) | {"first": json_value(pair.first), "again": json_value(pair.again)} for pair in pairs]
        answer_json_line({"event": "compared", "alloc_ids": alloc_ids, "agrees": agrees, "metrics": shown})
    elif pairs:
        answer_block(pairs_text(pairs))
    note(f"{made[0].alloc_id} {'agrees with' if agrees else 'differs from'} {row.alloc_id}")
    raise typer.Exit(0 if agrees else 1)
