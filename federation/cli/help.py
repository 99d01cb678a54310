"""`fedml help`: shows the help of a command by its name."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command("help")(show_help)


def show_help(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND]...", help="The command. Default: all commands.", show_default=False),
    ] = None,
) -> None:
    """Show the help of a command, as its `-h` does.

    Examples:

      fedml help dispatch

      fedml help runs cancel
    """
    from federation.cli.session import answer_block
    from federation.errors import UsageError

    shown: Any = context.find_root()
    for word in words or ():
        command = shown.command.get_command(shown, word) if hasattr(shown.command, "commands") else None
        if command is None:
            raise UsageError(
                f"{shown.command_path} has no command {word!r}", hint=f"see all commands: {shown.command_path} -h"
            )
        shown = type(shown)(command, info_name=word, parent=shown)
    answer_block(shown.get_help())
