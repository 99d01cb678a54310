"""Counts how far a run is that a thread of this process drives, and shows it: live in a notebook, else as lines."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from federation.api.html import picture_html, table_html, text_html
from federation.charts.bars import Segment, stacked_bar
from federation.manifest import Manifest
from federation.output.streams import write_note
from federation.run.brain.commands import Tell
from federation.text import counted
from federation.ui.run_count import RunCount
from federation.workflows.run_reader import RunStory

COLUMNS = ("region", "dispatched", "started", "failed", "results")


class Progress:
    """How far a run is. Its text is one line; a notebook shows a table with a line for each region. For any thread."""

    def __init__(self, manifest: Manifest, story: RunStory | None = None) -> None:
        """`story`: what a run has that is continued."""
        self._run = manifest.run
        self._lock = threading.Lock()
        self._count = RunCount(manifest, len(story.results) if story is not None else 0)
        if story is not None:
            self._count.failed_slots.update(at for at, slot in enumerate(story.slots) if slot.state == "failed")

    @property
    def expected(self) -> int:
        """How many results there will be. A slot that a rule stops gives none."""
        return self._count.most

    @property
    def results(self) -> int:
        """How many results are in the index (of a run without results: how many allocations ended well)."""
        return self._count.results

    def observe(self, tell: Tell) -> None:
        """Counts one event."""
        with self._lock:
            self._count.take(tell)

    def __str__(self) -> str:
        with self._lock:
            failed = len(self._count.failed_slots)
            text = f"{self.results:,} of {self.expected:,} {self._count.what}"
        return f"{text}, {counted(failed, 'slot')} failed" if failed else text

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_html_(self) -> str:
        with self._lock:
            regions = self._count.regions.items()
            lines = [(name, one.dispatched, one.started, one.failed, one.results) for name, one in regions]
            failed = len(self._count.failed_slots)
        counts = {"done": self.results, "failed": failed, "waiting": max(0, self.expected - self.results - failed)}
        bar = stacked_bar([Segment(name, count, name) for name, count in counts.items()], shares=False)
        return f"<p>run {text_html(self._run)}: {text_html(self)}</p>{picture_html(bar)}{table_html(COLUMNS, lines)}"


def shown(progress: Progress, *, is_wanted: bool | None) -> Callable[[], None]:
    """Makes the function that shows the progress as it is now: live in a notebook, as a line on standard error elsewhere.
    `is_wanted` None: only in a notebook."""
    if is_wanted is False or (is_wanted is None and not in_notebook()):
        return lambda: None
    last = ""
    handle: Any = None

    def show() -> None:
        nonlocal last, handle
        now = progress._repr_html_() if in_notebook() else str(progress)
        if now == last:
            return
        last = now
        if not in_notebook():
            write_note(now)
        elif handle is None:
            handle = import_module("IPython.display").display(progress, display_id=True)
        else:
            handle.update(progress)

    return show


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
