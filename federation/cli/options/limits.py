"""Options that limit a run: failures, times, and the reaction to a lost region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from jobs.frozen import frozen

if TYPE_CHECKING:
    from federation.run.user_limits import Patience


@frozen
class LimitOptions:
    """The limits of a run."""

    HEADING: ClassVar[str] = "Limits"

    max_failures: Annotated[
        str,
        typer.Option(
            "--max-failures",
            metavar="N|P%",
            help="Stop the run when more slots than this have failed. Default: max_failures in fedml.toml, else no limit.",
        ),
    ] = ""
    slot_timeout: Annotated[
        str,
        typer.Option(
            "--slot-timeout",
            metavar="TIME",
            help="Stop an attempt that runs longer than this (90m, 2h). Default: slot_timeout_s in fedml.toml, else "
            "no limit.",
        ),
    ] = ""
    pending_timeout: Annotated[
        str,
        typer.Option(
            "--pending-timeout",
            metavar="TIME",
            help="Move an attempt to another region when it waits longer than this for a node; fail one that Nomad "
            "doesn't hold for a node. Default: pending_timeout_s in fedml.toml, else no limit.",
        ),
    ] = ""
    on_region_lost: Annotated[
        str,
        typer.Option(
            "--on-region-lost",
            metavar="RULE",
            help="When a region is lost: rebind moves its attempts to other regions, wait and ask leave them until the "
            "region answers or you run `fedml runs rebind`. Default: on_region_lost in fedml.toml, else rebind.",
        ),
    ] = ""
    purge_finished: Annotated[
        bool,
        typer.Option("--purge-finished", help="Purge dispatched jobs from Nomad when their results are in the index."),
    ] = False
    priority: Annotated[
        int | None,
        typer.Option(
            "--priority",
            metavar="N",
            min=1,
            max=100,
            help="Give the run this priority. Runs with a higher priority get room first. Default: 50.",
        ),
    ] = None

    stop_when: Annotated[
        str,
        typer.Option(
            "--stop-when",
            metavar="CONDITION",
            help="Stop an attempt when the newest values of its metrics.jsonl meet this condition, as in "
            "'metrics.loss > 10 or metrics.loss is nan'. Its slot is not tried again and has not failed. Default: none.",
        ),
    ] = ""
    keep_best: Annotated[
        int | None,
        typer.Option(
            "--keep-best",
            metavar="K",
            help="Stop the worse half of the slots at step --after, at twice that, at four times that, until the K best are "
            "left. Default: all go on.",
        ),
    ] = None
    after: Annotated[
        float | None,
        typer.Option(
            "--after", metavar="STEP", help="Compare slots first at this step of their metrics.jsonl (--keep-best)."
        ),
    ] = None
    metric: Annotated[
        str,
        typer.Option("--metric", metavar="NAME", help="Compare slots by this metric (--keep-best). Default: loss."),
    ] = ""
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            metavar="min|max",
            help="Say whether the least or the greatest value is the best (--keep-best). Default: min, for loss.",
        ),
    ] = ""

    def patience(self) -> Patience:
        """The limits that the command line names. Raises UsageError."""
        from typing import get_args

        from federation.errors import UsageError
        from federation.run.user_limits import OnRegionLost, Patience, keep_best_rule
        from federation.text import duration_s

        rule: OnRegionLost | None = next((name for name in get_args(OnRegionLost) if name == self.on_region_lost), None)
        if self.on_region_lost and rule is None:
            raise UsageError(
                f"--on-region-lost {self.on_region_lost!r} is not a valid rule", hint="write rebind, wait or ask"
            )
        return Patience(
            max_failures=self.max_failures or None,
            slot_timeout_s=duration_s(self.slot_timeout, "--slot-timeout") if self.slot_timeout else None,
            pending_timeout_s=duration_s(self.pending_timeout, "--pending-timeout") if self.pending_timeout else None,
            on_region_lost=rule,
            purge_finished=self.purge_finished or None,
            priority=self.priority,
            stop_when=self.stop_when or None,
            keep_best=keep_best_rule(self.keep_best, self.after, self.metric, self.mode),
        )
