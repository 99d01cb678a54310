"""What a run tells enters, lines or bars leave: bars per region on a terminal, one line a change elsewhere, or JSON Lines."""

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
from federation.ui.console import err
from federation.visible import visible_json, visible_line

SHOWN_ALWAYS = ("failed", "retry", "lost", "back", "region", "cancel")
"""What is written as a line even above bars."""


class Follower(Protocol):
    """Follows one run, as a context manager, and is called with whatever the run tells."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __call__(self, tell: Tell) -> None: ...


def follower(manifest: Manifest, *, as_json: bool) -> Follower:
    """The follower that suits where the output goes."""
    if as_json:
        return _Lines(_print_json)
    if sys.stderr.isatty():
        return _Bars(manifest)
    return _Lines(_print_line)


def told(tell: Tell) -> str:
    """One change as a line."""
    where = f"{tell.region:<10}" if tell.region else ""
    slot = f"slot {tell.slot:<5}" if tell.slot >= 0 else ""
    attempt = f" (attempt {tell.attempt})" if tell.attempt > 1 else ""
    if tell.kind == "bound":
        return f"{where} {tell.count} slot{'s' if tell.count != 1 else ''} bound"
    return f"{where} {slot} {tell.kind:<10} {tell.detail}{attempt}".strip()


def _print_line(tell: Tell) -> None:
    write_note(told(tell))


def _print_json(tell: Tell) -> None:
    told = asdict(tell)
    document = {"event": told.pop("kind"), **told}
    write_block(visible_json(json.dumps(document, ensure_ascii=False)))


class _Lines:
    """One line a change."""

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
    """A bar for each region and one for all, in results committed of results expected."""

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
            self._progress.console.print(visible_line(told(tell)))
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
