"""What of a scheduler's answer is the same on every run, and where a real Nomad's answers are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORLDS = 200
KEPT = Path(__file__).with_name("real_placements.json")
_DETERMINISTIC = (
    "ClassExhausted",
    "ClassFiltered",
    "CoalescedFailures",
    "ConstraintFiltered",
    "DimensionExhausted",
    "NodesAvailable",
    "NodesEvaluated",
    "NodesExhausted",
    "NodesFiltered",
    "ResourcesExhausted",
)


def reasons(failed: dict[str, Any]) -> dict[str, Any]:
    """Group → Nomad's counters, but for those that depend on which node was looked at first."""
    return {group: {name: metrics[name] for name in _DETERMINISTIC} for group, metrics in failed.items()}
