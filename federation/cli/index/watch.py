"""`fedml index watch`: print each commit, tag and retirement after it happened, and run a command for it."""

from __future__ import annotations

from typing import Annotated

import typer

from federation.cli.options.common import ConfigOption, JsonOption

WATCH_PAUSE_S = 5.0


def register(app: typer.Typer) -> None:
    """Add the command to `fedml index`."""
    app.command()(watch)


def watch(
    hooks: Annotated[
        bool,
        typer.Option(
            "--hooks", help="Run index_commit, index_tag or index_retire of [hooks] in fedml.toml for each event."
        ),
    ] = False,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="The name under which the position in the log is kept.")
    ] = "hooks",
    after: Annotated[
        int | None, typer.Option(min=0, metavar="REVISION", help="Begin after this revision (0: with the first).")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when there is nothing new.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Print every commit, tag and retirement until interrupted. With --hooks, run a command for each.

    The position is kept in the home store under --name, and the next watch under that name continues there (the first one:
    with new events). Each event is delivered at least once. A command that fails ends the watch with exit code 1, and the
    next watch runs it again. Commits don't wait for a watch. The command gets FEDML_EVENT, FEDML_ALLOC_ID, FEDML_TAG and the
    like, and the whole event as JSON on its standard input.

    Examples:

      fedml index watch --hooks

      fedml index watch --hooks --once --name nightly

      fedml index watch --after 0 --json
    """
    import time

    from federation.cli.session import answer, answer_json_line, note, opened
    from federation.ui.index_history import event_text
    from federation.workflows.index_watch import IndexWatch

    with opened(config) as federation:
        watch = IndexWatch(federation, name, after, hooks=hooks)
        note(f"{name}: what comes after revision {watch.start}" + ("" if once else " (Ctrl-C ends)"))
        for event in watch.events(
            pause=None if once else lambda: time.sleep(WATCH_PAUSE_S),
            unreachable=lambda error: note(f"Warning: {error} (asked again)"),
        ):
            if as_json:
                answer_json_line(event)
            else:
                answer(event_text(event))
