"""Shows the size and speed of a transfer on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from federation.output.streams import is_quiet
from regions.storage.store import Progress


@contextmanager
def transfer(what: str, total_bytes: int | None = None) -> Iterator[Progress | None]:
    """Yields a function to call with each number of bytes transferred, from any thread. Yields None if standard error is
    not a terminal, and with `-q`.

    The line disappears when the block ends. rich is loaded only for a terminal.
    """
    if is_quiet() or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    from federation.ui.console import err

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, console=err(), transient=True) as bars:
        task = bars.add_task(what, total=total_bytes)
        yield lambda size_bytes: bars.advance(task, size_bytes)
