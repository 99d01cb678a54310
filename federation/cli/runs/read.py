"""`fedml runs list`, `show` and `watch`: read runs from the home store. They change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption, OpenOption, RunArgument

UNDRIVEN_SHOWN = 3
"""So many runs get a line with the command that continues them."""


def list_runs(
    job: Annotated[str | None, typer.Option("--job", metavar="ID", help="List only runs of this job.")] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="V", help="List only runs of this version.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="List only runs of this name.")] = None,
    region: Annotated[
        str | None, typer.Option("--region", metavar="REGION", help="List only runs that may use this region.")
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            "--state", metavar="STATE", help="List only runs that are open, undriven, done, failed or cancelled."
        ),
    ] = None,
    author: Annotated[
        str | None, typer.Option("--author", metavar="WHO", help="List only runs of this author: ann@host, or ann.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="List only the newest N. Default: all.")
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List the runs, newest first.

    The ID in the first column is the end of the run's ID. It names the run in every command, and so do the run's name,
    `last` for the first line and `last-1` for the next one. --json gives whole IDs. An open run that no process drives is
    listed as undriven.

    Examples:

      fedml runs list

      fedml runs list --state failed --author ann --limit 5
    """
    from dataclasses import replace

    from federation.cli.session import answer_json, note, opened
    from federation.ui.run_view import runs_document, show_runs
    from federation.workflows.run_list import UNDRIVEN, RunFilter
    from federation.workflows.run_list import list_runs as listed
    from federation.workflows.run_reader import RunReader

    with opened(config) as project:
        wanted = RunFilter(job, version, name, author, region)
        found = listed(RunReader(project), project.index, wanted, state=state, limit=limit)
        revision, short = project.index.revision, project.index.short_runs(row.run for row in found.rows)
    undriven = found.undriven
    if as_json:
        answer_json(runs_document(found, revision))
    elif found.rows:
        show_runs([replace(row, state=UNDRIVEN) if row.run in undriven else row for row in found.rows], short)
        for run, driver in list(undriven.items())[:UNDRIVEN_SHOWN]:
            note(driver.remedy(run))
    if found.remark:
        note(found.remark)


def show(
    run: RunArgument,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Also draw the attempts over time into this .svg file."),
    ] = None,
    curves: Annotated[
        bool,
        typer.Option(
            "--curves",
            help="Show the curves of each slot's metrics.jsonl instead: live from running tasks. Default: no.",
        ),
    ] = False,
    times: Annotated[
        bool,
        typer.Option(
            "--times", help="Show where each region's time went instead: waiting, fetching, computing. Default: no."
        ),
    ] = False,
    open_page: OpenOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show a run with its slots and attempts.

    Shows why attempts ended, when they waited and when they computed. With --curves, it shows what tasks log while they
    train: all slots of a metric on one scale. With --times, it shows what the time of all slots was spent on, and who
    should look there. With --open, a browser shows all of it. Exit code: 0 if the run is done or open, 2 if it
    failed or was cancelled.

    Examples:

      fedml runs show 9c41d07e

      fedml runs show 9c41d07e --plot run.svg

      fedml runs show last --curves

      fedml runs show last --open
    """
    from federation.cli.session import answer_json, note, opened
    from federation.cli.ui import show_page
    from federation.ui import run_story_view as view
    from federation.ui.curve_view import curves_document, show_curves
    from federation.ui.picture import require_svg, write_picture
    from federation.ui.run_chart import picture
    from federation.ui.run_view import exit_code
    from federation.workflows.run_curves import RunCurves
    from federation.workflows.run_curves import curves as read_curves
    from federation.workflows.runs import Runs

    if plot is not None:
        require_svg(plot)
    with opened(config) as project:
        runs = Runs(project)
        if open_page:
            show_page(project, f"/runs/{runs.find(run).run}")
            return
        story = runs.story(run)
        found = read_curves(project, story) if curves else RunCurves(())
        kept = runs.times(story.manifest.run)
        timeline = runs.timeline(story, kept)
        spent = runs.time_spent(story, timeline, kept)
        drawn = ""
        if plot is not None:
            label = f"run {story.manifest.run}, {story.manifest.job} {story.manifest.version}"
            drawn = write_picture(picture(timeline, label=label), plot)
        if as_json:
            more = curves_document(found) if curves else {}
            answer_json({**view.story_document(story), "timeline": view.timeline_document(timeline, spent), **more})
        elif curves:
            show_curves(found)
        elif times:
            view.show_times(spent)
        else:
            view.show_story(story)
            view.show_timeline(timeline)
            if line := view.spent_line(spent):
                note(line)
            view.show_fit(timeline)
        if drawn:
            note(drawn)
        for problem in found.problems:
            note(f"Not read: {problem}")
    raise typer.Exit(exit_code(story.state))


def watch(
    run: RunArgument,
    curves: Annotated[
        bool,
        typer.Option(
            "--curves",
            help="Draw the curves of each slot's metrics.jsonl. Without a terminal, only at the end. Default: no.",
        ),
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Follow a run that another process drives.

    Prints the same progress lines until the run is over, or draws its curves. Ctrl-C ends this command only, not the run.
    Exit code: 0 if every result is in the index, 2 if not.

    Examples:

      fedml runs watch 9c41d07e

      fedml runs watch last --curves
    """
    import sys
    import time

    from federation.cli.session import answer_json_line, note, opened
    from federation.ui.curve_view import curve_screen, curves_document, show_curves
    from federation.ui.run_progress import progress_display
    from federation.ui.run_view import end_document, end_line, exit_code
    from federation.workflows.follow_run import follow_run
    from federation.workflows.run_curves import curves as read_curves
    from federation.workflows.run_curves import watch_curves
    from federation.workflows.runs import Runs

    with opened(config) as project:
        runs = Runs(project)
        manifest = runs.manifest(runs.find(run).run)
        if curves and not as_json and sys.stdout.isatty():
            with curve_screen() as draw:
                row = watch_curves(project, manifest.run, draw, sleep=time.sleep)
        else:
            with progress_display(manifest, as_json=as_json) as observe:
                row = follow_run(project, manifest.run, observe)
        found = read_curves(project, runs.story(manifest.run)) if curves else None
        if as_json:
            answer_json_line(end_document(row) | (curves_document(found) if found else {}))
        elif found:
            show_curves(found)
        note(end_line(row))
    raise typer.Exit(exit_code(row.state))
