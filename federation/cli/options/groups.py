"""Options that several commands share: each group is one dataclass, declared once.

`grouped` makes a command of a function whose parameters may be such dataclasses: Typer sees one option a field, the function
gets the filled dataclass.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from federation.cli.options import common

if TYPE_CHECKING:
    from federation.app import JobRequest
    from federation.ui.followers import Following
    from federation.workflows.dispatch import Deploying


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with one option for each field of the dataclasses among its parameters."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind) and isinstance(kind, type)}
    flat: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = groups.get(parameter.name)
        flat += [_keyword(parameter.name, hints[parameter.name], parameter.default)] if kind is None else _options(kind)

    @functools.wraps(command)
    def flattened(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{field.name: values.pop(field.name) for field in fields(kind)})
        command(**values)

    flattened.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    flattened.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    del flattened.__wrapped__  # or Typer would look through to the function with the groups
    return flattened


def _options(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [_keyword(field.name, hints[field.name], field.default) for field in fields(group)]


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Which job, with which variables, in which regions."""

    job: common.JobOption = ""
    var: common.VarOption = None
    var_file: common.VarFileOption = None
    regions: common.RegionsOption = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The regions that `--regions` names."""
        return common.names(self.regions)

    def request(self, file: str = "") -> JobRequest:
        """The job that is asked for; `file` is a jobspec given as an argument."""
        from federation.app import JobRequest

        return JobRequest(file or self.job, tuple(self.var or ()), tuple(self.var_file or ()), self.names)


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """How a job is registered."""

    on_failure: common.OnFailureOption = None
    allow_drift: common.AllowDriftOption = False
    wait: common.WaitOption = False
    force: common.ForceOption = False

    def deploying(self, **further: Any) -> Deploying:
        """The same for the workflow; `further` are what only `dispatch` knows."""
        from federation.workflows.dispatch import Deploying

        return Deploying(
            allow_drift=self.allow_drift, wait=self.wait, force=self.force, on_failure=self.on_failure, **further
        )


@dataclass(frozen=True, slots=True)
class RolloutOptions(DeployOptions):
    """How a job is registered for one run."""

    isolate: Annotated[
        bool, typer.Option("--isolate", help="Give this run a job of its own, JOB-HASH, removed at its end.")
    ] = False
    canary: Annotated[
        int,
        typer.Option(
            "--canary",
            metavar="K",
            help="Dispatch K slots a region first, the rest when their results are in the index.",
        ),
    ] = 0


@dataclass(frozen=True, slots=True)
class DetachOptions:
    """Whether Nomad jobs drive the run."""

    detach: Annotated[
        bool,
        typer.Option("--detach", help="Let a Nomad job drive the run and return at once; this machine may be off."),
    ] = False
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="A,B",
            help="Regions of these jobs, of which one is active (default: the run's first region).",
        ),
    ] = ""


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """Where else a run's progress goes."""

    metrics: Annotated[
        str,
        typer.Option(
            "--metrics", metavar="[HOST:]PORT", help="Serve Prometheus metrics there while the run is driven."
        ),
    ] = ""
    metrics_file: Annotated[
        Path | None,
        typer.Option("--metrics-file", metavar="FILE", help="Write Prometheus metrics for the textfile collector."),
    ] = None
    log_file: Annotated[
        Path | None, typer.Option("--log-file", metavar="FILE", help="Append what happens as JSON Lines.")
    ] = None

    def following(self) -> Following:
        """The same, checked. Raises UsageError."""
        from federation.ui.followers import Following

        also = Following(self.metrics, self.metrics_file, self.log_file)
        also.check()
        return also
