"""What of a scheduler's answer is the same on every run, and where a real Nomad's answers are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORLDS = 200
VERSIONS = ("1.6.3",)
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


def kept(version: str) -> Path:
    return Path(__file__).with_name(f"real_placements-{version}.json")


def reasons(failed: dict[str, Any]) -> dict[str, Any]:
    """Group → Nomad's counters, but for those that depend on which node was looked at first."""
    return {group: {name: metrics[name] for name in _DETERMINISTIC} for group, metrics in failed.items()}
