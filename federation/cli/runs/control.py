"""`fedml runs`: reads runs, resumes them and changes them. All their state is in the home store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from federation.cli.command_app import CommandApp
from federation.cli.options.common import (
    AgreedOption,
    ConfigOption,
    DryRunOption,
    JsonOption,
    RunArgument,
    YesOption,
    is_dry,
)
from federation.cli.options.groups import FollowOptions
from federation.cli.runs.logs import logs
from federation.cli.runs.read import list_runs, show, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from federation.app import App
    from federation.workflows.run_control import DriveRun, Note
    from federation.workflows.run_observers import ObserverOptions

app = CommandApp(help="Read runs, resume them, cancel them.", no_args_is_help=True)
app.command("list")(list_runs)
app.command("show")(show)
app.command("watch")(watch)
app.command("logs")(logs)


@app.command("resume")
def resume(
    run: RunArgument,
    follow: FollowOptions,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Continue a run that was interrupted.

    The run continues from its log, on any machine. Exit code: 0 if every result is in the index, 2 if not.

    Example:

      fedml runs resume 9c41d07e
    """
    from federation.workflows import run_control

    _control(config, as_json, lambda app, drive, note: run_control.resume(app, run, drive, note), follow.observers())


@app.command("cancel")
def cancel(
    run: RunArgument,
    reason: Annotated[
        str,
        typer.Option(
            "--reason", metavar="TEXT", help="Record this reason. `fedml runs show` and `list --json` show it."
        ),
    ] = "",
    yes: AgreedOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Cancel a run and stop its attempts.

    A terminal is asked first. Elsewhere --yes is needed. The end is recorded in the run's log first. Then open attempts are
    stopped in all regions that answer.

    Exit codes: 0 if the run is over, 2 if attempts may still run in a region that did not answer.

    Example:

      fedml runs cancel 9c41d07e --reason "wrong data"

      fedml runs cancel last --yes
    """
    from federation.cli.session import answer_json_line, is_agreed
    from federation.workflows import run_control

    ended = answer_json_line if as_json else lambda document: None

    def ask(about: str) -> bool:
        return is_agreed(f"{about}. Cancel it?")

    _control(
        config,
        as_json,
        lambda app, drive, note: run_control.cancel(app, run, reason, drive, note, ended, ask=None if yes else ask),
        is_cancel=True,
    )


@app.command("retry")
def retry(
    run: RunArgument,
    slots: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="[SLOT]...", help="The slots to try again. Default: all that failed.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Give failed slots new attempts.

    The request is recorded in the run's log. If another process drives the run, it makes the attempts. Otherwise this
    command continues the run.

    Examples:

      fedml runs retry 9c41d07e

      fedml runs retry 9c41d07e 17 42
    """
    from federation.workflows import run_control

    _control(config, as_json, lambda app, drive, note: run_control.retry(app, run, slots or (), drive, note))


@app.command("rebind")
def rebind(
    run: RunArgument,
    region: Annotated[str, typer.Option("--from", metavar="REGION", help="Move the attempts out of this region.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Move a region's open slots to other regions.

    The request is recorded in the run's log. If another process drives the run, it moves the slots. Otherwise this
    command continues the run. Attempts that still run in the region are stopped when it answers. A result that one of
    them published counts if it is the first for its slot.

    Example:

      fedml runs rebind 9c41d07e --from us
    """
    from federation.workflows import run_control

    _control(config, as_json, lambda app, drive, note: run_control.rebind(app, run, region, drive, note))


@app.command("coordinate")
def coordinate(run: RunArgument, config: ConfigOption = None) -> None:
    """Drive a run when no other process does.

    The jobs of `fedml dispatch --detach` run this command. It stands by while another process drives the run, and ends
    with the run. Exit code: 0 when the run is over, however it ended.

    Example:

      fedml runs coordinate 9c41d07e
    """
    import os

    from federation.cli.session import note, opened
    from federation.output.terminal import outliving_terminal
    from federation.ui.run_progress import progress_display
    from federation.ui.run_view import end_document, end_line
    from federation.workflows.detach import coordinator_config
    from federation.workflows.run_observers import ObserverOptions, observers
    from federation.workflows.runs import Runs

    with outliving_terminal(), opened(config or coordinator_config(os.environ)) as project:
        if config is None and project.config.dev is not None:
            os.chdir(project.config.root)  # paths of a jobspec count from where a person dispatched it
        runs = Runs(project)
        manifest = runs.manifest(runs.find(run).run)
        display = progress_display(manifest, as_json=False)
        with observers(manifest, project.config, ObserverOptions(), display, warn=note) as outputs:
            row = runs.coordinate(manifest.run, outputs.observe)
            outputs.ended(end_document(row))
        note(end_line(row))


@app.command("prune")
def prune(
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="Prune runs that ended longer ago than this: 36h, 30d, 8w."),
    ] = "30d",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Remove kept logs and leases of old runs.

    They are removed from the home store. The runs and their results stay.

    Example:

      fedml runs prune --older-than 8w

      fedml runs prune --older-than 8w --yes
    """
    from dataclasses import asdict
    from datetime import UTC, datetime, timedelta

    from federation.cli.session import answer_json, note, opened
    from federation.text import duration_s
    from federation.ui.run_view import show_pruned
    from federation.workflows.prune import prune as pruned

    dry_run = is_dry(yes=yes, dry_run=dry_run)
    age = timedelta(seconds=duration_s(older_than, "--older-than", least_s=0))
    with opened(config) as project:
        rows = list(pruned(project, older_than=age, now=datetime.now(UTC), is_dry=dry_run))
        short = project.index.short_runs(row.run for row in rows)
    if as_json:
        answer_json({"is_done": not dry_run, "runs": [asdict(row) for row in rows]})
        return
    if rows:
        show_pruned(rows, short)
    verb = "would be removed; nothing was written: add --yes" if dry_run and rows else "removed"
    note(f"{sum(row.objects for row in rows)} objects of {len(rows)} runs {verb}")


def _control(
    config: ConfigOption,
    as_json: bool,
    workflow: Callable[[App, DriveRun, Note], str],
    options: ObserverOptions | None = None,
    *,
    is_cancel: bool = False,
) -> NoReturn:
    """Runs a workflow that may drive a run, and exits with the code of the run's state. A cancel exits with 0 if it left no
    attempt."""
    from federation.cli.drive_run import run_driver
    from federation.cli.session import note, opened
    from federation.ui.run_view import exit_code

    left: dict[str, int] = {}
    with opened(config) as project:
        state = workflow(project, run_driver(project, options, as_json=as_json, left=left.update), note)
    if is_cancel and state == "cancelled":
        raise typer.Exit(2 if left else 0)
    raise typer.Exit(exit_code(state))
