"""Unknown, heavy-tailed durations over 100 unequal regions enter, makespans leave: late binding against binding early.

`python -m tests.bench.makespan docs/explanation/makespan.svg` draws the picture in the documentation and prints its table.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.charts.bars import Bar, bars
from federation.charts.states import region_class
from federation.plan import POLICIES, Room
from tests.bench.virtual_run import VirtualRun, bound_early, lower_bound

REGIONS = 100
SLOTS = 8_000
MEDIAN_S = 600.0


@dataclass(frozen=True)
class Makespans:
    """Seconds, of one draw of durations and sizes."""

    shape: str
    bound_s: float
    late_s: float
    greedy_s: float
    """By a scheduler that has no latency and sees all nodes: the best that can be done without knowing durations."""
    early_s: float
    equal_s: float


def sizes_of(seed: int) -> dict[str, int]:
    """100 regions of 1 to 100 slots, most of them small."""
    rng = random.Random(f"sizes/{seed}")
    return {f"r{number:02d}": max(1, min(100, int(rng.paretovariate(1.0)))) for number in range(REGIONS)}


DRAWS = {
    "all alike": lambda rng: MEDIAN_S,
    "uniform, 1 to 1,199 s": lambda rng: rng.uniform(1, 2 * MEDIAN_S - 1),
    "Pareto 1.5, at most 10 times the shortest": lambda rng: min(rng.paretovariate(1.5), 10) * MEDIAN_S / 2,
    "lognormal 1, at most 10 times the median": lambda rng: min(rng.lognormvariate(0, 1.0), 10) * MEDIAN_S,
    "lognormal 1.5, no limit": lambda rng: rng.lognormvariate(0, 1.5) * MEDIAN_S,
}
GOAL = "Pareto 1.5, at most 10 times the shortest"
"""Heavy-tailed, under a limit as `--slot-timeout` sets one: else the one longest slot is the makespan, whoever schedules."""


def durations_of(shape: str, slots: int, seed: int) -> list[float]:
    """Seconds a slot, which nobody knows beforehand."""
    rng = random.Random(f"{shape}/{seed}")
    return [DRAWS[shape](rng) for _ in range(slots)]


def measured(shape: str, *, slots: int = SLOTS, seed: int = 1) -> Makespans:
    """One draw, in all three ways."""
    sizes, durations = sizes_of(seed), durations_of(shape, slots, seed)
    rooms = [Room(name, size, order=number) for number, (name, size) in enumerate(sizes.items())]
    return Makespans(
        shape,
        lower_bound(durations, sizes),
        VirtualRun(durations, sizes).run(),
        bound_early(durations, {"all": sum(sizes.values())}, {"all": slots}),
        bound_early(durations, sizes, _in_proportion(slots, rooms)),
        bound_early(durations, sizes, _equal(slots, sizes)),
    )


def _in_proportion(slots: int, rooms: Sequence[Room]) -> dict[str, int]:
    free = sum(room.free for room in rooms)
    whole, rest = divmod(slots, free)
    more = POLICIES["spread"](rest, rooms)
    return {room.region: whole * room.free + more.get(room.region, 0) for room in rooms}


def _equal(slots: int, sizes: Mapping[str, int]) -> dict[str, int]:
    whole, rest = divmod(slots, len(sizes))
    return {name: whole + (number < rest) for number, name in enumerate(sizes)}


def table(rows: Sequence[Makespans]) -> str:
    """As Markdown: each against the lower bound."""
    lines = ["| durations | lower bound | fedml | no latency | bound early | equal counts |", "| --- |" + " ---: |" * 5]
    lines += [
        f"| {one.shape} | {one.bound_s / 3600:.2f} h | {one.late_s / one.bound_s:.3f} × "
        f"| {one.greedy_s / one.bound_s:.3f} × | {one.early_s / one.bound_s:.2f} × | {one.equal_s / one.bound_s:.1f} × |"
        for one in rows
    ]
    return "\n".join(lines)


def draw(rows: Sequence[Makespans], path: Path) -> None:
    """The same as a picture."""
    ways = (("bound late, by fedml", "late_s"), ("bound early", "early_s"), ("equal counts", "equal_s"))
    shown = [
        Bar(f"{one.shape}: {way}", getattr(one, name) / one.bound_s, unit="×", kind=region_class(place))
        for one in rows
        for place, (way, name) in enumerate(ways)
    ]
    path.write_text(bars(shown, label="makespan / lower bound").standalone(), encoding="utf-8")


if __name__ == "__main__":
    found = [measured(shape) for shape in DRAWS]
    print(table(found))
    if len(sys.argv) > 1:
        draw(found, Path(sys.argv[1]))
