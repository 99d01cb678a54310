"""`fedml dev`: a federation on this machine, for one project folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from federation.dev.lifecycle import ServerStatus

app = typer.Typer(
    help="A federation on this machine: the regions and stores that [dev] in fedml.toml declares.",
    no_args_is_help=True,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="PATH", help="The fedml.toml to use; else FEDML_CONFIG, else found upward."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def up(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait until ready.")
    ] = 60.0,
) -> None:
    """Start what isn't running and wait until all of it is ready.

    What runs already is left alone; a region that died is started again with its data. Tasks of these regions run as
    you, on this machine, without a sandbox (Nomad's raw_exec): a development engine, no production.

    Examples:

      fedml dev up

      fedml dev up --json | jq -r '.servers[] | "\\(.name) \\(.address)"'
    """
    from federation.config import load
    from federation.dev import lifecycle
    from federation.dev.state import token_path

    project = load(config)
    for warning in project.warnings:
        _tell(f"Warning: {warning}")
    found = lifecycle.up(project, _tell, deadline_s=timeout)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "servers": lifecycle.as_json(found.servers),
                    "started": list(found.started),
                    "outdated": list(found.outdated),
                    "token_file": str(token_path(project.root)),
                }
            )
        )
    else:
        typer.echo(_table(found.servers))
    if not found.started:
        _tell("Already up: nothing was started.")
    if found.outdated:
        _tell(
            f"{', '.join(found.outdated)} still run with older settings: `fedml dev down` and `fedml dev up` apply the new."
        )
    _tell("Next: `fedml plan`, `fedml dispatch`, `fedml index list`. `fedml dev down` ends it.")


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What each server is doing: ready, silent (runs but doesn't answer) or down.

    Examples:

      fedml dev status

      fedml dev status --json
    """
    from federation.config import load
    from federation.dev import lifecycle

    found = lifecycle.status(load(config))
    typer.echo(json.dumps({"servers": lifecycle.as_json(found)}) if as_json else _table(found))
    if any(server.state != "ready" for server in found):
        _tell("`fedml dev up` starts what is down.")


@app.command()
def down(
    config: ConfigOption = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the regions' data and the local stores' objects too.")
    ] = False,
) -> None:
    """End the servers and every task they run, and nothing else. Data is kept for the next `up`.

    Folders that hold results (`file://` stores) are never touched.

    Examples:

      fedml dev down

      fedml dev down --purge
    """
    from federation.config import find
    from federation.dev import lifecycle

    ended = lifecycle.down(find(config).parent, _tell, purge=purge)
    names = ", ".join(key.replace(":", " ") for key in ended)
    _tell(f"Ended: {names}." if ended else "Nothing was running.")


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _table(found: tuple[ServerStatus, ...]) -> str:
    rows = [("KIND", "NAME", "STATE", "ADDRESS", "WHAT")]
    rows += [(each.kind, each.name, each.state, each.address or "-", each.detail) for each in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    )
