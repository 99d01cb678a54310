"""The virtual world at the size that a federation is meant for at most, with faults everywhere."""

from __future__ import annotations

import os
from dataclasses import replace

from tests.federation.run.brain.world import MANIFEST, World


def test_a_thousand_regions() -> None:
    """Three thousand slots over a thousand regions, with thousands of faults: every key is committed."""
    names = tuple(f"r{number}" for number in range(3000 if os.environ.get("SOAK") else 1000))
    sizes = {name: 1 + number % 4 for number, name in enumerate(names)}
    world = World(1000, sizes=sizes, scale=0.5)
    closed = world.run(replace(MANIFEST, slots=3 * len(names), regions=names, max_attempts=30))
    assert closed.state == "done"
    assert len(world.index) == 3 * len(names)
    assert sum(world.faults.happened.values()) > 5 * len(names)
