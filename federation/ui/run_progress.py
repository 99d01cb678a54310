"""Shows a run's progress: bars for each region on a terminal, else one line for each event, or JSON Lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from federation.manifest import Manifest
from federation.run.brain.commands import Tell
from federation.streams import write_json, write_note
from federation.text import counted
from federation.ui.console import err
from federation.visible import visible_line

SHOWN_ALWAYS = ("failed", "retry", "lost", "back", "region", "cancel")
"""Kinds of events that are also printed as lines above the bars."""


def progress_display(manifest: Manifest, *, as_json: bool) -> AbstractContextManager[Callable[[Tell], None]]:
    """A function that shows each event of the run: as JSON, on a terminal or as plain text. Call it inside the block."""
    if as_json:
        return nullcontext(_print_json)
    return _bars(manifest) if sys.stderr.isatty() else nullcontext(_print_line)


def event_line(tell: Tell) -> str:
    """One event as a line."""
    where = f"{tell.region:<10}" if tell.region else ""
    slot = f"slot {tell.slot:<5}" if tell.slot >= 0 else ""
    attempt = f" (attempt {tell.attempt})" if tell.attempt > 1 else ""
    if tell.kind == "bound":
        return f"{where} {counted(tell.count, 'slot')} bound"
    return f"{where} {slot} {tell.kind:<10} {tell.detail}{attempt}".strip()


def _print_line(tell: Tell) -> None:
    write_note(event_line(tell))


def _print_json(tell: Tell) -> None:
    fields = asdict(tell)
    document = {"event": fields.pop("kind"), **fields}
    write_json(json.dumps(document, ensure_ascii=False))


@contextmanager
def _bars(manifest: Manifest) -> Iterator[Callable[[Tell], None]]:
    bars = _Bars(manifest)
    with bars.progress:
        yield bars.show


class _Bars:
    """Draws a bar for each region and one for all: results in the index of results expected."""

    def __init__(self, manifest: Manifest) -> None:
        self._keys_a_slot = max(1, sum(manifest.groups.values()))
        self.progress = Progress(
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            console=err(),
        )
        self._running = dict.fromkeys(manifest.regions, 0)
        self._sent = dict.fromkeys(manifest.regions, 0)
        self._tasks: dict[str, TaskID] = {
            name: self.progress.add_task(visible_line(name), total=0, note="waits") for name in manifest.regions
        }
        note = "allocations ended" if manifest.results == "none" else "results in the index"
        self._all = self.progress.add_task("all", total=manifest.expected_keys, note=note)

    def show(self, tell: Tell) -> None:
        """Counts one event in the bars, and prints it if it is important."""
        if tell.kind in SHOWN_ALWAYS:
            self.progress.console.print(visible_line(event_line(tell)))
        task = self._tasks.get(tell.region)
        if task is None:
            return
        if tell.kind == "bound":
            self._grow(task, tell.count)
        elif tell.kind == "dispatched":
            self._sent[tell.region] += 1
        elif tell.kind == "running":
            self._running[tell.region] += 1
        elif tell.kind in ("committed", "ended"):
            self.progress.advance(task)
            self.progress.advance(self._all)
        elif tell.kind in ("retry", "failed") and tell.attempt:
            self._grow(task, -1)
        self.progress.update(task, note=f"{self._sent[tell.region]} dispatched, {self._running[tell.region]} started")

    def _grow(self, task: TaskID, slots: int) -> None:
        total = self.progress.tasks[self.progress.task_ids.index(task)].total or 0
        self.progress.update(task, total=max(0, total + slots * self._keys_a_slot))
