"""Groups of options that several commands share. Each group is one dataclass, declared once.

A command is a function with such dataclasses among its parameters (`federation.cli.command_app`). Typer sees one option
for each field, and the function receives the filled dataclass. The help shows the options below the group's `HEADING`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from federation.cli.options import common
from jobs.frozen import frozen

if TYPE_CHECKING:
    from federation.app import JobRequest
    from federation.workflows.dispatch import Deploying
    from federation.workflows.run_observers import ObserverOptions


@frozen
class JobOptions:
    """Options that choose a job, its variables and its regions."""

    HEADING: ClassVar[str] = "Job and regions"

    job: common.JobOption = ""
    var: common.VarOption = None
    var_file: common.VarFileOption = None
    regions: common.RegionsOption = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The regions that `--regions` names."""
        return common.names(self.regions)

    def request(self, file: str = "") -> JobRequest:
        """The requested job. `file` is a jobspec given as an argument. Raises UsageError when two jobs are named."""
        from federation.app import JobRequest
        from federation.errors import UsageError

        if file and self.job:
            raise UsageError(f"two jobs are named: {file} and --job {self.job}", hint="name one")
        return JobRequest(file or self.job, tuple(self.var or ()), tuple(self.var_file or ()), self.names)


@frozen
class DeployOptions:
    """Options for registering a job."""

    HEADING: ClassVar[str] = "Deployment"

    on_failure: Annotated[
        str | None,
        typer.Option(
            "--on-failure",
            metavar="RULE",
            help="When a region fails: fail_all puts all regions back, fail_local changes no other region, '' stops the "
            "regions after it. Default: the rule of the job's multiregion block, else fail_local.",
        ),
    ] = None
    allow_drift: Annotated[
        bool,
        typer.Option(
            "--allow-drift",
            help="Replace changes that somebody made in Nomad directly. Where fedml does not register the job, dispatch "
            "it with those changes.",
        ),
    ] = False
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Wait for other runs that still dispatch the registered job. Default: stop with an error."
        ),
    ] = False
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Deploy although other runs still dispatch the registered job. Default: stop with an error."
        ),
    ] = False
    dry_run: common.DryRunOption = False

    def deploying(self, **further: Any) -> Deploying:
        """These options for the workflow. `further` holds the options that only `dispatch` has."""
        from federation.workflows.dispatch import Deploying

        return Deploying(
            allow_drift=self.allow_drift, wait=self.wait, force=self.force, on_failure=self.on_failure, **further
        )


@frozen
class RolloutOptions(DeployOptions):
    """Options for registering a job for one run."""

    isolate: Annotated[
        bool,
        typer.Option("--isolate", help="Give this run a job of its own, JOB-HASH, which is removed when the run ends."),
    ] = False
    canary: Annotated[
        int,
        typer.Option(
            "--canary",
            metavar="K",
            help="Dispatch K slots in each region first, and the others when those results are in the index. "
            "Default: 0, all slots at once.",
            show_default=False,
        ),
    ] = 0


@frozen
class DetachOptions:
    """Options for a run that Nomad jobs drive."""

    HEADING: ClassVar[str] = "Detached runs"

    detach: Annotated[
        bool,
        typer.Option(
            "--detach", help="Let a Nomad job drive the run and return at once. This machine may then be switched off."
        ),
    ] = False
    on: Annotated[
        str,
        typer.Option(
            "--on",
            metavar="A,B",
            help="With --detach: start a coordinator job in each of these regions. One is active, the others stand by. "
            "Default: the run's first region.",
        ),
    ] = ""

    def hosts(self, regions: tuple[str, ...]) -> tuple[str, ...]:
        """The regions that get a coordinator. Empty when there are no chosen `regions` and none is named. Raises
        UsageError for --on without --detach."""
        from federation.errors import UsageError

        if self.on and not self.detach:
            raise UsageError("--on names the regions of a detached run's coordinators", hint="add --detach")
        return common.names(self.on) or regions[:1]


@frozen
class FollowOptions:
    """Options for further outputs of a run's progress."""

    HEADING: ClassVar[str] = "Metrics and logs"

    metrics: Annotated[
        str,
        typer.Option(
            "--metrics", metavar="[HOST:]PORT", help="Serve Prometheus metrics at this port until the command ends."
        ),
    ] = ""
    metrics_file: Annotated[
        Path | None,
        typer.Option(
            "--metrics-file",
            metavar="FILE",
            help="Write Prometheus metrics to this file, for node_exporter's textfile collector.",
        ),
    ] = None
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", metavar="FILE", help="Append each event of the run to this file, as JSON Lines."),
    ] = None

    def observers(self) -> ObserverOptions:
        """These options for the workflow, checked. Raises UsageError."""
        from federation.workflows.run_observers import ObserverOptions

        options = ObserverOptions(self.metrics, self.metrics_file, self.log_file)
        options.check()
        return options
