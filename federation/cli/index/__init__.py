"""`fedml index`: the results of all regions in one versioned place."""

from __future__ import annotations

from federation.cli.command_app import CommandApp
from federation.cli.lazy import lazy_group

MODULES = {
    "index.results": ("list", "show", "get", "compare"),
    "index.code": ("code", "reproduce"),
    "index.tags": ("tag", "untag", "note", "retire"),
    "index.history": ("log", "diff", "lineage"),
    "index.watch": ("watch",),
    "index.repair": ("verify", "sync", "rebuild"),
    "index.storage": ("gc", "copy", "sign", "export", "import"),
}
"""The commands in the order of the help, by module."""

app = CommandApp(
    cls=lazy_group({name: f"federation.cli.{module}" for module, names in MODULES.items() for name in names}),
    no_args_is_help=True,
    help="Find, get and manage the results of all regions and clouds in one versioned index.",
)


@app.callback()
def index() -> None:
    """Makes it a group: Typer sees no command in it."""
