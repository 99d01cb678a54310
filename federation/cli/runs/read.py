"""`fedml runs list | show | watch`: what became of runs, read from the home store. Nothing is changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption, RunArgument


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
    from federation.ui.run_chart import plot as draw
    from federation.ui.run_view import exit_code, show_fit, show_story, show_timeline, story_document, timeline_document
    from federation.workflows.runs import Runs

    with opened(config) as project:
        runs = Runs(project)
        story = runs.story(run)
        timeline = runs.timeline(story)
        if plot is not None:
            draw(timeline, plot, title=f"run {story.manifest.run}, {story.manifest.job} {story.manifest.version}")
        if as_json:
            answer_json({**story_document(story), "timeline": timeline_document(timeline)})
        else:
            show_story(story)
            show_timeline(timeline)
            show_fit(timeline)
        if plot is not None:
            note(f"Drawn: {plot}")
    raise typer.Exit(exit_code(story.state))


def watch(run: RunArgument, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Follow a run that is driven elsewhere, until it is over. Ctrl-C ends the watching only. Exits as the run does.

    Example:

      fedml runs watch 0193
    """
    from federation.cli.session import answer_json_line, note, opened
    from federation.text import counted
    from federation.ui.run_progress import follower
    from federation.ui.run_view import exit_code
    from federation.workflows.follow_run import spectate
    from federation.workflows.runs import Runs

    with opened(config) as project:
        manifest = Runs(project).manifest(Runs(project).find(run).run)
        with follower(manifest, as_json=as_json) as observe:
            row = spectate(project, manifest.run, observe)
        if as_json:
            answer_json_line({"event": "end", "run": row.run, "state": row.state, "reason": row.reason})
        note(
            f"Run {row.run}: {row.state}{f' ({row.reason})' if row.reason else ''}, {counted(row.committed, 'result')}"
        )
    raise typer.Exit(exit_code(row.state))
