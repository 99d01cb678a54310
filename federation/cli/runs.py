"""`fedml runs`: list, show, watch, resume, cancel, logs, prune. From any machine: all state is in the home store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options import ConfigOption, JsonOption, LogFileOption, MetricsFileOption, MetricsOption
from federation.cli.runs_logs import logs

if TYPE_CHECKING:
    from federation.ui.follow import Following

app = typer.Typer(help="Runs: what was dispatched, how it stands, and going on with it.", no_args_is_help=True)
app.command("logs")(logs)
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the beginning of it.")]


@app.command("list")
def list_runs(
    job: Annotated[str | None, typer.Option("--job", metavar="ID", help="Only runs of this job.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the runs, newest first.

    Example:

      fedml runs list
    """
    from dataclasses import asdict

    from federation.cli.session import answer_json, note, opened
    from federation.ui.console import out, table

    with opened(config) as project:
        rows = project.index.runs(job=job)
        if as_json:
            answer_json({"revision": project.index.revision, "runs": [asdict(row) for row in rows]})
        elif not rows:
            note("No runs yet:  fedml dispatch")
        else:
            shown = [
                (
                    row.run,
                    row.job,
                    row.version,
                    row.state,
                    row.slots,
                    f"{row.committed}/{row.expected_keys}",
                    row.opened,
                )
                for row in rows
            ]
            columns = ("run", "job", "version", "state", "slots", "results", "opened")
            out().print(table(columns, shown, numbers=("slots",)))


@app.command("show")
def show(
    run: RunArgument,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw it over time, as .svg or .png.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a run: its slots and attempts, why they ended, when they waited and computed. Exits as that run did.

    Examples:

      fedml runs show 0193

      fedml runs show 0193 --plot run.svg
    """
    from federation.cli.session import answer_json, note, opened
    from federation.runs import Runs
    from federation.ui.run_chart import plot as draw
    from federation.ui.run_view import exit_code, show_story, show_timeline, story_document, timeline_document

    with opened(config) as project:
        story = Runs(project).story(run)
        timeline = Runs(project).timeline(run)
        if plot is not None:
            draw(timeline, plot, title=f"run {story.manifest.run}, {story.manifest.job} {story.manifest.version}")
        if as_json:
            answer_json({**story_document(story), "timeline": timeline_document(timeline)})
        else:
            show_story(story)
            show_timeline(timeline)
        if plot is not None:
            note(f"Drawn: {plot}")
    raise typer.Exit(exit_code(story.state))


@app.command("watch")
def watch(run: RunArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Follow a run that is driven elsewhere, until it is over. Ctrl-C ends the watching only. Exits as the run does.

    Example:

      fedml runs watch 0193
    """
    from federation.cli.session import answer_json_line, note, opened
    from federation.runs import Runs
    from federation.spectate import spectate
    from federation.ui.run_progress import follower
    from federation.ui.run_view import exit_code

    with opened(config) as project:
        manifest = Runs(project).manifest(Runs(project).find(run).run)
        with follower(manifest, as_json=as_json) as observe:
            row = spectate(project, manifest.run, observe)
        if as_json:
            answer_json_line({"event": "end", "run": row.run, "state": row.state, "reason": row.reason})
        note(f"Run {row.run}: {row.state}{f' ({row.reason})' if row.reason else ''}, {row.committed} results")
    raise typer.Exit(exit_code(row.state))


@app.command("resume")
def resume(
    run: RunArgument,
    metrics: MetricsOption = "",
    metrics_file: MetricsFileOption = None,
    log_file: LogFileOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Go on with a run that was interrupted, from wherever it was left. Exits as the run does.

    Example:

      fedml runs resume 0193
    """
    from federation.ui.follow import Following

    _drive(run, as_json, config, Following(metrics, metrics_file, log_file))


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
    from federation.ui.follow import Following

    _drive(run, as_json, config, Following(), cancel=reason)


@app.command("coordinate")
def coordinate(run: RunArgument, config: ConfigOption = None) -> None:
    """Drive a run whenever nobody else does, until it is over: what the jobs of `fedml dispatch --detach` do.

    Exit code 0 when the run is over, however it ended.

    Example:

      fedml runs coordinate 0193
    """
    import os

    from federation.cli.session import note, opened
    from federation.detach import CONFIG_META, PAYLOAD_FILE
    from federation.runs import Runs
    from federation.ui.follow import Following, following

    if config is None and "NOMAD_META_fedml_resume" in os.environ:
        told = os.environ.get(f"NOMAD_META_{CONFIG_META}")
        config = Path(told) if told else Path(os.environ["NOMAD_TASK_DIR"]) / PAYLOAD_FILE
    with opened(config) as project:
        runs = Runs(project)
        manifest = runs.manifest(runs.find(run).run)
        with following(manifest, project.config, Following(), as_json=False, warn=note) as followers:
            row = runs.coordinate(manifest.run, followers.observe)
            followers.ended({"event": "end", "run": row.run, "state": row.state, "reason": row.reason})
        note(f"Run {row.run}: {row.state}{f' ({row.reason})' if row.reason else ''}, {row.committed} results")


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
    from datetime import UTC, datetime

    from federation.cli.session import answer_json, note, opened
    from federation.index.retention import parse_age
    from federation.prune import prune as pruned
    from federation.ui.console import out, table

    age = parse_age(older_than)
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


def _drive(run: str, as_json: bool, config: ConfigOption, also: Following, *, cancel: str | None = None) -> None:
    from federation.cli.drive import driven
    from federation.cli.session import answer_json_line, note, opened
    from federation.runs import Runs
    from federation.ui.run_view import exit_code

    with opened(config) as project:
        runs = Runs(project)
        row = runs.find(run)
        if row.state in ("done", "cancelled"):
            note(f"Run {row.run} is {row.state}: there is nothing to go on with")
            for region, children in runs.stop_stale(row.job, tuple(project.config.regions)).items():
                note(f"{region}: stopped {len(children)} attempts that runs left there when it could not be reached")
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
