"""Runs the commands of `[hooks]` in fedml.toml while a run goes on and at its end.

A failing hook does not affect the run: it gets a minute, its failure is a warning, and only the command's own end waits for it.
It reads what happened from its environment (`FEDML_EVENT`, `FEDML_RUN`, `FEDML_JOB`, `FEDML_VERSION`, `FEDML_STATE`,
`FEDML_REASON`) or, whole, as one JSON object from standard input. A hook runs at least once: a resumed run runs it again at
its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from federation.manifest import Manifest
from federation.run.brain.commands import Tell
from federation.run.hook_command import run_hook

_PROGRESS = ("dispatched", "running", "ended", "committed", "failed")


class Hooks:
    """The hooks of one run, as a context manager around it. `commands` maps run_finished, run_failed, run_stalled to argv.

    `warn` gets a sentence where a hook could not be run or failed. Calls to it may come from another thread.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        manifest: Manifest,
        *,
        folder: Path,
        stalled_after_s: float,
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = commands
        self._manifest = manifest
        self._folder = folder
        self._stalled_after_s = stalled_after_s
        self._warn = warn
        self._clock = clock
        self._progress_s = clock()
        self._is_stalled = False
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if "run_stalled" in self._commands:
            self._thread = threading.Thread(target=self._watch, name="hooks", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()

    def __call__(self, tell: Tell) -> None:
        """Takes a report of the run."""
        if tell.kind in _PROGRESS:
            self._progress_s = self._clock()
            self._is_stalled = False

    def ended(self, document: Mapping[str, Any]) -> None:
        """Runs the hook of the run's end; `document` is what `--json` prints of it."""
        self._end.set()
        self._run("run_finished" if document["state"] == "done" else "run_failed", document)

    def look(self) -> None:
        """Runs the stalled hook when nothing went on for too long; once, until something goes on again."""
        if not self._is_stalled and self._clock() - self._progress_s >= self._stalled_after_s:
            self._is_stalled = True
            reason = f"nothing was dispatched, started or committed for {self._stalled_after_s:.0f} s"
            self._run("run_stalled", {"state": "open", "reason": reason})

    def _watch(self) -> None:
        while not self._end.wait(min(5.0, self._stalled_after_s / 4)):
            self.look()

    def _run(self, event: str, document: Mapping[str, Any]) -> None:
        command = self._commands.get(event)
        if not command:
            return
        told = {
            "run": self._manifest.run,
            "job": self._manifest.job,
            "version": self._manifest.version,
            **document,
            "event": event,
        }
        problem = run_hook(event, command, told, names=_IN_ENVIRONMENT, folder=self._folder)
        if problem:
            self._warn(problem)


_IN_ENVIRONMENT = ("event", "run", "job", "version", "state", "reason")
