"""`fedml dev`: runs the regions and stores that [dev] in fedml.toml declares, on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from federation.cli.command_app import CommandApp
from federation.cli.options.common import AgreedOption, ConfigOption, JsonOption

if TYPE_CHECKING:
    from rich.table import Table

    from federation.dev.lifecycle import ServerStatus

app = CommandApp(help="Run the project's federation on this machine.", no_args_is_help=True)


@app.command()
def up(
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="Wait this long until all is ready.")
    ] = 60.0,
    engine: Annotated[
        Literal["embedded", "nomad", "auto"],
        typer.Option(
            "--engine",
            help="Run embedded regions, or real Nomad agents of the binary in NOMAD_BIN or on PATH. auto: the engine of "
            "the last `up`, at first embedded.",
        ),
    ] = "auto",
    acl: Annotated[bool, typer.Option("--acl", help="With --engine nomad: turn ACLs on.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Start the regions and stores and wait until they are ready.

    Starts only what isn't running. A region that stopped is started again with its data. Tasks run on this machine as
    your user, without a sandbox (raw_exec). Use it for development, not for production. With `--engine nomad`, each
    region is a real Nomad server with a client for each node.

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
    outcome = lifecycle.up(project, note, deadline_s=timeout, engine=engine, has_acls=acl)
    if as_json:
        answer_json(
            {
                "engine": outcome.engine,
                "servers": lifecycle.as_json(outcome.servers),
                "started": outcome.started,
                "outdated": outcome.outdated,
                "token_file": str(token_path(project.root)),
            }
        )
    else:
        out().print(_table(outcome.servers))
    if not outcome.started:
        note("Already up: nothing was started.")
    if outcome.outdated:
        names = ", ".join(outcome.outdated)
        note(f"Running with older settings: {names}. Apply the new ones:  fedml dev down && fedml dev up")
    if outcome.engine == "embedded" and engine == "auto" and (binary := agents.find_binary()):
        note(f"Nomad is installed here ({binary}). Use it:  fedml dev down && fedml dev up --engine nomad")
    if outcome.engine == "embedded":
        note(lifecycle.memory_note(project))
    has_job = project.job or any(project.root.glob("*.nomad.hcl"))
    following = "`fedml plan`, `fedml dispatch`" if has_job else "`fedml run SCRIPT`"
    note(f"Tasks run on this machine as your user. Next: {following}. `fedml ui` shows all in a browser.")
    note("`fedml dev down` stops all.")


@app.command()
def status(as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show the state of each region and store.

    States: ready, silent (runs but doesn't answer), down, or the fault that `fedml dev node` or `fedml dev region` caused.

    Examples:

      fedml dev status

      fedml dev status --json
    """
    from federation.cli.session import answer_json, note
    from federation.config.load import load
    from federation.dev import lifecycle
    from federation.ui.console import out

    servers = lifecycle.status(load(config))
    if as_json:
        answer_json({"servers": lifecycle.as_json(servers)})
        return
    out().print(_table(servers))
    if any(server.state not in ("ready", "drained") for server in servers):
        note("`fedml dev up` starts what is down and ends faults.")


@app.command()
def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove the data of the regions and the objects of the local stores.")
    ] = False,
    yes: AgreedOption = False,
    config: ConfigOption = None,
) -> None:
    """Stop the servers and their tasks.

    Stops nothing else. Their data is kept for the next `up`. Folders with results (`file://` stores) are never changed.
    With --purge, a terminal is asked first. Elsewhere --yes is needed.

    Examples:

      fedml dev down

      fedml dev down --purge --yes
    """
    from federation.cli.session import is_agreed, note
    from federation.config.load import find
    from federation.dev import lifecycle
    from federation.errors import UsageError

    root = find(config).parent
    if purge and not yes and (data := lifecycle.purged_data(root)):
        about = f"--purge removes {data}"
        if not is_agreed(f"{about}. Remove it?"):
            raise UsageError(f"{about}; nothing was stopped or removed", hint="to do it:  fedml dev down --purge --yes")
    ended = lifecycle.down(root, note, purge=purge)
    names = ", ".join(key.replace(":", " ") for key in ended)
    note(f"Ended: {names}." if ended else "Nothing was running.")


@app.command()
def node(
    order: Annotated[
        Literal["kill", "pause", "drain", "restore"],
        typer.Argument(metavar="FAULT", help="The fault to cause, or restore to end it."),
    ],
    name: Annotated[str, typer.Argument(metavar="NODE", help="The node's name, or REGION/NAME.")],
    config: ConfigOption = None,
) -> None:
    """Cause a fault of a node, or end it.

    kill: ends its tasks at once. pause: stops the node and its tasks without ending them. After the heartbeat's grace
    time the region marks it as down and replaces its allocations. drain: it gets no new allocations, and those it has
    move to other nodes.

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
    order: Annotated[
        Literal["kill", "pause", "cut", "restore"],
        typer.Argument(metavar="FAULT", help="The fault to cause, or restore to end it."),
    ],
    name: Annotated[str, typer.Argument(metavar="REGION", help="The region's name in fedml.toml.")],
    config: ConfigOption = None,
) -> None:
    """Cause a fault of a region's server, or end it.

    The region's tasks keep running. kill: ends the server (SIGKILL). pause: stops it (SIGSTOP). cut: it keeps working
    but does not answer (embedded regions only). restore: runs it again with its data.

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


def _table(servers: tuple[ServerStatus, ...]) -> Table:
    from federation.ui.console import table

    rows = [
        (server.kind, server.name, server.state, server.address or "-", server.pid or "-", server.detail)
        for server in servers
    ]
    return table(("kind", "name", "state", "address", "pid", "what"), rows, numbers=("pid",))
