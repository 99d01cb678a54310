"""Live curves: what reading the curves of 1,000 running tasks takes of a core, beside a coordinator, and how many requests."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from federation.curves import KeepBest
from federation.run.brain.events import Measured
from federation.run.curve_reader import REQUESTS_A_MINUTE, CurveReader
from regions.model import Allocation, Region
from regions.nomad.client import NomadRegion
from tests.bench.measure import Figure

TASKS = 1_000
SECONDS = 20.0
REGIONS = (1, 10)
LIMIT = 0.05


def figures(folder: Path) -> Iterator[Figure]:
    """Each task has grown by 20 lines since it was read last."""
    for count in REGIONS:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.growing_files"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            share, requests, measured = _read(port, count)
        finally:
            server.communicate()
        name = f"live curves of {TASKS:,} running tasks in {count} region{'s' * (count > 1)}"
        assert measured > 0
        yield Figure(name, round(share, 4), "of a core", "a core", round(share, 4), f"≤ {LIMIT}", share <= LIMIT)
        yield Figure(
            f"{name}: requests", round(requests), "a minute a region", "the bound", round(requests / REQUESTS_A_MINUTE, 3),
            "≤ 1", requests <= REQUESTS_A_MINUTE,
        )  # fmt: skip


def _read(port: int, count: int) -> tuple[float, float, int]:
    """(share of a core, requests a minute a region, values taken)."""
    clients = {
        f"r{number}": NomadRegion(Region(f"r{number}", (f"http://127.0.0.1:{port}",), {})) for number in range(count)
    }
    reader = CurveReader(clients, keep=KeepBest(8, 5), slots=TASKS)
    taken: list[Measured] = []
    for number in range(TASKS):
        alloc_id = f"{number:08d}-0000-4000-8000-000000000000"
        allocation = Allocation(alloc_id, f"job/dispatch-{number}", "g", 0, "n", "n-1", "running", "run")
        reader.changed(f"r{number % count}", allocation)
    with reader.reading(taken.append):
        while len(taken) < 3 * count:  # connections stand
            time.sleep(0.1)
        before, began_s, cpu_s = len(taken), time.monotonic(), time.process_time()
        threading.Event().wait(SECONDS)
        share = (time.process_time() - cpu_s) / (time.monotonic() - began_s)
        measured = len(taken) - before
    for client in clients.values():
        client.close()
    return share, 2 * measured * 60 / SECONDS / count, measured
