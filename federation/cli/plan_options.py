"""The options by which `plan` and `dispatch` say what slots differ in and where they go, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from federation.request import Placing
    from jobs.sweep import Asks

SweepOption = Annotated[
    list[str] | None,
    typer.Option("--sweep", metavar="KEY=A,B", help="One slot a combination of these values; may be given again."),
]
ParamsOption = Annotated[
    Path | None, typer.Option("--params", metavar="FILE", help="One slot a row of this CSV or JSON Lines file.")
]
PayloadDirOption = Annotated[
    Path | None, typer.Option("--payload-dir", metavar="DIR", help="One slot a file, which is its payload.")
]
PayloadOption = Annotated[
    str, typer.Option("--payload", metavar="FILE", help="The dispatch's payload ('-': standard input).")
]
AllowSecretMetaOption = Annotated[
    bool, typer.Option("--allow-secret-meta", help="Send meta whose name looks like a credential.")
]
PolicyOption = Annotated[
    str, typer.Option("--policy", metavar="NAME", help="spread, pack, order, cheapest, fastest, weights, or another's.")
]
CapOption = Annotated[
    list[str] | None, typer.Option("--cap", metavar="REGION=N", help="At most so many of the run's slots there.")
]
MinimumOption = Annotated[
    list[str] | None,
    typer.Option("--minimum", metavar="REGION=N", help="So many slots there before the policy goes on."),
]
DeadlineOption = Annotated[
    str, typer.Option("--deadline", metavar="WHEN", help="Refuse unless done by then: 8h, or 2026-11-25T18:00.")
]
MaxCostOption = Annotated[
    float | None, typer.Option("--max-cost", metavar="X", help="Refuse if it is expected to cost more.")
]
ExpectedDurationOption = Annotated[
    str,
    typer.Option("--expected-duration", metavar="TIME", help="How long a slot runs (else what earlier runs took)."),
]
AllowPreemptionOption = Annotated[
    bool, typer.Option("--allow-preemption", help="Count room that Nomad makes by evicting other work.")
]


def asks_of(sweep: Sequence[str] | None, params: Path | None, payload_dir: Path | None) -> Asks:
    """What slots differ in. Raises InvalidMeta."""
    from jobs.params_file import read_asks

    return read_asks(sweep or (), params, payload_dir)


def placing_of(
    policy: str,
    cap: Sequence[str] | None,
    minimum: Sequence[str] | None,
    deadline: str,
    max_cost: float | None,
    expected_duration: str,
    allow_preemption: bool,
) -> Placing:
    """Where slots go. Raises UsageError."""
    from datetime import UTC, datetime

    from federation.errors import UsageError
    from federation.request import Placing, by_region, deadline_s, duration_s

    if max_cost is not None and not 0 <= max_cost < float("inf"):
        raise UsageError(f"--max-cost {max_cost:g} is no amount", hint="a number from 0, in the money of the prices")
    return Placing(
        policy or None,
        by_region(cap or (), "--cap"),
        by_region(minimum or (), "--minimum"),
        deadline_s(deadline, datetime.now(UTC)) if deadline else None,
        max_cost,
        duration_s(expected_duration, "--expected-duration") if expected_duration else None,
        allow_preemption,
    )


def sources_of(params: Path | None, payload_dir: Path | None) -> dict[str, str]:
    """Where the parameters were read, for a plan that is kept."""
    given = {"params": params, "payload_dir": payload_dir}
    return {name: str(path.absolute()) for name, path in given.items() if path is not None}


def payload_of(name: str) -> bytes:
    """The bytes of `--payload`. Raises InvalidMeta."""
    import sys

    from jobs.errors import InvalidMeta

    if not name:
        return b""
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise InvalidMeta(f"payload {name}: {error.strerror}") from error
