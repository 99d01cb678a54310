"""A run that this process drives: its state, its progress, its end, its tasks' output, its results."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TypeVar

from federation.api.arguments import checked
from federation.api.curves import CurvePoints
from federation.api.progress import Progress, shown
from federation.api.results import Results
from federation.app import App
from federation.charts.svg import Chart
from federation.config.model import Config
from federation.errors import RunNotOver
from federation.manifest import Manifest
from federation.output.streams import write_note
from federation.run.brain.commands import Tell
from federation.workflows import run_control
from federation.workflows.drive import RunOutcome
from federation.workflows.run_curves import curves
from federation.workflows.run_output import Wanted, Written, followed, written
from federation.workflows.runs import Runs

LOOK_S = 0.5
"""Pause between two looks of `wait` at the progress."""

Drive = Callable[[Runs, Callable[[Tell], None]], RunOutcome]
Answer = TypeVar("Answer")

_LEFT: set[Run] = set()
"""Runs that a thread drives, or whose driving was interrupted and nobody was told yet."""


class Run:
    """A run that a thread of this process drives. All its state is in the home store. After the process has ended,
    `Federation.resume` or `fedml runs resume` continues it."""

    def __init__(self, config: Config, manifest: Manifest, drive: Drive, progress: Progress) -> None:
        self.id = manifest.run
        self.version = manifest.version
        self.progress = progress
        self._config = config
        self._outcome: RunOutcome | None = None
        self._error: BaseException | None = None
        self._over = threading.Event()
        """Set when the thread that drives it has ended. Ctrl-C in `Thread.join` makes Python take a thread for ended."""
        self._over.set()
        self._begin(drive)

    def __repr__(self) -> str:
        return f"<run {self.id}, version {self.version}, {self.state}: {self.progress}>"

    def _repr_html_(self) -> str:
        return self.progress._repr_html_()

    @property
    def state(self) -> str:
        """`running` while it is driven here, then done, failed or cancelled, or `interrupted` after an error."""
        if self.is_driven:
            return "running"
        return self._outcome.state if self._outcome else "interrupted"

    @property
    def is_driven(self) -> bool:
        """Whether a thread of this process drives it now."""
        return not self._over.is_set()

    @checked
    def wait(self, timeout_s: float | None = None, *, progress: bool | None = None) -> RunOutcome:
        """Waits for the end and returns the outcome. Shows the progress live in a notebook; with `progress=True` elsewhere
        too, with False nowhere. Raises the error that interrupted the run, and RunNotOver (a TimeoutError) after `timeout_s`.
        The run continues then, and after Ctrl-C."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        show = shown(self.progress, is_wanted=progress)
        while self.is_driven:
            show()
            left_s = LOOK_S if end_s is None else min(LOOK_S, end_s - time.monotonic())
            if left_s <= 0:
                raise RunNotOver(
                    f"run {self.id} is not over after {timeout_s:g} s: {self.progress}",
                    hint="the run continues: call wait() again",
                )
            self._over.wait(left_s)
        show()
        _LEFT.discard(self)
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    @checked
    def cancel(self, reason: str = "cancelled") -> str:
        """Ends the run and stops its attempts in all regions that answer. Returns its state then: cancelled, or done if it
        was over already."""
        state = self._asked(lambda app: cancelled(app, self.id, reason))
        self._over.wait()
        return state

    @checked
    def retry(self, slots: Sequence[int] = ()) -> tuple[int, ...]:
        """Gives these failed slots (default: all) new attempts, and returns their numbers. A thread drives the run again.
        Raises UsageError for a slot that hasn't failed and a run that was cancelled."""
        chosen = self._asked(lambda app: Runs(app).retry(self.id, slots))
        self._begin(lambda runs, observe: runs.resume(self.id, observe))
        return chosen

    @checked
    def logs(
        self, slot: int | None = None, *, failed: bool = False, task: str = "", follow: bool = False
    ) -> Iterator[Written]:
        """Yields its tasks' output in pieces (`.text`, with `.slot`, `.attempt`, `.region`, `.task`, `.kind`), live from the
        regions or as it was kept. `follow` yields new output until the run is over. Raises UsageError for an unknown slot."""
        wanted = Wanted(slot, failed, task)
        with closing(App(self._config)) as app:
            yield from followed(app, self.id, wanted) if follow else written(app, self.id, wanted)

    def results(self) -> Results:
        """Its results that are in the index now."""
        return self._asked(lambda app: Results(app.index.query(run=self.id), app.index.revision))

    def curves(self) -> CurvePoints:
        """What its tasks logged in `metrics.jsonl` until now: of running slots live from their regions, of finished ones from
        their artifacts. What can't be read is in `problems`."""
        return self._asked(lambda app: CurvePoints.of(curves(app, Runs(app).story(self.id))))

    def chart(self) -> Chart:
        """Draws its attempts over time: when each waited and computed, by region. A notebook shows the picture."""
        from federation.ui.run_chart import picture

        def draw(app: App) -> Chart:
            runs = Runs(app)
            return picture(runs.timeline(runs.story(self.id), runs.times(self.id)), label=f"run {self.id}")

        return self._asked(draw)

    def _asked(self, question: Callable[[App], Answer]) -> Answer:
        with closing(App(self._config)) as app:
            return question(app)

    def _begin(self, drive: Drive) -> None:
        """Drives the run in a new thread, after one that drives it already."""
        before, self._over = self._over, threading.Event()
        _LEFT.add(self)
        arguments = (drive, before, self._over)
        threading.Thread(target=self._drive, args=arguments, name=f"fedml-{self.id}", daemon=True).start()

    def _drive(self, drive: Drive, before: threading.Event, over: threading.Event) -> None:
        before.wait()
        self._outcome = self._error = None
        try:
            self._outcome = self._asked(lambda app: drive(Runs(app), self.progress.observe))
            if over is self._over:  # and no retry was asked for meanwhile
                _LEFT.discard(self)
        except BaseException as error:  # noqa: BLE001 - raised again by wait()
            self._error = error
        finally:
            over.set()

    def _tell_left(self) -> None:
        error = f" ({self._error})" if self._error is not None and not self.is_driven else ""
        write_note(
            f"Run {self.id} isn't over, and this process, which drove it, ends{error}. What was dispatched goes on in its "
            f"regions. Continue the run:  fedml runs resume {self.id}"
        )


def cancelled(app: App, run: str, reason: str) -> str:
    """Cancels a run, whoever drives it, and returns its state then. Raises UsageError."""

    def drive(_: Manifest, end: Callable[[Callable[[Tell], None]], RunOutcome]) -> str:
        return end(lambda tell: None).state

    return run_control.cancel(app, run, reason, drive, lambda text: None, lambda document: None)


@atexit.register
def _tell_at_exit() -> None:
    """Says at the end of the process which runs it leaves undriven."""
    for run in sorted([*_LEFT], key=lambda run: run.id):
        if run.is_driven or run._error is not None:
            run._tell_left()
