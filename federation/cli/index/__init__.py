"""`fedml index`: the results of all regions in one versioned place."""

from __future__ import annotations

from federation.cli.command_app import CommandApp
from federation.cli.lazy import lazy_group

COMMANDS: dict[str, dict[str, tuple[str, ...]]] = {
    "Find results": {"index.results": ("list", "show", "get", "compare"), "index.watch": ("watch",)},
    "Name and judge results": {"index.tags": ("tag", "untag", "note", "retire"), "index.storage": ("sign",)},
    "Code of results": {"index.code": ("code", "reproduce")},
    "History": {"index.history": ("log", "diff", "lineage")},
    "Check and repair": {"index.repair": ("verify", "sync", "rebuild")},
    "Space and copies": {"index.storage": ("gc", "copy", "export", "import")},
}
"""The commands by heading and module, in the order of the help."""
MODULES = {
    name: f"federation.cli.{module}"
    for modules in COMMANDS.values()
    for module, names in modules.items()
    for name in names
}
HEADINGS = {name: heading for heading, modules in COMMANDS.items() for names in modules.values() for name in names}

app = CommandApp(
    cls=lazy_group(MODULES, headings=HEADINGS),
    no_args_is_help=True,
    help="Find, get and manage the results of all regions and clouds in one versioned index.",
)


@app.callback()
def index() -> None:
    """Makes it a group: Typer sees no command in it."""
