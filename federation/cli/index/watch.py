"""`fedml index watch`: whatever is committed, tagged or retired, told once it has happened, and a command run for each."""

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
        typer.Option("--hooks", help="Run index_commit, index_tag and index_retire of [hooks] in fedml.toml for each."),
    ] = False,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Who watches: each name has a place of its own in the log.")
    ] = "hooks",
    after: Annotated[
        int | None, typer.Option(min=0, metavar="REVISION", help="Begin after this one (0: with the first).")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Deal with what there is, and end.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Tell every commit, tag and retirement, and with --hooks run a command for each, until interrupted.

    At least once: how far it got is kept in the home store, under --name, and whoever goes on under that name begins there
    (the first time: with what comes from now on). A command that fails ends it with exit code 1 and is run again by the next.
    A commit itself runs and waits for nothing. The command gets FEDML_EVENT, FEDML_ALLOC_ID, FEDML_TAG and the like, and
    the whole event as JSON on its standard input.

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
