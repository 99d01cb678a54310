"""`fedml dispatch`: deploys what the file changed, dispatches, watches until all is in the index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption, names
from federation.cli.options.groups import DetachOptions, FollowOptions, JobOptions, RolloutOptions, grouped
from federation.cli.options.limits import LimitOptions
from federation.cli.options.planning import PlacingOptions, SlotOptions


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dispatch")(grouped(dispatch))


def dispatch(
    slots: SlotOptions,
    placing: PlacingOptions,
    limits: LimitOptions,
    job: JobOptions,
    rollout: RolloutOptions,
    detach: DetachOptions,
    follow: FollowOptions,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Dispatch what `fedml plan --out FILE` planned; refuse if it changed."
        ),
    ] = None,
    skip_unreachable: Annotated[
        bool, typer.Option("--skip-unreachable", help="Go on without regions that don't answer, or refuse.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Deploy the job where its file changed, dispatch the slots by free capacity, and watch until all is in the index.

    Failed slots are tried again elsewhere. Ctrl-C keeps all state and names the command that goes on. Exit code 0: every
    result is in the index; 2: some slots failed or had no place; 1: any other error.

    Examples:

      fedml dispatch --regions us,eu --version 4

      fedml dispatch -n 200 -meta epochs=3

      fedml dispatch --sweep lr=0.1,0.01 --sweep depth=3,5 --policy cheapest

      fedml dispatch -n 500 --canary 2 --on-failure fail_all

      fedml dispatch -n 500 --detach --on us,eu

      fedml dispatch -n 5 -var count=2 --json
    """
    from federation.cli.detached_session import coordinator_hosts, detached
    from federation.cli.run_session import driven
    from federation.cli.session import note, opened
    from federation.errors import UsageError
    from federation.workflows.dispatch import begin
    from federation.workflows.runs import Runs
    from federation.workflows.saved_plan import read_plan

    request = slots.request(job.request(), placing.placing(), patience=limits.patience())
    how = rollout.deploying(isolate=rollout.isolate, canary=rollout.canary)
    also = follow.following()
    saved = read_plan(plan, instead_of=request) if plan is not None else None
    with opened(config) as app:
        if detach.on and not detach.detach:
            raise UsageError("--on names the regions of a detached run's coordinators", hint="add --detach")
        hosts = coordinator_hosts(app, names(detach.on) or job.names[:1]) if detach.detach else []
        opened_run, prepared = begin(
            app, request, skip_unreachable=skip_unreachable, tell=note, saved=saved, deploying=how
        )
        if hosts:
            detached(app, hosts, opened_run.manifest.run, as_json=as_json)
            return
        code = driven(
            opened_run.manifest,
            app.config,
            also,
            lambda observe: Runs(app).start(opened_run, prepared, observe),
            as_json=as_json,
        )
    raise typer.Exit(code)
