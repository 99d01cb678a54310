"""Result of one check, as a value. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

DISTRIBUTION = "fedml-nomad"


class Outcome(StrEnum):
    """`failed`: something needed is missing. `skipped`: it could not be checked, and `detail` says why."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked (`region us`, `tokens`), the result, and what to do where that isn't good."""

    subject: str
    name: str
    outcome: Outcome
    detail: str = ""
    remedy: str = ""


def is_healthy(checks: Iterable[Check]) -> bool:
    """Whether no check failed."""
    return all(check.outcome is not Outcome.FAILED for check in checks)


def clock_check(subject: str, skew_s: float | None, *, limit_s: float, error_s: float) -> Check:
    """Judges a difference between this machine's clock and another's, which is exact to `error_s`."""
    if skew_s is None:
        return Check(subject, "clock", Outcome.SKIPPED, "it doesn't tell its time")
    distance_s = max(abs(skew_s) - error_s, 0.0)
    if distance_s < 5:
        return Check(subject, "clock", Outcome.OK, f"{distance_s:.0f} s apart")
    remedy = "set both clocks by NTP (`timedatectl` shows this one's state)"
    detail = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} this machine"
    return Check(subject, "clock", Outcome.FAILED if distance_s > limit_s else Outcome.WARNING, detail, remedy)
