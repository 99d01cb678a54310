"""An answer in the newest shape enters, the answer that an older Nomad would give leaves: without the fields it lacked."""

from __future__ import annotations

from typing import Any

from regions.local.config import RegionConfig

_SINCE: dict[str, tuple[int, ...]] = {
    "DispatchIdempotencyToken": (1, 1, 3),
    "MaxDynamicPort": (1, 1, 3),
    "MinDynamicPort": (1, 1, 3),
    "NoShutdownDelay": (1, 2),
    "HostNetworks": (1, 2),
    "CgroupParent": (1, 3),
    "LastMissedHeartbeatIndex": (1, 3, 10),
    "MaxClientDisconnect": (1, 3),
    "NextToken": (1, 3),
    "Unknown": (1, 3),
    "Identity": (1, 5),
    "Disabled": (1, 6),
    "NodePool": (1, 6),
    "NodePoolConfiguration": (1, 6),
    "NodesInPool": (1, 6),
    "RenderTemplates": (1, 6),
}
"""1.1.2 and 1.6.3 were looked at; what lies between them is from Nomad's change log."""
_LISTED_SINCE = {"NextAllocation": (1, 3)}
"""Fields that entries of lists got later than the objects themselves had them."""
_FREE = ("Meta", "Env", "Config", "Attributes", "Items")
"""Where names are the user's own."""


def missing_fields(config: RegionConfig) -> frozenset[str]:
    """The fields that the declared version doesn't have yet."""
    fields = {**_SINCE, **{f"{name} of a stub": since for name, since in _LISTED_SINCE.items()}}
    return frozenset(name for name, since in fields.items() if not config.has(*since))


def without(value: Any, missing: frozenset[str]) -> Any:
    """The same value without these fields, at any depth."""
    if isinstance(value, dict):
        is_stub = "JobVersion" in value
        return {
            name: item if name in _FREE else without(item, missing)
            for name, item in value.items()
            if name not in missing and not (is_stub and f"{name} of a stub" in missing)
        }
    if isinstance(value, list):
        return [without(item, missing) for item in value]
    return value


def without_fields(diff: Any, missing: frozenset[str]) -> Any:
    """A job's difference without the lines about these fields."""
    if isinstance(diff, list):
        return [without_fields(one, missing) for one in diff if one.get("Name") not in missing] or None
    if isinstance(diff, dict) and missing:
        nested = ("Fields", "Objects", "TaskGroups", "Tasks")
        return {name: without_fields(item, missing) if name in nested else item for name, item in diff.items()}
    return diff
