"""`fedml dispatch` of slots that do nothing, on two real regions, against python-nomad on the same servers in the same run.

Each binary of NOMAD_BIN (separated as PATH is) is measured; without one there are no figures. `BENCH_SLOTS` is the number of
slots (1,000), `BENCH_RUNS` how often each is run, by turns (3). Between two runs Nomad forgets all children, so that
everybody begins with the same servers.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import requests

from tests.bench.measure import Figure, at_least
from tests.conformance.conftest import BINARIES

FEDML = str(Path(sys.executable).with_name("fedml"))
SLOTS = int(os.environ.get("BENCH_SLOTS", "1000"))
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
REGIONS = {"us": "us-east-1", "eu": "eu-west-1"}

JOB = """
job "bench" {
  type = "batch"
  parameterized {}
  group "g" {
    reschedule { attempts = 0 }
    restart { attempts = 0 }
    ephemeral_disk { size = 10 }
    task "t" {
      driver = "raw_exec"
      config { command = "/bin/true" }
      logs {
        max_files     = 1
        max_file_size = 1
      }
      resources {
        cpu    = 20
        memory = 10
      }
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds from the start of a command, and its CPU seconds."""

    dispatched_s: float
    over_s: float
    cpu_s: float
    first_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Regions:
    """A project whose two real regions are up."""

    folder: Path
    addresses: tuple[str, ...]

    def forget(self) -> None:
        """Has Nomad collect all dead children, and waits until they are gone."""
        for address in self.addresses:
            while requests.get(f"{address}/v1/jobs", params={"prefix": "bench/dispatch-"}, timeout=60).json():
                requests.put(f"{address}/v1/system/gc", timeout=60).raise_for_status()
                time.sleep(0.5)


def project_file(addresses: Mapping[str, str], *, results: str = "none", more: str = "") -> str:
    """A fedml.toml with these regions, whose stores are folders."""
    lines = ["[federation]", 'home = "file://./stores/home"', f'results = "{results}"', more]
    for name, address in addresses.items():
        lines += [f"[regions.{name}]", f'addresses = ["{address}"]', f"[regions.{name}.datacenters.{REGIONS[name]}]"]
        lines += [f'store = "file://./stores/{name}"']
    return "\n".join(lines) + "\n"


def nodes(memory_mb: int = 400_000) -> str:
    """Nodes for `fedml dev up` on which everything has room at once."""
    size = f"cpu_mhz = 200000, memory_mb = {memory_mb}"
    return "".join(
        f'[dev.regions.{name}]\nnodes = [{{ name = "{name}-1", datacenter = "{datacenter}", {size} }}]\n'
        for name, datacenter in REGIONS.items()
    )


@contextmanager
def real_regions(folder: Path, binary: str) -> Iterator[Regions]:
    """Two regions of that Nomad, each with one node."""
    folder.mkdir(parents=True)
    (folder / "fedml.toml").write_text(project_file({name: f"dev:{name}" for name in REGIONS}) + nodes())
    (folder / "bench.nomad.hcl").write_text(JOB)
    environment = {**os.environ, "NOMAD_BIN": binary}
    command = [FEDML, "dev", "up", "--engine", "nomad"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
        subprocess.run([FEDML, "deploy"], cwd=folder, check=True, capture_output=True)
        state = json.loads((folder / ".fedml" / "dev" / "state.json").read_text())["servers"]
        yield Regions(folder, tuple(f"http://127.0.0.1:{state[f'region:{name}']['port']}" for name in REGIONS))
    finally:
        subprocess.run([FEDML, "dev", "down", "--purge", "--yes"], cwd=folder, check=True, capture_output=True)


def ours(regions: Regions, slots: int) -> Took:
    """One `fedml dispatch` to its end."""
    log = regions.folder / "events.jsonl"
    log.unlink(missing_ok=True)
    command = [FEDML, "dispatch", "-n", str(slots), "--log-file", str(log)]
    before, begun_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    subprocess.run(command, cwd=regions.folder, check=True, capture_output=True)
    over_s, after = time.time() - begun_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    events = map(json.loads, log.read_text().splitlines())
    times_s = [
        datetime.fromisoformat(event["time"]).timestamp() - begun_s
        for event in events
        if event.get("event") == "dispatched"
    ]
    assert len(times_s) == slots, f"{len(times_s)} of {slots} dispatched"
    return Took(max(times_s), over_s, cpu_s, min(times_s))


def rival(way: str, regions: Regions, slots: int) -> Took:
    """The same by a script."""
    command = [sys.executable, "-m", "tests.bench.rivals", way, str(slots), *regions.addresses]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Took(**told)


def by_turns(regions: Regions, ways: Sequence[Callable[[], Took]], runs: int) -> list[list[Took]]:
    """For each way what it took, run after run: A B A B …"""
    found: list[list[Took]] = [[] for _ in ways]
    for _ in range(runs):
        for number, way in enumerate(ways):
            regions.forget()
            found[number].append(way())
    return found


def ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of ours over theirs."""
    return statistics.median(a / b for a, b in pairs)


def compared(version: str, regions: Regions, slots: int, runs: int) -> Iterator[Figure]:
    """Ours against both rivals on one federation."""
    we, pool, loop = by_turns(
        regions,
        [
            lambda: ours(regions, slots),
            lambda: rival("pooled", regions, slots),
            lambda: rival("loop", regions, slots),
        ],
        runs,
    )
    what = f"Nomad {version}, {slots:,} slots"
    against = "python-nomad, 32 threads, pooled"
    for name, field, limit in (
        ("all dispatched", "dispatched_s", 1.1),
        ("all over and recorded", "over_s", 1.1),
        ("CPU", "cpu_s", 2.0),
    ):
        pairs = [(getattr(a, field), getattr(b, field)) for a, b in zip(we, pool, strict=True)]
        value, found = statistics.median(a for a, _ in pairs), ratio(pairs)
        yield Figure(f"{what}: {name}", round(value, 2), "s", against, round(found, 3), f"≤ {limit}", found <= limit)
    first_s = statistics.median(one.first_s for one in we)
    yield Figure(
        f"{what}: first dispatch", round(first_s, 2), "s", "0.7 s", round(first_s / 0.7, 3), "≤ 1", first_s <= 0.7
    )
    speeds = [(slots / a.dispatched_s, slots / b.dispatched_s) for a, b in zip(we, loop, strict=True)]
    speed = statistics.median(a for a, _ in speeds)
    yield at_least(f"{what}: dispatches", speed, "1/s", "python-nomad's default loop", ratio(speeds), 3.0)


def figures(folder: Path) -> Iterator[Figure]:
    """All of them, one Nomad after another."""
    for number, binary in enumerate(BINARIES):
        told = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout
        with real_regions(folder / str(number), binary) as regions:
            yield from compared(told.split()[1].lstrip("v"), regions, SLOTS, RUNS)
