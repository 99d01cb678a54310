"""A run that this process drives: its state, its end, its tasks' output, its results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

from federation.api.arguments import checked
from federation.api.results import Results
from federation.app import App
from federation.config.model import Config
from federation.errors import FederationError
from federation.workflows.drive import RunOutcome
from federation.workflows.run_output import Wanted, Written, followed, written
from federation.workflows.runs import Runs


class Run:
    """A run that a thread of this process drives. All its state is in the home store. After the process has ended,
    `Federation.resume` or `fedml runs resume` continues it."""

    def __init__(self, config: Config, run: str, version: str, drive: Callable[[Runs], RunOutcome]) -> None:
        self.id = run
        self.version = version
        self._app = App(config)
        self._outcome: RunOutcome | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._drive, args=(drive,), name=f"fedml-{run}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<run {self.id}, version {self.version}, {self.state}>"

    @property
    def state(self) -> str:
        """`running` while it is driven here, then done, failed or cancelled, or `interrupted` after an error."""
        if self._thread.is_alive():
            return "running"
        return self._outcome.state if self._outcome else "interrupted"

    @checked
    def wait(self, timeout_s: float | None = None) -> RunOutcome:
        """Waits for the end and returns the outcome. Raises the error that interrupted the run, and FederationError after
        `timeout_s` (the run continues)."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise FederationError(
                f"run {self.id} is not over after {timeout_s:g} s", hint="the run continues: call wait() again"
            )
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    @checked
    def logs(
        self, slot: int | None = None, *, failed: bool = False, task: str = "", follow: bool = False
    ) -> Iterator[Written]:
        """Yields its tasks' output in pieces (`.text`, with `.slot`, `.attempt`, `.region`, `.task`, `.kind`), live from the
        regions or as it was kept. `follow` yields new output until the run is over. Raises UsageError for an unknown slot."""
        wanted = Wanted(slot, failed, task)
        with closing(App(self._app.config)) as app:
            yield from followed(app, self.id, wanted) if follow else written(app, self.id, wanted)

    def results(self) -> Results:
        """Its results that are in the index now."""
        index = App(self._app.config).index
        try:
            return Results(index.query(run=self.id), index.revision)
        finally:
            index.close()

    def _drive(self, drive: Callable[[Runs], RunOutcome]) -> None:
        try:
            self._outcome = drive(Runs(self._app))
        except BaseException as error:  # noqa: BLE001 - raised again by wait()
            self._error = error
        finally:
            self._app.close()
