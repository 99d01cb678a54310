"""`fedml index`: what every region trained, in one versioned place."""

from __future__ import annotations

import typer

from federation.cli.lazy import lazy_group

MODULES = {
    "index.results": ("list", "show", "get", "compare"),
    "index.tags": ("tag", "untag", "note", "retire"),
    "index.history": ("log", "diff", "lineage"),
    "index.watch": ("watch",),
    "index.repair": ("verify", "sync", "rebuild"),
    "index.storage": ("gc", "copy", "sign", "export", "import"),
}
"""The commands in the order of the help, by module."""

app = typer.Typer(
    cls=lazy_group({name: f"federation.cli.{module}" for module, names in MODULES.items() for name in names}),
    no_args_is_help=True,
    help="The index: every result of every region and cloud, in one versioned place.",
    rich_markup_mode=None,
)


@app.callback()
def index() -> None:
    """Make it a group, though Typer sees no command in it."""
