"""Two commands enter, the ratio of their wall times leaves: run in turn, A B A B …, medians quoted."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One figure as `build/bench.json` holds it. `holds` is None where there is no goal."""

    name: str
    value: float
    unit: str
    against: str
    ratio: float
    goal: str
    holds: bool | None


def ratio_of(ours: Callable[[], float], theirs: Callable[[], float], *, runs: int) -> tuple[float, float]:
    """(median of ours, median of the pairwise ratios); one pair runs first and isn't counted."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(a / b for a, b in pairs)


def process_s(arguments: Sequence[str], cwd: Path, *, codes: tuple[int, ...] = (0,)) -> float:
    """Wall seconds of one process; raises when it ends with another exit code."""
    start = time.perf_counter()
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return seconds


def at_most(name: str, value: float, against: str, ratio: float, limit: float) -> Figure:
    """A figure that should not exceed `limit` × what it is held against."""
    return Figure(name, round(value, 4), "s", against, round(ratio, 3), f"≤ {limit}", ratio <= limit)


def at_least(name: str, value: float, unit: str, against: str, ratio: float, limit: float) -> Figure:
    """A figure that should reach `limit` × what it is held against."""
    return Figure(name, round(value, 2), unit, against, round(ratio, 3), f"≥ {limit}", ratio >= limit)
