"""The form of every JSON document that a command prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEMA_VERSION = 1
"""Grows when a key is renamed or removed, or gets another meaning. New keys don't change it."""


def versioned(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the document with its schema version as the first key."""
    return {"schema_version": SCHEMA_VERSION, **document}
