"""`fedml runs`: read runs and change what becomes of them. From any machine: all state is in the home store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption, RunArgument
from federation.cli.options.groups import FollowOptions, grouped
from federation.cli.runs.logs import logs
from federation.cli.runs.read import list_runs, show, watch

if TYPE_CHECKING:
    from federation.app import App
    from federation.ui.followers import Following

app = typer.Typer(help="Runs: what was dispatched, how it stands, and going on with it.", no_args_is_help=True)
app.command("list")(list_runs)
app.command("show")(show)
app.command("watch")(watch)
app.command("logs")(logs)


@app.command("resume")
@grouped
def resume(
    run: RunArgument,
    follow: FollowOptions,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Go on with a run that was interrupted, from wherever it was left. Exits as the run does.

    Example:

      fedml runs resume 0193
    """
    _drive(run, as_json, config, follow.following())


@app.command("cancel")
def cancel(
    run: RunArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever reads the run's log.")] = "cancelled",
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """End a run: recorded first, then everything that is open in a reachable region is stopped. Exit code 2.

    Example:

      fedml runs cancel 0193 --reason "wrong data"
    """
    from federation.ui.followers import Following

    _drive(run, as_json, config, Following(), cancel=reason)


@app.command("retry")
def retry(
    run: RunArgument,
    slots: Annotated[
        list[int] | None, typer.Argument(metavar="[SLOT]...", help="Only these.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Give failed slots new attempts: in the run's log first, so that whoever drives it does it; else it goes on here.

    Examples:

      fedml runs retry 0193

      fedml runs retry 0193 17 42
    """
    from federation.cli.session import note, opened
    from federation.workflows.runs import Runs

    with opened(config) as project:
        runs = Runs(project)
        row = runs.find(run)
        chosen = runs.retry(row.run, slots or ())
        note(f"Run {row.run}: {len(chosen)} failed slot{'s' if len(chosen) != 1 else ''} tried again")
        raise typer.Exit(_go_on(project, row.run, as_json=as_json))


@app.command("rebind")
def rebind(
    run: RunArgument,
    region: Annotated[str, typer.Option("--from", metavar="REGION", help="The region that is given up on.")],
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Bind elsewhere what is open in a region: in the run's log first, so that whoever drives it does it; else here.

    What still runs there is stopped when the region answers; a result that it gave meanwhile counts, if it is first.

    Example:

      fedml runs rebind 0193 --from us
    """
    from federation.cli.session import note, opened
    from federation.workflows.runs import Runs

    with opened(config) as project:
        runs = Runs(project)
        row = runs.find(run)
        count = runs.rebind(row.run, region)
        note(f"Run {row.run}: {count} open attempt{'s' if count != 1 else ''} in {region} bound elsewhere")
        raise typer.Exit(_go_on(project, row.run, as_json=as_json))


@app.command("coordinate")
def coordinate(run: RunArgument, config: ConfigOption = None) -> None:
    """Drive a run whenever nobody else does, until it is over: what the jobs of `fedml dispatch --detach` do.

    Exit code 0 when the run is over, however it ended.

    Example:

      fedml runs coordinate 0193
    """
    import os

    from federation.cli.session import note, opened
    from federation.text import counted
    from federation.ui.followers import Following, following
    from federation.workflows.detach import CONFIG_META, PAYLOAD_FILE
    from federation.workflows.runs import Runs

    if config is None and "NOMAD_META_fedml_resume" in os.environ:
        told = os.environ.get(f"NOMAD_META_{CONFIG_META}")
        config = Path(told) if told else Path(os.environ["NOMAD_TASK_DIR"]) / PAYLOAD_FILE
    with opened(config) as project:
        runs = Runs(project)
        manifest = runs.manifest(runs.find(run).run)
        with following(manifest, project.config, Following(), as_json=False, warn=note) as followers:
            row = runs.coordinate(manifest.run, followers.observe)
            followers.ended({"event": "end", "run": row.run, "state": row.state, "reason": row.reason})
        note(
            f"Run {row.run}: {row.state}{f' ({row.reason})' if row.reason else ''}, {counted(row.committed, 'result')}"
        )


@app.command("prune")
def prune(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="Runs that ended longer ago: 36h, 30d, 8w.")
    ] = "30d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Remove what old runs left for reading in the home store: kept logs and leases. Runs and results stay.

    Example:

      fedml runs prune --older-than 8w --dry-run
    """
    from dataclasses import asdict
    from datetime import UTC, datetime, timedelta

    from federation.cli.session import answer_json, note, opened
    from federation.text import duration_s
    from federation.ui.console import out, table
    from federation.workflows.prune import prune as pruned

    age = timedelta(seconds=duration_s(older_than, "--older-than", least_s=0))
    with opened(config) as project:
        rows = list(pruned(project, older_than=age, now=datetime.now(UTC), is_dry=dry_run))
    if as_json:
        answer_json({"dry_run": dry_run, "runs": [asdict(row) for row in rows]})
        return
    if rows:
        shown = [(row.run, row.job, row.closed, row.objects, row.size_bytes) for row in rows]
        out().print(table(("run", "job", "closed", "objects", "bytes"), shown, numbers=("objects", "bytes")))
    verb = "would go" if dry_run else "gone"
    note(f"{sum(row.objects for row in rows)} objects of {len(rows)} runs {verb}")


def _go_on(project: App, run: str, *, as_json: bool) -> int:
    """Drive the run, unless somebody does; its exit code (0 where somebody else drives it)."""
    from federation.cli.run_session import driven
    from federation.cli.session import note
    from federation.errors import RunIsDriven
    from federation.ui.followers import Following
    from federation.workflows.runs import Runs

    runs = Runs(project)
    try:
        return driven(
            runs.manifest(run),
            project.config,
            Following(),
            lambda observe: runs.resume(run, observe),
            as_json=as_json,
        )
    except RunIsDriven as error:
        note(f"{error}: it is done there.  Follow it:  fedml runs watch {run}")
        return 0


def _drive(run: str, as_json: bool, config: ConfigOption, also: Following, *, cancel: str | None = None) -> None:
    from federation.cli.run_session import driven
    from federation.cli.session import answer_json_line, note, opened
    from federation.text import counted
    from federation.ui.run_view import exit_code
    from federation.workflows.runs import Runs

    with opened(config) as project:
        runs = Runs(project)
        row = runs.find(run)
        if row.state in ("done", "cancelled"):
            note(f"Run {row.run} is {row.state}: there is nothing to go on with")
            for region, children in runs.stop_stale(row.job, tuple(project.config.regions)).items():
                stopped = counted(len(children), "attempt")
                note(f"{region}: stopped {stopped} that runs left there when it could not be reached")
            raise typer.Exit(exit_code(row.state))
        if cancel is not None and runs.cancel_unstarted(row.run, cancel):
            note(f"Run {row.run}: cancelled; nothing of it had been dispatched")
            if as_json:
                answer_json_line({"event": "end", "run": row.run, "state": "cancelled", "reason": cancel})
            raise typer.Exit(exit_code("cancelled"))
        code = driven(
            runs.manifest(row.run),
            project.config,
            also,
            lambda observe: runs.resume(row.run, observe) if cancel is None else runs.cancel(row.run, cancel, observe),
            as_json=as_json,
        )
    raise typer.Exit(code)
