"""Options of `plan` and `dispatch`: how many slots with which parameters, and where they go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from federation.cli.options import common

if TYPE_CHECKING:
    from federation.app import JobRequest
    from federation.workflows.request import Placing, RunRequest


@dataclass(frozen=True, slots=True)
class SlotOptions:
    """How many slots, of which version, and what each gets."""

    slots: common.SlotsOption = None
    version: common.VersionOption = None
    meta: common.MetaOption = None
    payload: Annotated[
        str, typer.Option("--payload", metavar="FILE", help="Send this file as the payload ('-': standard input).")
    ] = ""
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", metavar="KEY=A,B", help="One slot for each combination of these values; repeatable."),
    ] = None
    params: Annotated[
        Path | None,
        typer.Option("--params", metavar="FILE", help="One slot for each row of this CSV or JSON Lines file."),
    ] = None
    payload_dir: Annotated[
        Path | None,
        typer.Option("--payload-dir", metavar="DIR", help="One slot for each file, which becomes its payload."),
    ] = None
    allow_secret_meta: Annotated[
        bool, typer.Option("--allow-secret-meta", help="Send meta whose name looks like a credential.")
    ] = False

    def request(self, job: JobRequest, placing: Placing, **further: Any) -> RunRequest:
        """The run that is asked for. Raises InvalidMeta and UsageError."""
        from federation.workflows.request import RunRequest
        from jobs.load import key_values
        from jobs.params.file import read_asks

        return RunRequest(
            job,
            self.slots,
            self.version,
            key_values(self.meta or (), "-meta"),
            _payload(self.payload),
            self.allow_secret_meta,
            asks=read_asks(self.sweep or (), self.params, self.payload_dir),
            placing=placing,
            **further,
        )

    def sources(self) -> dict[str, str]:
        """Where the parameters were read, for a plan that is kept."""
        given = {"params": self.params, "payload_dir": self.payload_dir}
        return {name: str(path.absolute()) for name, path in given.items() if path is not None}


@dataclass(frozen=True, slots=True)
class PlacingOptions:
    """Where slots go, and what that may take and cost."""

    policy: Annotated[
        str,
        typer.Option(
            "--policy",
            metavar="NAME",
            help="Placement policy: spread, pack, order, cheapest, fastest, weights, or a plug-in's.",
        ),
    ] = ""
    cap: Annotated[
        list[str] | None,
        typer.Option("--cap", metavar="REGION=N", help="Place at most N of the run's slots in REGION; repeatable."),
    ] = None
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--minimum",
            metavar="REGION=N",
            help="Place at least N slots in REGION before the policy is applied; repeatable.",
        ),
    ] = None
    deadline: Annotated[
        str,
        typer.Option("--deadline", metavar="WHEN", help="Refuse unless done by then: 8h, or 2026-11-25T18:00."),
    ] = ""
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", metavar="X", help="Refuse if the expected cost is higher.")
    ] = None
    expected_duration: Annotated[
        str,
        typer.Option(
            "--expected-duration", metavar="TIME", help="How long a slot runs (default: what earlier runs took)."
        ),
    ] = ""
    allow_preemption: Annotated[
        bool, typer.Option("--allow-preemption", help="Count room that Nomad makes by evicting other work.")
    ] = False

    def placing(self) -> Placing:
        """The same for the workflow. Raises UsageError."""
        from datetime import UTC, datetime

        from federation.errors import UsageError
        from federation.text import duration_s
        from federation.workflows.request import Placing, by_region, deadline_s

        if self.max_cost is not None and not 0 <= self.max_cost < float("inf"):
            raise UsageError(
                f"--max-cost {self.max_cost:g} is not a valid amount",
                hint="a number from 0, in the currency of the prices",
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
    """The bytes of `--payload`. Raises InvalidMeta."""
    import sys

    from jobs.errors import InvalidMeta

    if not name:
        return b""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InvalidMeta(f"payload {name}: {error.strerror}") from error
