"""Options that say how long a run goes on with what goes badly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from federation.patience import Patience

MaxFailuresOption = Annotated[
    str, typer.Option("--max-failures", metavar="N|P%", help="Stop the run when more slots than this have failed.")
]
SlotTimeoutOption = Annotated[
    str, typer.Option("--slot-timeout", metavar="TIME", help="Stop an attempt that runs for longer (90m, 2h).")
]
PendingTimeoutOption = Annotated[
    str,
    typer.Option("--pending-timeout", metavar="TIME", help="Bind an attempt elsewhere that waits longer for a node."),
]
OnRegionLostOption = Annotated[
    str,
    typer.Option(
        "--on-region-lost", metavar="HOW", help="A lost region's attempts: rebind, wait, or ask (for runs rebind)."
    ),
]
PurgeFinishedOption = Annotated[
    bool, typer.Option("--purge-finished", help="Have Nomad forget children whose results are in the index.")
]
PriorityOption = Annotated[
    int, typer.Option("--priority", min=0, max=100, help="Between runs at once, 1 to 100: who gets room first.")
]


def patience_of(
    max_failures: str,
    slot_timeout: str,
    pending_timeout: str,
    on_region_lost: str,
    purge_finished: bool,
    priority: int,
) -> Patience:
    """The limits of a run, where the command line says any. Raises UsageError."""
    from typing import get_args

    from federation.errors import UsageError
    from federation.patience import OnRegionLost, Patience
    from federation.request import duration_s

    how: OnRegionLost | None = next((one for one in get_args(OnRegionLost) if one == on_region_lost), None)
    if on_region_lost and how is None:
        raise UsageError(f"--on-region-lost {on_region_lost!r}: no such way", hint="rebind, wait or ask")
    return Patience(
        max_failures or None,
        None,
        duration_s(slot_timeout, "--slot-timeout") if slot_timeout else None,
        duration_s(pending_timeout, "--pending-timeout") if pending_timeout else None,
        how,
        purge_finished or None,
        priority or None,
    )
