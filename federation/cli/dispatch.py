"""`fedml dispatch`: deploys the job where its file changed, dispatches slots and follows the run to its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption, SkipUnreachableOption
from federation.cli.options.groups import DetachOptions, FollowOptions, JobOptions, RolloutOptions
from federation.cli.options.limits import LimitOptions
from federation.cli.options.planning import PlacingOptions, RunOptions, SlotOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from federation.app import App, PreparedJob
    from federation.workflows.detach import Host
    from federation.workflows.open_run import Opened
    from federation.workflows.request import RunRequest
    from federation.workflows.run_observers import ObserverOptions
    from federation.workflows.saved_plan import SavedPlan


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command("dispatch")(dispatch)


def dispatch(
    slots: SlotOptions,
    run: RunOptions,
    placing: PlacingOptions,
    limits: LimitOptions,
    job: JobOptions,
    rollout: RolloutOptions,
    detach: DetachOptions,
    follow: FollowOptions,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="FILE",
            help="Dispatch the plan that `fedml plan --out FILE` saved. Refuse it if it no longer holds.",
            rich_help_panel=PlacingOptions.HEADING,
        ),
    ] = None,
    skip_unreachable: SkipUnreachableOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Deploy the job, dispatch its slots and wait for the results.

    The job is registered where it differs from its file. Slots go to the regions that have free capacity. The command
    ends when every result is in the index. Failed slots are tried again in other regions. Ctrl-C keeps all state and
    prints the command that continues the run.

    Exit codes: 0 if every result is in the index, 2 if some slots failed or had no place, 1 for any other error.

    Examples:

      fedml dispatch --regions us,eu --version 4

      fedml dispatch -n 200 -meta epochs=3 --name nightly

      fedml dispatch --sweep lr=0.1,0.01 --sweep depth=3,5 --policy cheapest

      fedml dispatch -n 500 --canary 2 --on-failure fail_all

      fedml dispatch -n 500 --detach --on us,eu

      fedml dispatch -n 5 -var count=2 --json

      fedml dispatch --failed-of 9c41d07e

      fedml dispatch -n 200 --dry-run
    """
    from federation.cli.drive_run import import_driver
    from federation.cli.session import note, opened
    from federation.errors import UsageError
    from federation.workflows.dispatch import begin

    request = slots.request(job.request(), placing.placing(), patience=limits.patience(), name=run.name)
    deploying = rollout.deploying(isolate=rollout.isolate, canary=rollout.canary)
    observing, host_names = follow.observers(), detach.hosts(job.names)
    if plan is not None and run.failed_of:
        raise UsageError("--plan already says what is dispatched", hint="leave out --failed-of")
    if plan is not None and rollout.dry_run:
        raise UsageError("--plan already says what would be dispatched", hint="leave out --dry-run")
    saved = _saved(plan, request) if plan is not None else None
    with opened(config) as app:
        if run.failed_of:
            from federation.workflows.failed_slots import request_of_failed

            request, said = request_of_failed(app, run.failed_of, request)
            note(said)
        if rollout.dry_run:
            raise typer.Exit(show_plan(app, request, as_json=as_json))
        hosts = hosts_of(app, host_names) if detach.detach else []
        begun = begin(
            app,
            request,
            skip_unreachable=skip_unreachable,
            tell=note,
            saved=saved,
            deploying=deploying,
            meanwhile=import_driver,
        )
        code = follow_or_detach(app, begun, hosts, observing, as_json=as_json)
    raise typer.Exit(code)


def _saved(plan: Path, request: RunRequest) -> SavedPlan:
    from federation.workflows.saved_plan import read_plan

    return read_plan(plan, instead_of=request)


def hosts_of(app: App, names: Sequence[str]) -> list[Host]:
    from federation.workflows.detach import coordinator_regions

    return coordinator_regions(app, names)


def follow_or_detach(
    app: App, begun: tuple[Opened, PreparedJob], hosts: Sequence[Host], observing: ObserverOptions, *, as_json: bool
) -> int:
    """Drives an opened run to its end, or starts its coordinators in the regions of `hosts`. Returns the exit code."""
    from federation.cli.drive_run import run_driver
    from federation.ui.run_view import exit_code
    from federation.workflows.runs import Runs

    opened_run, prepared = begun
    if hosts:
        _detach(app, hosts, opened_run.manifest.run, as_json=as_json)
        return 0
    drive = run_driver(app, observing, as_json=as_json)
    return exit_code(drive(opened_run.manifest, lambda observe: Runs(app).start(opened_run, prepared, observe)))


def show_plan(app: App, request: RunRequest, *, as_json: bool) -> int:
    """Prints what a dispatch would do, as `plan` does, and returns the exit code: 2 if a slot has no place."""
    from federation.cli.plan import show_preview
    from federation.cli.session import note
    from federation.workflows.plan import preview

    made = preview(app, request)
    made.require_an_answer()
    show_preview(made, app, as_json=as_json)
    note("Nothing was dispatched (--dry-run).")
    return 0 if made.plan.is_complete else 2


def _detach(app: App, hosts: Sequence[Host], run: str, *, as_json: bool) -> None:
    """Starts the coordinators and prints which one drives the run. Raises the first error when none could be started."""
    from dataclasses import asdict

    from federation.cli.session import answer_json_line, note
    from federation.workflows.detach import has_failed, is_taken_up, start, why_not

    coordinators = start(app.config, hosts, run)
    for coordinator in coordinators:
        note(f"{coordinator.region:<10} coordinator {coordinator.job_id}")
    is_driven = is_taken_up(
        app.home,
        run,
        is_hopeless=lambda: all(has_failed(app.client(one.region), one.job_id) for one in coordinators),
    )
    causes = {} if is_driven else {one.region: why_not(app.client(one.region), one.job_id) for one in coordinators}
    if as_json:
        rows = [asdict(one) | ({"problem": causes[one.region]} if causes else {}) for one in coordinators]
        answer_json_line({"event": "detached", "run": run, "coordinators": rows, "is_driven": is_driven})
    if not is_driven:
        first = coordinators[0]
        note("No coordinator drives the run yet:")
        for region, cause in causes.items():
            note(f"  {region}: {cause}")
        note(f"See more:  nomad job status -region {first.region} {first.job_id}")
        note(f"Drive it from this machine instead:  fedml runs resume {run}")
    note(f"Follow it:  fedml runs watch {run}")
