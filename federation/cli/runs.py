"""`fedml runs`: list them, show one, go on with one, cancel one. From any machine: all state is in the home store."""

from __future__ import annotations

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
def show(run: RunArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show a run: each slot, its attempts and why they ended. Exits as that run did (0 done, 2 failed).

    Example:

      fedml runs show 0193
    """
    from federation.cli.session import answer_json, opened
    from federation.runs import Runs
    from federation.ui.run_view import exit_code, show_story, story_document

    with opened(config) as project:
        story = Runs(project).story(run)
        if as_json:
            answer_json(story_document(story))
        else:
            show_story(story)
    raise typer.Exit(exit_code(story.state))


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
            lambda observe: runs.resume(row.run, observe, cancel=cancel),
            as_json=as_json,
        )
    raise typer.Exit(code)
