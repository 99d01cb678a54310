"""Options that limit a run: failures, times, and what happens when a region is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from federation.run.user_limits import Patience


@dataclass(frozen=True, slots=True)
class LimitOptions:
    """The limits of a run."""

    max_failures: Annotated[
        str, typer.Option("--max-failures", metavar="N|P%", help="Stop the run when more slots than this have failed.")
    ] = ""
    slot_timeout: Annotated[
        str,
        typer.Option("--slot-timeout", metavar="TIME", help="Stop an attempt that runs longer than this (90m, 2h)."),
    ] = ""
    pending_timeout: Annotated[
        str,
        typer.Option(
            "--pending-timeout",
            metavar="TIME",
            help="Move an attempt elsewhere that waits longer than this for a node.",
        ),
    ] = ""
    on_region_lost: Annotated[
        str,
        typer.Option(
            "--on-region-lost",
            metavar="HOW",
            help="What happens to a lost region's attempts: rebind, wait, or ask (for `fedml runs rebind`).",
        ),
    ] = ""
    purge_finished: Annotated[
        bool, typer.Option("--purge-finished", help="Purge children from Nomad once their results are in the index.")
    ] = False
    priority: Annotated[
        int,
        typer.Option(
            "--priority", min=0, max=100, help="Priority between concurrent runs, 1 to 100; higher gets room first."
        ),
    ] = 0

    def patience(self) -> Patience:
        """The limits that the command line names. Raises UsageError."""
        from typing import get_args

        from federation.errors import UsageError
        from federation.run.user_limits import OnRegionLost, Patience
        from federation.text import duration_s

        how: OnRegionLost | None = next((one for one in get_args(OnRegionLost) if one == self.on_region_lost), None)
        if self.on_region_lost and how is None:
            raise UsageError(f"--on-region-lost {self.on_region_lost!r} is not a valid way", hint="rebind, wait or ask")
        return Patience(
            max_failures=self.max_failures or None,
            slot_timeout_s=duration_s(self.slot_timeout, "--slot-timeout") if self.slot_timeout else None,
            pending_timeout_s=duration_s(self.pending_timeout, "--pending-timeout") if self.pending_timeout else None,
            on_region_lost=how,
            purge_finished=self.purge_finished or None,
            priority=self.priority or None,
        )
