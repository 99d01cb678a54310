"""A `fedml.toml` enters, a federation leaves that a program plans on, dispatches to, and asks for its results."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import cast

from federation.api.index import FederatedIndex
from federation.api.run import Run
from federation.app import App, JobRequest
from federation.config.load import load
from federation.workflows.dispatch import begin
from federation.workflows.plan import Preview, preview
from federation.workflows.request import Placing, RunRequest
from federation.workflows.runs import Runs
from jobs.params.sweep import Asks, Axis, Value, axes_of, text_of

_LOG = logging.getLogger("fedml")


def open(path: Path | str | None = None) -> Federation:  # noqa: A001 - federation.open reads as it is meant
    """The federation of a fedml.toml (or of the folder that holds one); without a path as the command finds it. Nothing is
    asked yet. Raises ConfigError."""
    return Federation(App(load(Path(path) if path is not None else None)))


class Federation:
    """One federation. Closed by `close`, or by leaving `with`; runs that it dispatched go on."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.name = app.config.name
        self.regions = tuple(app.config.regions)

    def __enter__(self) -> Federation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<federation {self.name}: {', '.join(self.regions)}>"

    def close(self) -> None:
        """Give back connections and the local catalog."""
        self._app.close()

    @cached_property
    def index(self) -> FederatedIndex:
        """The unified, versioned index."""
        return FederatedIndex(self._app)

    def plan(
        self,
        slots: int | None = None,
        *,
        version: str | None = None,
        regions: Sequence[str] = (),
        job: str = "",
        variables: Mapping[str, str] | None = None,
        meta: Mapping[str, str] | None = None,
        sweep: Mapping[str, Sequence[object]] | None = None,
        params: Sequence[Mapping[str, object]] = (),
        policy: str | None = None,
    ) -> Preview:
        """How dispatches would spread now, and what would change; writes nothing. Raises FederationError when no region
        can be asked, HclError, InvalidSpec, InvalidMeta."""
        request = RunRequest(
            _request(job, variables, regions),
            slots,
            version,
            meta,
            asks=_asks(sweep, params),
            placing=Placing(policy=policy),
        )
        made = preview(self._app, request)
        made.require_an_answer()
        return made

    def dispatch(
        self,
        slots: int | None = None,
        *,
        version: str | None = None,
        regions: Sequence[str] = (),
        job: str = "",
        variables: Mapping[str, str] | None = None,
        meta: Mapping[str, str] | None = None,
        sweep: Mapping[str, Sequence[object]] | None = None,
        params: Sequence[Mapping[str, object]] = (),
        policy: str | None = None,
        skip_unreachable: bool = False,
    ) -> Run:
        """Deploy the job where its file changed, dispatch the slots by free capacity, and return the run, which a thread
        drives to its end. `regions` is a hard limit; `slots` None: one a combination of `sweep` (`{"lr": [0.1, 0.01]}`) and
        `params` (rows: `[{"depth": 3}, …]`), else as fedml.toml says, else one in each region.

        What it does before the first dispatch is told to the logger `fedml`. Raises, before anything is written, UsageError
        where a region doesn't answer (unless `skip_unreachable`), NoPlace where none has room, and what `plan` raises.
        """
        app = self._app
        request = RunRequest(
            _request(job, variables, regions),
            slots,
            version,
            meta,
            asks=_asks(sweep, params),
            placing=Placing(policy=policy),
        )
        opened, prepared = begin(app, request, skip_unreachable=skip_unreachable, tell=_LOG.info)
        manifest = opened.manifest
        return Run(
            app.config, manifest.run, manifest.version, lambda runs: runs.start(opened, prepared, lambda event: None)
        )

    def resume(self, run: str) -> Run:
        """Go on with a run of that id or unique prefix, wherever it was left. Raises UsageError."""
        row = Runs(self._app).find(run)
        return Run(self._app.config, row.run, row.version, lambda runs: runs.resume(row.run, lambda event: None))


def _request(job: str, variables: Mapping[str, str] | None, regions: Sequence[str]) -> JobRequest:
    given = tuple(f"{name}={value}" for name, value in (variables or {}).items())
    return JobRequest(job, given, (), tuple(regions))


def _asks(sweep: Mapping[str, Sequence[object]] | None, params: Sequence[Mapping[str, object]]) -> Asks:
    from jobs.params.file import rows_of

    axes = [
        str(Axis(name, tuple(text_of(_plain(value)) for value in values))) for name, values in (sweep or {}).items()
    ]
    rows = ({name: _plain(value) for name, value in row.items() if value is not None} for row in params)
    return Asks(axes_of(axes), rows_of("params", enumerate(rows, start=1)) if params else None)


def _plain(value: object) -> Value:
    """A NumPy scalar as Python's own; whatever else it is, `rows_of` judges."""
    item = getattr(value, "item", None)
    return cast("Value", item() if callable(item) else value)
