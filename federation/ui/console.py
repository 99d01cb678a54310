"""How things are printed: rich where a terminal is, plain text without colour elsewhere. `NO_COLOR` is honoured by rich."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 1000
"""Columns where no terminal is (a pipe, a log): nothing is folded there."""


def out(*, plain_width: int = PLAIN_WIDTH) -> Console:
    """Where data goes. `plain_width` is for tables of prose, which are folded in a pipe too."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else plain_width)


def err() -> Console:
    """Where everything else goes."""
    return Console(file=sys.stderr, highlight=False, width=None if sys.stderr.isatty() else PLAIN_WIDTH)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Sequence[str] = ()) -> Table:
    """A table with these columns; those named in `numbers` are set to the right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        is_number = column in numbers
        made.add_column(column, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))  # text, not markup: names come from outside
    return made
