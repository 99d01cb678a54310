"""`make chaos SEEDS=200 [SEED=base]`: seeded faults around the run's brain; a failing seed prints the command that replays it.

Invariants are checked after every step (tests/federation/run/brain/invariants.py). What fails is shrunk: as few kinds of faults
and slots as still fail, and that is the command printed (WITHOUT=…, SLOTS=…).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from federation.curves import KeepBest
from federation.plan import Room
from federation.run.brain.brain import Brain
from federation.run.brain.events import Measured
from tests.federation.run.brain.faults import KINDS
from tests.federation.run.brain.world import MANIFEST, World

SEEDS = int(os.environ.get("SEEDS", "200"))
BASE = int(os.environ.get("SEED", "1000"))
WITHOUT = tuple(filter(None, os.environ.get("WITHOUT", "").split(",")))
SLOTS = int(os.environ.get("SLOTS", "0"))


def one_run(
    seed: int, *, without: tuple[str, ...] = WITHOUT, slots: int = SLOTS, make_brain: Callable[..., Brain] = Brain
) -> World:
    """The run that belongs to a seed: its size, regions, limits and faults follow from it alone."""
    count = 2 + seed % 5
    names = tuple(f"r{number}" for number in range(count))
    sizes = {name: 1 + (seed * 7 + number * 3) % 4 for number, name in enumerate(names)}
    rooms = {name: Room(name, 0, order=number) for number, name in enumerate(names)}
    slots = count if seed % 11 == 0 else slots or 3 + seed % 17
    if seed % 4 == 0:
        rooms["r0"] = replace(rooms["r0"], cap=2)
    if seed % 6 == 0:
        rooms["r1"] = replace(rooms["r1"], elastic=2)
    world = World(
        seed, sizes=sizes, rooms=rooms, scale=1.0 if seed % 3 else 2.0, without=without, seats=2 if seed % 5 == 0 else 1,
        max_outstanding={"r1": 6} if seed % 7 == 0 else None, share=1 + seed % 3 if seed % 13 == 5 else None,
        make_brain=make_brain, stop_when=_stops if seed % 5 == 2 else None,
    )  # fmt: skip
    if seed % 10 == 3:
        world.cancel_at = 5.0 + seed % 60
    manifest = replace(
        MANIFEST,
        slots=slots,
        regions=names,
        max_attempts=3 + 27 * (seed % 3 > 0),
        one_each=seed % 11 == 0,
        slot_timeout_s=60.0 if seed % 2 else None,
        pending_timeout_s=25.0 if seed % 3 == 1 else None,
        on_region_lost="wait" if seed % 13 == 0 else "rebind",
        purge_finished=seed % 7 == 0,
        canary=1 if seed % 9 == 0 else 0,
        canary_on_failure="local" if seed % 2 else "all",
        max_failures=seed % 16 // 8 if seed % 4 == 0 else None,
        results="none" if seed % 8 == 7 else "publish",
        keep_best=KeepBest(1 + slots // 3, 5, mode="min" if seed % 2 else "max") if seed % 6 in (1, 4) else None,
    )
    world.run(manifest)
    return world


def _stops(_slot: int, newest: Measured) -> str:
    return "--stop-when metrics.loss > 0.6" if newest.values["loss"] > 0.6 else ""


def failure(seed: int, without: tuple[str, ...], slots: int) -> str:
    """What goes wrong in this run; "" when nothing does."""
    try:
        one_run(seed, without=without, slots=slots)
    except Exception as error:  # noqa: BLE001 - it is told
        return f"{type(error).__name__}: {error}"
    return ""


def shrunk(seed: int) -> str:
    """The smallest run like it that still fails, as the command that replays it."""
    slots, without = SLOTS, WITHOUT
    for fewer in (1, 2, 4, 8):
        if failure(seed, without, fewer):
            slots = fewer
            break
    for kind in KINDS:
        if kind not in without and failure(seed, (*without, kind), slots):
            without = (*without, kind)
    settings = [f"WITHOUT={','.join(without)}"] * bool(without) + [f"SLOTS={slots}"] * bool(slots)
    return f"{failure(seed, without, slots)}\nreplay: make chaos SEEDS=1 SEED={seed} {' '.join(settings)}"


@pytest.mark.parametrize("seed", range(BASE, BASE + SEEDS))
def test_once_faults_stop_every_key_is_committed_or_its_failure_named(seed: int) -> None:
    try:
        world = one_run(seed)
    except Exception as error:
        raise AssertionError(shrunk(seed)) from error
    assert world.closed is not None
