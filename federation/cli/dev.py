"""`fedml dev`: a federation on this machine, for one project folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from federation.cli.options.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from federation.dev.lifecycle import ServerStatus

app = typer.Typer(
    help="A federation on this machine: the regions and stores that [dev] in fedml.toml declares.",
    no_args_is_help=True,
)


@app.command()
def up(
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait until ready.")
    ] = 60.0,
    engine: Annotated[
        Literal["embedded", "nomad", "auto"],
        typer.Option("--engine", help="nomad: real agents of the binary in NOMAD_BIN or on PATH; auto: as before."),
    ] = "auto",
    acl: Annotated[bool, typer.Option("--acl", help="With real Nomad: turn its ACLs on.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Start what isn't running and wait until all of it is ready.

    What runs already is left alone; a region that died is started again with its data. Tasks of these regions run as
    you, on this machine, without a sandbox (raw_exec): an engine for development, not for production. With `--engine
    nomad` the regions are real Nomad agents: a server each, and a client for each node.

    Examples:

      fedml dev up

      fedml dev up --engine nomad --acl

      fedml dev up --json | jq -r '.servers[] | "\\(.name) \\(.address)"'
    """
    from federation.cli.session import answer_json, note
    from federation.config.dev_state import token_path
    from federation.config.load import load
    from federation.dev import agents, lifecycle
    from federation.ui.console import out

    project = load(config)
    for warning in project.warnings:
        note(f"Warning: {warning}")
    found = lifecycle.up(project, note, deadline_s=timeout, engine=engine, has_acls=acl)
    if as_json:
        answer_json(
            {
                "engine": found.engine,
                "servers": lifecycle.as_json(found.servers),
                "started": found.started,
                "outdated": found.outdated,
                "token_file": str(token_path(project.root)),
            }
        )
    else:
        out().print(_table(found.servers))
    if not found.started:
        note("Already up: nothing was started.")
    if found.outdated:
        names = ", ".join(found.outdated)
        note(f"Still running with older settings: {names}. `fedml dev down` and `fedml dev up` apply the new ones.")
    if found.engine == "embedded" and engine == "auto" and (binary := agents.find_binary()):
        note(f"There is a Nomad here, {binary}: `fedml dev up --engine nomad` (after `fedml dev down`) uses it.")
    note("Tasks run as you, on this machine. Next: `fedml plan`, `fedml dispatch`. `fedml dev down` ends it all.")


@app.command()
def status(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """What each server is doing: ready, silent (runs but doesn't answer), down, or hurt on purpose.

    Examples:

      fedml dev status

      fedml dev status --json
    """
    from federation.cli.session import answer_json, note
    from federation.config.load import load
    from federation.dev import lifecycle
    from federation.ui.console import out

    found = lifecycle.status(load(config))
    if as_json:
        answer_json({"servers": lifecycle.as_json(found)})
        return
    out().print(_table(found))
    if any(server.state not in ("ready", "drained") for server in found):
        note("`fedml dev up` starts what is down, and restores what was faults.")


@app.command()
def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove the regions' data and the local stores' objects.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """End the servers and every task they run, and nothing else. Their data is kept for the next `up`.

    Folders that hold results (`file://` stores) are never touched.

    Examples:

      fedml dev down

      fedml dev down --purge
    """
    from federation.cli.session import note
    from federation.config.load import find
    from federation.dev import lifecycle

    ended = lifecycle.down(find(config).parent, note, purge=purge)
    names = ", ".join(key.replace(":", " ") for key in ended)
    note(f"Ended: {names}." if ended else "Nothing was running.")


@app.command()
def node(
    order: Annotated[Literal["kill", "pause", "drain", "restore"], typer.Argument(help="What happens to it.")],
    name: Annotated[str, typer.Argument(metavar="NODE", help="Its name, or REGION/NAME.")],
    config: ConfigOption = None,
) -> None:
    """Hurt a node on purpose, or restore it.

    kill: its tasks are gone at once. pause: it stands still, with its tasks. After the heartbeat grace its region takes
    it for down, and replaces its allocations elsewhere. drain: it takes nothing new, and what it has moves away.

    Examples:

      fedml dev node kill us-1

      fedml dev node restore us/us-1
    """
    from federation.cli.session import note
    from federation.config.load import load
    from federation.dev import faults

    full = faults.node(load(config), name, order, note)
    note(f"node {full}: {_DONE[order]}.")


@app.command()
def region(
    order: Annotated[Literal["kill", "pause", "cut", "restore"], typer.Argument(help="What happens to its server.")],
    name: Annotated[str, typer.Argument(metavar="REGION", help="Its name.")],
    config: ConfigOption = None,
) -> None:
    """Hurt a region's server on purpose, or restore it with its data. Its tasks go on.

    kill: the server dies (SIGKILL). pause: it stands still (SIGSTOP). cut: it works on, and answers nobody (embedded
    regions only).

    Examples:

      fedml dev region cut us

      fedml dev region restore us
    """
    from federation.cli.session import note
    from federation.config.load import load
    from federation.dev import faults

    faults.region(load(config), name, order, note)
    note(f"region {name}: {_DONE[order]}.")


_DONE = {"kill": "killed", "pause": "paused", "drain": "draining", "cut": "cut off", "restore": "restored"}


def _table(found: tuple[ServerStatus, ...]) -> Table:
    from federation.ui.console import table

    rows = [(each.kind, each.name, each.state, each.address or "-", each.pid or "-", each.detail) for each in found]
    return table(("kind", "name", "state", "address", "pid", "what"), rows, numbers=("pid",))
