"""Decides by a restart policy whether an ended task starts again, after how long, and why."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from jobs.durations import format_duration

WITHIN_POLICY = "Restart within policy"


class Verdict(NamedTuple):
    """Result of the decision: `restart`, `fail` (the task failed for good) or `done` (it ended well)."""

    word: str
    reason: str
    delay_ns: int = 0


class RestartTracker:
    """Counts one task's restarts. The count doesn't survive a restart of the region, as with Nomad."""

    __slots__ = ("_count", "_on_success", "_policy", "_since_ns")

    def __init__(self, policy: dict[str, Any], lifecycle: dict[str, Any] | None) -> None:
        self._policy = policy
        hook = (lifecycle or {}).get("Hook")
        self._on_success = hook in ("prestart", "poststart") and bool((lifecycle or {}).get("Sidecar"))
        self._count = 0
        self._since_ns = time.monotonic_ns()

    def after(self, *, succeeded: bool, recoverable: bool = True) -> Verdict:
        """Decides what follows an exit (`succeeded` or not) or a failed start (`recoverable` or not)."""
        policy = self._policy
        ended_well = succeeded and not self._on_success
        if not policy["Attempts"]:
            reason = "Policy allows no restarts"
            return Verdict("done" if ended_well else "fail", reason)
        now = time.monotonic_ns()
        if now > self._since_ns + policy["Interval"]:
            self._count = 0
            self._since_ns = now
        self._count += 1
        if not recoverable:
            return Verdict("fail", "Error was unrecoverable")
        if ended_well:
            return Verdict("done", "Restart unnecessary as task terminated successfully")
        if self._count <= policy["Attempts"]:
            return Verdict("restart", WITHIN_POLICY, self._jittered())
        if policy["Mode"] == "fail":
            interval = format_duration(policy["Interval"])
            reason = f'Exceeded allowed attempts {policy["Attempts"]} in interval {interval} and mode is "fail"'
            return Verdict("fail", reason)
        wait_ns = max(self._since_ns + policy["Interval"] - now, 0)
        return Verdict("restart", "Exceeded allowed attempts, applying a delay", wait_ns)

    def _jittered(self) -> int:
        import random  # loaded on first use

        delay = max(int(self._policy["Delay"]), 1)
        return delay + int(random.randrange(delay) * 0.25)  # noqa: S311
