"""What one slot costs a region's servers: requests by kind, counted at a proxy in front of embedded regions.

`python -m tests.bench.requests_a_slot` prints the table of docs/explanation/performance.md. `BENCH_SLOTS`: the number of slots.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench.counting_proxy import CountingProxy
from tests.bench.dispatch import FEDML, REGIONS, nodes, project_file
from tests.bench.main_job import MOCK_JOB
from tests.bench.measure import Figure

SLOTS = int(os.environ.get("BENCH_SLOTS", "300"))
PUBLISHED = 40
"""Slots whose tasks publish: each is a process of Python."""
TOKEN = ".fedml/dev/token"
PUBLISHING_JOB = """
job "bench" {
  type = "batch"
  parameterized { meta_optional = ["version"] }
  group "g" {
    reschedule { attempts = 0 }
    task "t" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "echo 1 > $NOMAD_ALLOC_DIR/model && fedml publish $NOMAD_ALLOC_DIR/model"]
      }
      resources {
        cpu    = 20
        memory = 10
      }
    }
  }
}
"""


def counted(folder: Path, slots: int, *, results: str, job: str, keep_logs: str) -> Counter[str]:
    """The requests of one whole `fedml dispatch`."""
    folder.mkdir()
    drivers = nodes().replace("memory_mb = 400000", 'memory_mb = 400000, drivers = ["raw_exec", "mock_driver"]')
    more = f'keep_logs = "{keep_logs}"'
    config = folder / "fedml.toml"
    config.write_text(project_file({name: f"dev:{name}" for name in REGIONS}, results=results, more=more) + drivers)
    (folder / "bench.nomad.hcl").write_text(job)
    try:
        subprocess.run([FEDML, "dev", "up"], cwd=folder, check=True, capture_output=True)
        subprocess.run([FEDML, "deploy"], cwd=folder, check=True, capture_output=True)
        state = json.loads((folder / ".fedml" / "dev" / "state.json").read_text())["servers"]
        with ExitStack() as stack:
            proxies = {
                name: stack.enter_context(
                    CountingProxy(f"http://127.0.0.1:{state[f'region:{name}']['port']}").serving()
                )
                for name in REGIONS
            }
            text = project_file(
                {name: proxy.address_here for name, proxy in proxies.items()}, results=results, more=more
            )
            token = f'token = {{ file = "{TOKEN}" }}'
            for name in REGIONS:
                text = text.replace(f"[regions.{name}]\n", f"[regions.{name}]\n{token}\n")
            (folder / "counted.toml").write_text(text)
            command = [FEDML, "dispatch", "-n", str(slots), "--config", "counted.toml"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            return sum((proxy.counts for proxy in proxies.values()), Counter())
    finally:
        subprocess.run([FEDML, "dev", "down", "--purge", "--yes"], cwd=folder, check=True, capture_output=True)


def cases(folder: Path) -> Iterator[tuple[str, int, Counter[str]]]:
    """(what, slots, requests)."""
    yield (
        "without results",
        SLOTS,
        counted(folder / "none", SLOTS, results="none", job=MOCK_JOB, keep_logs="sample"),
    )
    yield (
        "with publish",
        PUBLISHED,
        counted(folder / "publish", PUBLISHED, results="publish", job=PUBLISHING_JOB, keep_logs="sample"),
    )


LIMITS = {"without results": 2.5, "with publish": 4.0}


def figures(folder: Path) -> Iterator[Figure]:
    """One figure a case."""
    for what, slots, counts in cases(folder):
        found, limit = sum(counts.values()) / slots, LIMITS[what]
        yield Figure(
            f"requests to regions a slot, {what}, {slots} slots", round(found, 2), "requests", "one dispatch a slot",
            round(found, 2), f"≤ {limit}", found <= limit,
        )  # fmt: skip


def table(folder: Path) -> str:
    """As Markdown."""
    lines = []
    for what, slots, counts in cases(folder):
        lines += [f"| {what}, {slots} slots | requests | a slot |", "| --- | ---: | ---: |"]
        lines += [f"| `{kind}` | {count} | {count / slots:.2f} |" for kind, count in counts.most_common()]
        total = sum(counts.values())
        lines += [f"| all | {total} | {total / slots:.2f} |", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="fedml-bench.") as place:
        sys.stdout.write(table(Path(place)))
