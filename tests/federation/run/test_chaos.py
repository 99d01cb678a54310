"""`make chaos SEEDS=200 [SEED=base]`: seeded faults around the run's brain; a failing seed prints the command that replays it.

Invariants are checked by the world after every step (tests/federation/run/world.py); here is what must be true at the end.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.federation.run.world import MANIFEST, World

SEEDS = int(os.environ.get("SEEDS", "200"))
BASE = int(os.environ.get("SEED", "1000"))


@pytest.mark.parametrize("seed", range(BASE, BASE + SEEDS))
def test_once_faults_stop_every_key_is_committed_or_its_failure_named(seed: int) -> None:
    world = World(seed, faults=0.12, bad=0.03 if seed % 2 else 0.0, cuts=0.01)
    slots = 4 + seed % 17
    manifest = replace(MANIFEST, slots=slots, max_attempts=3 + 47 * (seed % 3 > 0), one_each=seed % 5 == 0)
    restarts = [world.random.randrange(1, 400) for _ in range(seed % 4)]
    replay = f"replay: make chaos SEEDS=1 SEED={seed}"
    closed = world.run(manifest, restart_at=restarts)
    done = {key.slot for key in world.index}
    failed = {tell.slot: tell.detail for tell in world.told if tell.kind == "failed"}
    assert done | set(failed) == set(range(slots)), replay
    assert all(failed.values()), replay
    assert closed.state == ("done" if done == set(range(slots)) else "failed"), replay
