"""A run that is being driven enters; waiting for it, what its tasks wrote, and its results leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

from federation.api.results import Results
from federation.app import App
from federation.config.model import Config
from federation.errors import FederationError
from federation.workflows.drive import RunOutcome
from federation.workflows.run_output import Wanted, Written, followed, written
from federation.workflows.runs import Runs


class Run:
    """A run, driven by a thread of this process. All its state is in the home store: where the process ends, or a kernel
    is restarted, `Federation.resume` (or `fedml runs resume`) goes on with it."""

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
        """`running` while it is driven here; then done, failed or cancelled, or `interrupted` where driving it failed."""
        if self._thread.is_alive():
            return "running"
        return self._outcome.state if self._outcome else "interrupted"

    def wait(self, timeout_s: float | None = None) -> RunOutcome:
        """How it ended. Raises what kept it from being driven to its end, FederationError where the time was too short
        (then it goes on)."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise FederationError(f"run {self.id} is not over after {timeout_s:g} s", hint="it goes on: wait() again")
        if self._error is not None:
            raise self._error
        assert self._outcome is not None
        return self._outcome

    def logs(
        self, slot: int | None = None, *, failed: bool = False, task: str = "", follow: bool = False
    ) -> Iterator[Written]:
        """What its tasks wrote, piece by piece (`.text`, with `.slot`, `.attempt`, `.region`, `.task`, `.kind`): live from the
        regions, or as it was kept. `follow`: live, until the run is over. Raises UsageError for a slot that it hasn't."""
        wanted = Wanted(slot, failed, task)
        with closing(App(self._app.config)) as app:
            yield from followed(app, self.id, wanted) if follow else written(app, self.id, wanted)

    def results(self) -> Results:
        """Its results that are in the index by now."""
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
