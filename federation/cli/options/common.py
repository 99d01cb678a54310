"""Options that many commands share. Each is declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federation.cli.help_page import GENERAL

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Use this fedml.toml. Default: FEDML_CONFIG, else the nearest one in this folder or above it.",
        rich_help_panel=GENERAL,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="Print JSON on standard output. Everything else goes to standard error.", rich_help_panel=GENERAL
    ),
]
OpenOption = Annotated[
    bool,
    typer.Option("--open", help="Open its page in a browser (`fedml ui`). Ctrl-C ends it.", rich_help_panel=GENERAL),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Change nothing. Print what would be done.", rich_help_panel=GENERAL)
]
SkipUnreachableOption = Annotated[
    bool,
    typer.Option(
        "--skip-unreachable",
        help="Leave out regions that do not answer or refuse. Default: stop with an error.",
        rich_help_panel="Job and regions",
    ),
]
YesOption = Annotated[
    bool,
    typer.Option("--yes", help="Do it. Default: only print what would be done.", rich_help_panel=GENERAL),
]
AgreedOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
AllowStoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-store",
        metavar="URL",
        help="Also read this store, which fedml.toml does not name. No credentials are sent. Repeatable.",
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run: its ID or a part of it, its name, last, or last-1 (the one before)."),
]
JobFileArgument = Annotated[
    str, typer.Argument(metavar="[FILE]", help="A jobspec file. Default: the project's job.", show_default=False)
]


def _names_something(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """Refuses an empty list, which would mean all regions although a limit was asked for (`--regions "$UNSET"`)."""
    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source.name == "COMMANDLINE" and not names(value):
        raise typer.BadParameter("names no region")
    return value


RegionsOption = Annotated[
    str,
    typer.Option(
        "--regions",
        metavar="A,B",
        help="Use only these regions, for retries too. Default: all regions.",
        callback=_names_something,
    ),
]
JobOption = Annotated[
    str,
    typer.Option(
        "--job",
        metavar="FILE",
        help="Use this jobspec file, or the registered job with this ID. Default: the project's job.",
    ),
]
VarOption = Annotated[
    list[str] | None,
    typer.Option("-var", "--var", metavar="NAME=VALUE", help="Set a variable of the jobspec. Repeatable."),
]
VarFileOption = Annotated[
    list[Path] | None,
    typer.Option("-var-file", "--var-file", metavar="FILE", help="Read jobspec variables from this file. Repeatable."),
]


def is_dry(*, yes: bool, dry_run: bool) -> bool:
    """Whether a command that needs `--yes` only prints what it would do. Raises UsageError for both options."""
    if yes and dry_run:
        from federation.errors import UsageError

        raise UsageError("--yes and --dry-run exclude each other", hint="leave out one")
    return not yes


def names(text: str) -> tuple[str, ...]:
    """Splits `us,eu` into names, in the order given, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
