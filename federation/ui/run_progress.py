"""Shows a run's progress: bars for each region on a terminal, else one line for each event, or JSON Lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Protocol, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from federation.manifest import Manifest
from federation.run.brain.commands import Tell
from federation.streams import write_block, write_note
from federation.text import counted
from federation.ui.console import err
from federation.visible import visible_json, visible_line

SHOWN_ALWAYS = ("failed", "retry", "lost", "back", "region", "cancel")
"""Kinds of events that are also printed as lines above the bars."""


class ProgressDisplay(Protocol):
    """A context manager that is called with each event of one run."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, tell: Tell) -> None: ...


def progress_display(manifest: Manifest, *, as_json: bool) -> ProgressDisplay:
    """The display for JSON, for a terminal or for plain text."""
    if as_json:
        return _Lines(_print_json)
    if sys.stderr.isatty():
        return _Bars(manifest)
    return _Lines(_print_line)


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
    write_block(visible_json(json.dumps(document, ensure_ascii=False)))


class _Lines:
    """Writes one line for each event."""

    def __init__(self, write: Callable[[Tell], None]) -> None:
        self._write = write

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __call__(self, tell: Tell) -> None:
        self._write(tell)


class _Bars:
    """Draws a bar for each region and one for all: results in the index of results expected."""

    def __init__(self, manifest: Manifest) -> None:
        self._keys_a_slot = max(1, sum(manifest.groups.values()))
        self._progress = Progress(
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
            name: self._progress.add_task(visible_line(name), total=0, note="waits") for name in manifest.regions
        }
        self._all = self._progress.add_task("all", total=manifest.expected_keys, note="results in the index")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, tell: Tell) -> None:
        if tell.kind in SHOWN_ALWAYS:
            self._progress.console.print(visible_line(event_line(tell)))
        task = self._tasks.get(tell.region)
        if task is None:
            return
        if tell.kind == "bound":
            self._grow(task, tell.count)
        elif tell.kind == "dispatched":
            self._sent[tell.region] += 1
        elif tell.kind == "running":
            self._running[tell.region] += 1
        elif tell.kind == "committed":
            self._progress.advance(task)
            self._progress.advance(self._all)
        elif tell.kind in ("retry", "failed") and tell.attempt:
            self._grow(task, -1)
        self._progress.update(task, note=f"{self._sent[tell.region]} dispatched, {self._running[tell.region]} started")

    def _grow(self, task: TaskID, slots: int) -> None:
        total = self._progress.tasks[self._progress.task_ids.index(task)].total or 0
        self._progress.update(task, total=max(0, total + slots * self._keys_a_slot))
