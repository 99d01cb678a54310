"""Ten coordinators at once on one embedded region that has room for a few slots: each gets its part, none starves."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.dispatch import FEDML
from tests.bench.main_job import MOCK_JOB
from tests.bench.measure import Figure

COORDINATORS = 10
SLOTS = 40
"""Of each."""
ROOM = 50

CONFIG = """
[federation]
home = "file://./stores/home"
results = "none"
[regions.us]
addresses = ["dev:us"]
[regions.us.datacenters.us-east-1]
store = "file://./stores/us"
[dev.regions.us]
nodes = [{ name = "us-1", datacenter = "us-east-1", cpu_mhz = 1000, memory_mb = 4000, drivers = ["mock_driver"] }]
"""


def figures(folder: Path) -> Iterator[Figure]:
    """How much later the last of them is over than the median one."""
    (folder / "fedml.toml").write_text(CONFIG)
    (folder / "bench.nomad.hcl").write_text(MOCK_JOB.replace("1ms", "200ms"))
    try:
        subprocess.run([FEDML, "dev", "up"], cwd=folder, check=True, capture_output=True)
        subprocess.run([FEDML, "deploy"], cwd=folder, check=True, capture_output=True)
        took_s = _all_at_once(folder)
    finally:
        subprocess.run([FEDML, "dev", "down", "--purge", "--yes"], cwd=folder, check=True, capture_output=True)
    median_s = statistics.median(took_s)
    late = max(took_s) / median_s
    yield Figure(
        f"{COORDINATORS} coordinators of {SLOTS} slots in a region with room for {ROOM}: the last one", round(max(took_s), 2),
        "s", "the median one", round(late, 3), "≤ 1.5", late <= 1.5,
    )  # fmt: skip


def _all_at_once(folder: Path) -> list[float]:
    """Seconds until each has ended. Raises where one fails."""
    begun_s = time.monotonic()
    command = [FEDML, "dispatch", "-n", str(SLOTS)]
    running = [
        subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(COORDINATORS)
    ]
    ended: dict[int, float] = {}
    while len(ended) < len(running):
        for number, process in enumerate(running):
            if number not in ended and process.poll() is not None:
                ended[number] = time.monotonic() - begun_s
                assert process.stderr is not None
                assert process.returncode == 0, process.stderr.read().decode()[-2000:]
        time.sleep(0.05)
    return list(ended.values())
