"""Decides how many random examples a test tries: all of them with SOAK=1 (`make soak`), else a third."""

from __future__ import annotations

import os


def examples(count: int) -> int:
    """So many of the `count` examples of a soak."""
    return count if os.environ.get("SOAK") else -(-count // 3)
