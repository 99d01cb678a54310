"""Options that `plan` and `dispatch` share: the slots, their inputs and their placement."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from jobs.frozen import frozen

if TYPE_CHECKING:
    from federation.app import JobRequest
    from federation.workflows.request import Placing, RunRequest


@frozen
class ParameterOptions:
    """Options for the number of slots, the version and the parameters of each slot."""

    HEADING: ClassVar[str] = "Slots and inputs"

    slots: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--slots",
            metavar="N",
            help="Run N slots. Default: one for each combination of the slots' inputs, else slots in fedml.toml, else one "
            "in each region.",
        ),
    ] = None
    version: Annotated[
        str | None,
        typer.Option(
            "--version", metavar="V", help="Set the model version. Default, and with `next`: the next whole number."
        ),
    ] = None
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", metavar="KEY=A,B", help="Run one slot for each combination of values. Repeatable."),
    ] = None
    params: Annotated[
        Path | None,
        typer.Option("--params", metavar="FILE", help="Run one slot for each row of this CSV or JSON Lines file."),
    ] = None

    def request(self, job: JobRequest, placing: Placing, **further: Any) -> RunRequest:
        """The requested run. Raises InvalidMeta and UsageError."""
        from federation.workflows.request import RunRequest
        from jobs.params.file import read_asks

        asks = {"asks": read_asks(self.sweep or (), self.params)}
        return RunRequest(job, self.slots, self.version, placing=placing, **(asks | further))


@frozen
class SlotOptions(ParameterOptions):
    """The same with meta and payloads, for jobs that declare them."""

    meta: Annotated[
        list[str] | None,
        typer.Option("-meta", "--meta", metavar="KEY=VALUE", help="Set a meta key of every dispatch. Repeatable."),
    ] = None
    payload: Annotated[
        str,
        typer.Option("--payload", metavar="FILE", help="Send this file as the payload. `-` reads standard input."),
    ] = ""
    payload_dir: Annotated[
        Path | None,
        typer.Option(
            "--payload-dir", metavar="DIR", help="Run one slot for each file of this folder. The file is its payload."
        ),
    ] = None
    allow_secret_meta: Annotated[
        bool,
        typer.Option("--allow-secret-meta", help="Allow meta keys whose names look like credentials."),
    ] = False

    def request(self, job: JobRequest, placing: Placing, **further: Any) -> RunRequest:
        """The requested run. Raises InvalidMeta and UsageError."""
        from jobs.load import key_values
        from jobs.params.file import read_asks

        return ParameterOptions.request(
            self,
            job,
            placing,
            meta=key_values(self.meta or (), "-meta"),
            payload=_payload(self.payload),
            allow_secret_meta=self.allow_secret_meta,
            asks=read_asks(self.sweep or (), self.params, self.payload_dir),
            **further,
        )

    def sources(self) -> dict[str, str]:
        """The files that parameters were read from, for a saved plan."""
        given = {"params": self.params, "payload_dir": self.payload_dir}
        return {name: str(path.absolute()) for name, path in given.items() if path is not None}


FailedOfOption = Annotated[
    str,
    typer.Option(
        "--failed-of",
        metavar="RUN",
        help="Take the failed slots of this run, each with its parameters and payload, and the job's file as it is now. "
        "This is a new run. For a run of your own code, `fedml run` takes the code that it names, other commands the run's.",
        rich_help_panel=SlotOptions.HEADING,
    ),
]


@frozen
class RunOptions:
    """Options that make a new run known, or make it of an earlier one."""

    HEADING: ClassVar[str] = SlotOptions.HEADING

    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name the run. The name can then stand for its ID. It means the newest run that has it.",
        ),
    ] = ""
    failed_of: FailedOfOption = ""


@frozen
class PlacingOptions:
    """Options for the placement of slots, with its limits of time and cost."""

    HEADING: ClassVar[str] = "Placement"

    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="NAME",
            help="Place slots by this policy: spread, pack, order, cheapest, fastest, weights, or one from a plug-in. "
            "Default: policy in fedml.toml, else spread.",
        ),
    ] = ""
    cap: Annotated[
        list[str] | None,
        typer.Option("--cap", metavar="REGION=N", help="Place at most N of the run's slots in REGION. Repeatable."),
    ] = None
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--minimum",
            metavar="REGION=N",
            help="Place at least N slots in REGION before the policy is applied. Repeatable.",
        ),
    ] = None
    deadline: Annotated[
        str,
        typer.Option(
            "--deadline",
            metavar="WHEN",
            help="Refuse the run if it is expected to end later than this: 8h, or 2026-11-25T18:00.",
        ),
    ] = ""
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", metavar="X", help="Refuse the run if its expected cost is higher than this."),
    ] = None
    expected_duration: Annotated[
        str,
        typer.Option(
            "--expected-duration",
            metavar="TIME",
            help="Assume that a slot runs this long. Default: as in earlier runs.",
        ),
    ] = ""
    allow_preemption: Annotated[
        bool, typer.Option("--allow-preemption", help="Also use room that Nomad can make by evicting other work.")
    ] = False

    def placing(self) -> Placing:
        """These options for the workflow. Raises UsageError."""
        from datetime import UTC, datetime

        from federation.errors import UsageError
        from federation.text import duration_s
        from federation.workflows.request import Placing, by_region, deadline_s

        if self.max_cost is not None and not 0 <= self.max_cost < float("inf"):
            raise UsageError(
                f"--max-cost {self.max_cost:g} is not a valid amount",
                hint="write a number from 0, in the currency of the prices",
            )
        return Placing(
            self.policy or None,
            by_region(self.cap or (), "--cap"),
            by_region(self.minimum or (), "--minimum"),
            deadline_s(self.deadline, datetime.now(UTC)) if self.deadline else None,
            self.max_cost,
            duration_s(self.expected_duration, "--expected-duration") if self.expected_duration else None,
            self.allow_preemption,
        )


def _payload(name: str) -> bytes:
    """Reads the bytes of `--payload`. Raises InvalidMeta."""
    import sys

    from jobs.errors import InvalidMeta

    if not name:
        return b""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InvalidMeta(f"payload {name}: {error.strerror}") from error
