"""Limits that a user sets for a run, on the command line or in fedml.toml: failures, attempts, timeouts, priority."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from federation.curves import KeepBest
from federation.errors import UsageError
from jobs.frozen import frozen

OnRegionLost = Literal["rebind", "wait", "ask"]


@frozen
class Patience:
    """Limits of one run; None where there is none, or where fedml.toml decides."""

    max_failures: str | None = None
    """How many slots may fail before the run is stopped: `5` or `5%`."""
    max_attempts: int | None = None
    slot_timeout_s: float | None = None
    pending_timeout_s: float | None = None
    on_region_lost: OnRegionLost | None = None
    purge_finished: bool | None = None
    priority: int | None = None
    stop_when: str | None = None
    """A condition on the newest values of a running attempt (`federation.run.stop_when`)."""
    keep_best: KeepBest | None = None

    def over(self, other: Patience) -> Patience:
        """Gives these limits, completed by the other ones."""
        mine = {name: getattr(self, name) for name in self.__match_args__}
        return Patience(**{name: getattr(other, name) if value is None else value for name, value in mine.items()})

    def limits(self, slots: int) -> Mapping[str, Any]:
        """Gives the fields of a manifest that these limits decide. Raises UsageError."""
        return {
            "max_failures": failures(self.max_failures, slots),
            "max_attempts": 3 if self.max_attempts is None else self.max_attempts,
            "slot_timeout_s": self.slot_timeout_s,
            "pending_timeout_s": self.pending_timeout_s,
            "on_region_lost": self.on_region_lost or "rebind",
            "purge_finished": bool(self.purge_finished),
            "priority": 50 if self.priority is None else self.priority,
            "stop_when": self.stop_when or "",
            "keep_best": self.keep_best,
        }


def keep_best_rule(count: int | None, after: float | None, metric: str, mode: str) -> KeepBest | None:
    """The rule of `--keep-best`; None where none of its options is given. Raises UsageError."""
    if count is None:
        if after is not None or metric or mode:
            raise UsageError("--after, --metric and --mode belong to --keep-best", hint="add  --keep-best 8")
        return None
    if after is None:
        raise UsageError("--keep-best needs the step at which slots are compared", hint="add  --after 5")
    if metric and not mode:
        raise UsageError(f"--metric {metric}: is a low value the better one?", hint="add  --mode min  or  --mode max")
    return KeepBest(count, after, metric or "loss", mode or "min")


def failures(text: str | None, slots: int) -> int | None:
    """Parses how many of the slots may fail: `5`, or `5%` of them, rounded down. Raises UsageError."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%|(\d+)", text.strip())
    if found is None or (found[1] and float(found[1]) > 100):
        raise UsageError(f"max failures {text!r} is not a number or a share of slots", hint="write  5  or  5%")
    return int(float(found[1]) * slots / 100) if found[1] else int(found[2])
