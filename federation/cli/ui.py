"""`fedml ui`: shows the federation in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from federation.cli.options.common import ConfigOption

if TYPE_CHECKING:
    from federation.app import App

SAFETY = "Who may look"


def register(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command("ui")(ui)


def ui(
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Listen on this port. 0: a free one.")
    ] = 8646,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Listen on this address.")] = "127.0.0.1",
    no_open: Annotated[bool, typer.Option("--no-open", help="Open no browser. Print the link only.")] = False,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only", help="Only show. Leave out everything that changes something.", rich_help_panel=SAFETY
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Let browsers ask by this host name too. Repeatable.",
            rich_help_panel=SAFETY,
        ),
    ] = None,
    user_header: Annotated[
        str,
        typer.Option(
            "--user-header",
            metavar="HEADER",
            help="A proxy in front signs people in and sends their name in this header.",
            rich_help_panel=SAFETY,
        ),
    ] = "",
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", metavar="FILE", help="Serve HTTPS with this certificate.", rich_help_panel=SAFETY),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key.", rich_help_panel=SAFETY)
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Show regions, runs and results in a browser.

    Prints a link that signs one browser in, and opens it. The pages show what the commands show, and each action calls
    what its command calls. Everything is read when somebody looks; nothing runs when nobody does. Ctrl-C ends it.

    Another address than 127.0.0.1 needs --allow-host, and --tls-cert with --tls-key or a proxy with --user-header.

    Examples:

      fedml ui

      fedml ui --read-only --no-open --port 0

      fedml ui --host 0.0.0.0 --allow-host fedml.example.com --user-header X-Forwarded-User
    """
    from federation.cli.session import opened
    from federation.output.streams import write_note
    from federation.web.serve import Address, serve, settings
    from federation.web.site import Site

    address = Address(host, port, tls_cert, tls_key)
    chosen = settings(address, allow_hosts=allow_host or (), user_header=user_header, read_only=read_only)
    with opened(config) as project:
        serve(Site(project, chosen), address, opens_browser=not no_open, note=write_note)


def show_page(project: App, page: str) -> None:
    """Opens a browser at one page and serves it until Ctrl-C (`--open` of commands that show one thing)."""
    from federation.output.streams import write_note
    from federation.web.serve import Address, serve, settings
    from federation.web.site import Site

    address = Address(port=0)
    chosen = settings(address, allow_hosts=(), user_header="", read_only=False)
    serve(Site(project, chosen), address, start_page=page, opens_browser=True, note=write_note)
