"""Formats checks for people and programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from federation.check import Check, Outcome, is_healthy


def rows(checks: Sequence[Check]) -> list[tuple[str, str, str, str]]:
    """Rows of subject, outcome, result and what to do. Good results take one row a subject, each other one a row of its
    own."""
    found = []
    for subject, group in groupby(checks, key=lambda check: check.subject):
        here = list(group)
        good = [check for check in here if check.outcome is Outcome.OK]
        if good:
            found.append((subject, str(Outcome.OK), "; ".join(_good(good)), ""))
        found += [
            (subject, str(check.outcome), f"{check.name}: {check.detail}".removesuffix(": "), check.remedy)
            for check in here
            if check.outcome is not Outcome.OK
        ]
    return found


def _good(checks: Sequence[Check]) -> list[str]:
    """`may list-jobs, may read-job` as `may list-jobs, read-job`."""
    may = [check.name.removeprefix("may ") for check in checks if check.name.startswith("may ")]
    texts = [
        f"{check.name}: {check.detail}" if check.detail else check.name
        for check in checks
        if not check.name.startswith("may ")
    ]
    return [*texts, f"may {', '.join(may)}"] if may else texts


def summary(checks: Sequence[Check]) -> str:
    """One line that sums up all checks."""
    counts = {outcome: sum(check.outcome is outcome for check in checks) for outcome in Outcome}
    parts = [f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome]]
    return (
        f"{', '.join(parts)}: {'nothing needed is missing' if is_healthy(checks) else 'something needed is missing'}."
    )


def as_json(checks: Sequence[Check]) -> dict[str, object]:
    """For `--json`."""
    return {
        "healthy": is_healthy(checks),
        "checks": [
            {
                "subject": check.subject,
                "name": check.name,
                "outcome": str(check.outcome),
                "detail": check.detail,
                "remedy": check.remedy,
            }
            for check in checks
        ],
    }
