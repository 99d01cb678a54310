"""`fedml runs list`, `show` and `watch`: read runs from the home store. They change nothing."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from federation.cli.options.common import ConfigOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from federation.index.rows import RunRow

UNDRIVEN_SHOWN = 3
"""So many runs get a line with the command that continues them."""


def list_runs(
    job: Annotated[str | None, typer.Option("--job", metavar="ID", help="List only runs of this job.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the runs, newest first.

    An open run that no process drives is listed as undriven.

    Example:

      fedml runs list
    """
    from dataclasses import replace

    from federation.cli.session import answer_json, note, opened
    from federation.ui.run_view import show_runs
    from federation.workflows.runs import Runs

    with opened(config) as project:
        rows = project.index.runs(job=job)
        undriven = Runs(project).undriven(rows)
        if as_json:
            answer_json({"revision": project.index.revision, "runs": [_row_document(row, undriven) for row in rows]})
        elif not rows:
            note("No runs yet:  fedml dispatch")
        else:
            show_runs([replace(row, state="undriven") if row.run in undriven else row for row in rows])
            for run, driver in list(undriven.items())[:UNDRIVEN_SHOWN]:
                note(driver.remedy(run))


def _row_document(row: RunRow, undriven: Collection[str]) -> dict[str, Any]:
    from dataclasses import asdict

    from federation.index.rows import OPEN

    return asdict(row) | {"is_driven": row.run not in undriven if row.state == OPEN else None}


def show(
    run: RunArgument,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Also draw the attempts over time into this .svg or .png file."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a run with its slots and attempts.

    Shows why attempts ended, when they waited and when they computed. Exit code: 0 if the run is done or open, 2 if it
    failed or was cancelled.

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
    """Follow a run that another process drives.

    Prints the same progress lines until the run is over. Ctrl-C ends this command only, not the run. Exit code: 0 if
    every result is in the index, 2 if not.

    Example:

      fedml runs watch 0193
    """
    from federation.cli.session import answer_json_line, note, opened
    from federation.ui.run_progress import progress_display
    from federation.ui.run_view import end_document, end_line, exit_code
    from federation.workflows.follow_run import follow_run
    from federation.workflows.runs import Runs

    with opened(config) as project:
        manifest = Runs(project).manifest(Runs(project).find(run).run)
        with progress_display(manifest, as_json=as_json) as observe:
            row = follow_run(project, manifest.run, observe)
        if as_json:
            answer_json_line(end_document(row))
        note(end_line(row))
    raise typer.Exit(exit_code(row.state))
