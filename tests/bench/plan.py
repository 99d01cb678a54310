"""Planning's figures: a plan of a million slots over a hundred regions, and regions that are asked together."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from federation.capacity import snapshot
from jobs.errors import FedmlError
from jobs.spec import shape_of
from regions.model import Region
from regions.nomad.client import NomadRegion
from tests.bench.measure import Figure, at_most, process_s, ratio_of

RUNS = 7
MILLION = """
from federation.plan import Room, plan
made = plan(1_000_000, [Room(f"r{n:03}", 50 + n, weight=1 + (n & 1)) for n in range(100)], "POLICY")
assert sum(one.slots for one in made.placements) == 1_000_000
"""
JOB: dict[str, Any] = {
    "ID": "train",
    "Type": "batch",
    "Datacenters": ["dc1"],
    "Meta": {"fedml_spec": "0" * 64},
    "ParameterizedJob": {},
    "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}],
}


def million_figure(folder: Path, policy: str) -> Figure:
    """A process that plans a million slots over a hundred regions, against one that does nothing."""
    ours, ratio = ratio_of(
        lambda: process_s([sys.executable, "-c", MILLION.replace("POLICY", policy)], folder),
        lambda: process_s([sys.executable, "-c", "pass"], folder),
        runs=RUNS,
    )
    return at_most(f"plan of 1,000,000 slots over 100 regions, {policy}", ours, "a bare Python start", ratio, 20)


def together_figure(regions: int) -> Figure:
    """Regions that are 40 ms and more away asked at once, against the slowest of them asked alone: the very probe of `plan`."""
    far = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.slow_regions"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert far.stdin is not None
    assert far.stdout is not None
    try:
        address = f"http://127.0.0.1:{far.stdout.readline().strip()}"
        clients = [NomadRegion(Region(f"r{number}", (address,), {})) for number in range(regions)]
        jobs: dict[str, dict[str, Any] | FedmlError] = {client.name: JOB for client in clients}

        def asked(some: Sequence[NomadRegion]) -> float:
            for client in clients:
                client.close()  # each time with new connections, as a command does
            start = time.perf_counter()
            answers = snapshot(some, jobs, shape_of(JOB)).regions.values()
            took = time.perf_counter() - start
            assert all(one.free == 8 for one in answers)
            return took

        value, ratio = ratio_of(lambda: asked(clients), lambda: asked(clients[-1:]), runs=RUNS)
    finally:
        far.stdin.close()
        far.wait()
        far.stdout.close()
    return at_most(f"{regions} regions asked together", value, "the slowest of them alone", ratio, 1.2)


def figures(folder: Path) -> Iterator[Figure]:
    """All of them."""
    for policy in ("spread", "weights", "fastest"):
        yield million_figure(folder, policy)
    for regions in (3, 20):
        yield together_figure(regions)
