"""A duration as Nomad writes it ("1h30m", "10s") goes in; nanoseconds come out, or what is wrong with it."""

from __future__ import annotations

from jobs import durations
from jobs.hcl.values import ValueProblem

_LARGEST = 2**63 - 1


def parse_duration(text: str) -> int:
    """Nanoseconds, rounded towards zero. Raises ValueProblem unless `text` is a number with a unit, or several."""
    try:
        nanoseconds = durations.parse_duration(text)
    except ValueError:
        problem = f'"{text[:40]}" is no duration: it needs a number and a unit, as in "30s", "5m" or "1h30m"'
        raise ValueProblem(problem) from None
    if abs(nanoseconds) > _LARGEST:
        raise ValueProblem(f'the duration "{text[:40]}" is too long')
    return nanoseconds
