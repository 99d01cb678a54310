"""An answer in the newest shape enters, the answer that an older Nomad would give leaves: without the fields it lacked."""

from __future__ import annotations

from typing import Any

from regions.local.config import RegionConfig

_SINCE = {
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
_FREE = ("Meta", "Env", "Config", "Attributes")
"""Where names are the user's own."""


def missing_fields(config: RegionConfig) -> frozenset[str]:
    """The fields that the declared version doesn't have yet."""
    return frozenset(name for name, (major, minor) in _SINCE.items() if not config.has(major, minor))


def without(value: Any, missing: frozenset[str]) -> Any:
    """The same value without these fields, at any depth."""
    if isinstance(value, dict):
        return {
            name: item if name in _FREE else without(item, missing)
            for name, item in value.items()
            if name not in missing
        }
    if isinstance(value, list):
        return [without(item, missing) for item in value]
    return value
