"""`fedml runs logs`: prints what a run's tasks wrote, live or as it was kept."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption, RunArgument


def logs(
    run: RunArgument,
    slot: Annotated[
        int | None,
        typer.Argument(metavar="[SLOT]", help="The slot to print. Default: all slots.", show_default=False),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Print only attempts that failed.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new output until the run is over. Ctrl-C ends it.")
    ] = False,
    task: Annotated[str, typer.Option("--task", metavar="NAME", help="Print only this task's output.")] = "",
    stderr: Annotated[bool, typer.Option("--stderr", help="Print only standard error. Default: both streams.")] = False,
    stdout: Annotated[
        bool, typer.Option("--stdout", help="Print only standard output. Default: both streams.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print what a run's tasks wrote.

    The output comes live from the regions, or from the home store when Nomad has removed it. The home store keeps the
    last 256 KB of each stream of a failed attempt, without credentials, and 64 KB of the first 100 good attempts of a
    run (another number: `keep_logs` in fedml.toml). On a terminal, control
    characters are shown as escapes (\\x1b). A pipe or file receives the output unchanged.

    Examples:

      fedml runs logs 9c41d07e

      fedml runs logs 9c41d07e 17 --failed

      fedml runs logs 9c41d07e --follow --task train
    """
    from dataclasses import asdict

    from federation.cli.session import answer_json_line, note, opened
    from federation.ui.run_view import show_task_line, show_task_output
    from federation.workflows.run_output import Kind, Wanted, followed, written

    kinds: tuple[Kind, ...] = ("stdout", "stderr") if stdout == stderr else ("stdout",) if stdout else ("stderr",)
    wanted = Wanted(slot, failed, task, kinds)
    show = (
        (lambda piece: answer_json_line(asdict(piece))) if as_json else show_task_line if follow else show_task_output
    )
    with opened(config) as project:
        is_empty = True
        for piece in followed(project, run, wanted) if follow else written(project, run, wanted):
            is_empty = False
            show(piece)
        if is_empty:
            by = " by attempts that failed" if failed else ""
            note(f"Nothing was written{by}, or Nomad has removed it and it was not kept (`keep_logs` in fedml.toml)")
