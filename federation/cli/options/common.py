"""The options that many commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The fedml.toml (else FEDML_CONFIG, else found upward from here)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; everything else on stderr.")]
AllowStoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-store",
        metavar="URL",
        help="Also read this store, which fedml.toml doesn't have: without credentials. Repeatable.",
    ),
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or the beginning of it.")]


def _names_something(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """An empty list would mean all regions, where somebody asked for a limit (`--regions "$UNSET"`)."""
    source = context.get_parameter_source(str(parameter.name))
    if source is not None and source.name == "COMMANDLINE" and not names(value):
        raise typer.BadParameter("names no region")
    return value


RegionsOption = Annotated[
    str,
    typer.Option(
        "--regions",
        metavar="A,B",
        help="Only these regions: a hard limit, for retries too.",
        callback=_names_something,
    ),
]
JobOption = Annotated[
    str, typer.Option("--job", metavar="FILE", help="A jobspec, or a registered job's ID (else the project's own).")
]
VarOption = Annotated[
    list[str] | None, typer.Option("-var", "--var", metavar="NAME=VALUE", help="A variable of the jobspec.")
]
VarFileOption = Annotated[
    list[Path] | None, typer.Option("-var-file", "--var-file", metavar="FILE", help="Variables from a file.")
]
MetaOption = Annotated[
    list[str] | None, typer.Option("-meta", "--meta", metavar="KEY=VALUE", help="A parameter of the dispatch.")
]
SlotsOption = Annotated[
    int | None, typer.Option("-n", "--slots", metavar="N", help="How many slots (else one in each chosen region).")
]
VersionOption = Annotated[
    str | None,
    typer.Option("--version", metavar="V", help="The model version (else, or with `next`, the next whole number)."),
]
AllowDriftOption = Annotated[
    bool,
    typer.Option(
        "--allow-drift",
        help="Replace what somebody else changed in Nomad (where nothing is registered: take it as it is).",
    ),
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for other runs that still dispatch the job as it is.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Deploy although other runs still dispatch the job as it is.")
]
OnFailureOption = Annotated[
    str | None,
    typer.Option(
        "--on-failure",
        metavar="WHAT",
        help="What a region's failure means for others: fail_all (all are put back), fail_local (none), '' (those after it).",
    ),
]


def names(text: str) -> tuple[str, ...]:
    """`us,eu` as names, in the order given, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
