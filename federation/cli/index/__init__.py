"""`fedml index`: what every region trained, in one versioned place."""

from __future__ import annotations

import typer

from federation.cli import index_maintenance
from federation.cli.index import history, results, tags

app = typer.Typer(
    no_args_is_help=True,
    help="The index: every result of every region and cloud, in one versioned place.",
    rich_markup_mode=None,
)
for module in (results, tags, history, index_maintenance):
    module.register(app)
