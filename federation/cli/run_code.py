"""`fedml run`: runs code of one's own in all regions, without a jobspec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options.code import CodeOptions, CodeRegionOptions, CodeSlotOptions, NeedsOptions, code_ask
from federation.cli.options.common import ConfigOption, JsonOption
from federation.cli.options.groups import DetachOptions, FollowOptions
from federation.cli.options.limits import LimitOptions
from federation.cli.options.planning import PlacingOptions, RunOptions

if TYPE_CHECKING:
    from federation.app import App
    from federation.workflows.run_code import CodeRun


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command("run")(run_code)


def run_code(
    code: CodeOptions,
    slots: CodeSlotOptions,
    needs: NeedsOptions,
    where: CodeRegionOptions,
    run: RunOptions,
    placing: PlacingOptions,
    limits: LimitOptions,
    detach: DetachOptions,
    follow: FollowOptions,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCRIPT...]",
            help="A Python script and its arguments; with --code a command. Write -- before arguments that begin with a dash.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Run your own code in all regions and wait for the results.

    The code is packed as it lies there, put into the store of each datacenter, and run once for each slot. A script brings
    its dependencies in its own block (PEP 723), a folder in uv.lock or requirements.txt. Parameters arrive as arguments
    and in the file $FEDML_PARAMS. What the code writes into $FEDML_OUTPUT is published; metrics.json there holds the
    metrics. Settings may stand in [tool.fedml] of the script's block or of pyproject.toml.

    Exit codes: 0 if every result is in the index, 2 if some slots failed or had no place, 1 for any other error.

    Examples:

      fedml run train.py --sweep lr=0.1,0.01 --sweep depth=3,5

      fedml run train.py -n 20 -p data=2026 --regions us,eu -- --epochs 20

      fedml run --code . --cpu 2000 --memory 4096 --gpu 1 -- python -m trainer --epochs 20

      fedml run --code . --pass env --params trials.csv -- node train.js

      fedml run train.py --write train.nomad.hcl
    """
    from federation.cli.dispatch import follow_or_detach, hosts_of, show_plan
    from federation.cli.options.common import names
    from federation.cli.session import answer_block, note, opened
    from federation.config.load import find
    from federation.deploy.prepare import JobRequest
    from federation.errors import ConfigError, UsageError
    from federation.workflows.dispatch import Deploying, begin
    from federation.workflows.run_code import code_run

    ask, regions = code_ask(words or (), code, needs), names(where.regions)
    request = slots.request(JobRequest(regions=regions), placing.placing(), patience=limits.patience(), name=run.name)
    observing, host_names = follow.observers(), detach.hosts(regions)
    try:
        find(config)
    except ConfigError as error:
        if config is not None:
            raise
        raise ConfigError(
            error.message, hint="make one, and start regions on this machine:  fedml init --bare && fedml dev up"
        ) from None
    with opened(config) as app:
        made = code_run(app, ask, note)
        if code.show and code.write is not None:
            raise UsageError("--show and --write exclude each other", hint="leave out one")
        if code.show:
            answer_block(made.text())
            return
        if code.write is not None:
            _write(app, made, code.write, regions)
            return
        request = made.request(made.packed(app.config.cache_dir, note), request)
        if run.failed_of:
            from federation.workflows.failed_slots import request_of_failed

            request, said = request_of_failed(app, run.failed_of, request)
            note(said)
        if where.dry_run:
            raise typer.Exit(show_plan(app, request, as_json=as_json))
        hosts = hosts_of(app, host_names) if detach.detach else []
        begun = begin(
            app,
            request,
            skip_unreachable=where.skip_unreachable,
            tell=note,
            deploying=Deploying(allow_drift=where.allow_drift),
        )
        exit_code = follow_or_detach(app, begun, hosts, observing, as_json=as_json)
    raise typer.Exit(exit_code)


def _write(app: App, made: CodeRun, file: Path, regions: tuple[str, ...]) -> None:
    """Writes the jobspec with its code, and puts the code into the stores."""
    from federation.cli.session import note
    from federation.workflows.run_code import write_jobspec

    write_jobspec(app, made, file, regions, note)
    note(f"Written: {file}.  Dispatch it:  fedml dispatch --job {file}")
