"""Bytes that go over enter, a line with how many and how fast leaves on a terminal; nothing where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from regions.storage.store import Progress


@contextmanager
def transfer(what: str, total_bytes: int | None = None) -> Iterator[Progress | None]:
    """To be told of bytes as they go over, from any thread; None where standard error is no terminal.

    The line goes when the block ends. rich is only loaded where there is something to draw on.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    from federation.ui.console import err

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, console=err(), transient=True) as bars:
        task = bars.add_task(what, total=total_bytes)
        yield lambda size_bytes: bars.advance(task, size_bytes)
