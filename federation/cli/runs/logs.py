"""`fedml runs logs`: what a run's tasks wrote, live or as it was kept."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption, RunArgument


def logs(
    run: RunArgument,
    slot: Annotated[int | None, typer.Argument(metavar="[SLOT]", help="Only this slot.", show_default=False)] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only attempts that failed.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run is over (Ctrl-C ends it).")
    ] = False,
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="Only this task.")] = "",
    stderr: Annotated[bool, typer.Option("--stderr", help="Only what went to stderr.")] = False,
    stdout: Annotated[bool, typer.Option("--stdout", help="Only what went to stdout.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print what a run's tasks wrote: live from its regions, or as it was kept in the home store when Nomad has forgotten.

    On a terminal control characters are shown as escapes (\\x1b); a pipe or a file gets what the tasks wrote.
    Of a failed attempt the last 256 KB of each stream are kept, of a good one 64 KB, without credentials.

    Examples:

      fedml runs logs 0193

      fedml runs logs 0193 17 --failed

      fedml runs logs 0193 --follow --task train
    """
    from dataclasses import asdict

    from federation.cli.session import answer, answer_json_line, note, opened
    from federation.streams import write_task_output
    from federation.visible import visible_line
    from federation.workflows.run_output import Kind, Wanted, Written, followed, written

    kinds: tuple[Kind, ...] = ("stdout", "stderr") if stdout == stderr else ("stdout",) if stdout else ("stderr",)
    wanted = Wanted(slot, failed, task, kinds)

    def show(piece: Written) -> None:
        if as_json:
            answer_json_line(asdict(piece))
        elif follow:
            head = visible_line(f"slot {piece.slot} {piece.task} | ")
            for line in piece.text.rstrip("\n").split("\n"):
                write_task_output(head + line)
        else:
            kept = ", kept" if piece.is_kept else ""
            attempt = f", attempt {piece.attempt}" if piece.attempt > 1 else ""
            answer(f"==> slot {piece.slot}{attempt}, {piece.region}, task {piece.task}, {piece.kind}{kept} <==")
            write_task_output(piece.text.rstrip("\n"))

    with opened(config) as project:
        is_empty = True
        for piece in followed(project, run, wanted) if follow else written(project, run, wanted):
            is_empty = False
            show(piece)
        if is_empty:
            note("Nothing was written" + (" by attempts that failed" if failed else ""))
