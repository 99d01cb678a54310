"""What a task used is told by its cgroup, else by its processes; another's is never taken for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from federation.publish.usage import task_usage

ALLOC = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11"
TICKS = os.sysconf("SC_CLK_TCK")

BURN = """
import os, sys, time
if len(sys.argv) > 1:
    block = b"x" * 60_000_000
    while sum(os.times()[:2]) < 0.3:
        pass
    sys.exit()
import json, subprocess
from federation.publish.usage import task_usage
subprocess.run([sys.executable, sys.argv[0], "train"], check=True)
print(json.dumps(task_usage(os.environ)))
"""


def proc(root: Path, cgroup: str, above: int = 77) -> Path:
    """A /proc where this process is the only one of its task, below one that isn't of it; `above` 1: it is of it."""
    for pid, parent, alloc in ((os.getpid(), above, ALLOC), (above, 0, ALLOC if above == 1 else "another")):
        folder = root / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "environ").write_bytes(f"PATH=/bin\0NOMAD_ALLOC_ID={alloc}\0".encode())
        times = f"{2 * TICKS} {TICKS} {TICKS} {TICKS}"
        (folder / "stat").write_text(f"{pid} (a) b) S {parent} 0 0 0 0 0 0 0 0 0 {times} 20 0 1 0 {100 * TICKS} 0")
        (folder / "status").write_text("Name:\ta\nVmHWM:\t  51200 kB\n")
    (root / "proc/self").mkdir()
    (root / "proc/self/cgroup").write_text(f"0::{cgroup}\n")
    (root / "proc/uptime").write_text("130.5 99.0\n")
    return root


def test_processes_of_the_task_with_what_they_waited_for(tmp_path: Path) -> None:
    root = proc(tmp_path, "/system.slice/nomad.service")
    used = task_usage({"NOMAD_ALLOC_ID": ALLOC}, root=root, children_peak_kb=614_400)
    assert used == {"task_cpu_seconds": "5.00", "task_memory_peak_mb": "600", "task_seconds": "30.5"}


def chain(root: Path, *processes: tuple[float, float, int]) -> dict[str, str]:
    """Usage of a task with these processes, this one first: own CPU seconds, those of waited children, peak in MB."""
    pids = [os.getpid(), *range(70, 70 + len(processes))]
    for place, (own_s, children_s, peak_mb) in enumerate([*processes, (9.0, 9.0, 9000)]):
        folder = root / "proc" / str(pids[place])
        folder.mkdir(parents=True)
        is_outside = place == len(processes)
        (folder / "environ").write_bytes(f"NOMAD_ALLOC_ID={'another' if is_outside else ALLOC}\0".encode())
        times = f"{round(own_s * TICKS)} 0 {round(children_s * TICKS)} 0"
        parent = 0 if is_outside else pids[place + 1]
        (folder / "stat").write_text(f"1 (a) S {parent} 0 0 0 0 0 0 0 0 0 {times} 20 0 1 0 0 0")
        (folder / "status").write_text(f"VmHWM:\t{peak_mb * 1024} kB\n")
    return task_usage({"NOMAD_ALLOC_ID": ALLOC}, root=root, children_peak_kb=0)


PUBLISH = (0.8, 0.0, 34)
"""`fedml publish` itself: what it uses is never said to be the training's."""


@pytest.mark.parametrize(
    ("processes", "peak"),
    [
        ([PUBLISH, (5.0, 0.1, 600)], "600"),  # the training starts it
        ([PUBLISH, (5.0, 1.0, 600), (0.0, 0.0, 2)], "600"),  # the same, started by a shell
        ([PUBLISH, (0.01, 9.0, 2)], None),  # a shell ran the training before: what that held isn't known
        ([PUBLISH, (0.2, 9.0, 20)], None),  # a small program did
    ],
)
def test_the_peak_is_the_training_s_own_or_none(
    tmp_path: Path, processes: list[tuple[float, float, int]], peak: str | None
) -> None:
    used = chain(tmp_path, *processes)
    assert used.get("task_memory_peak_mb") == peak
    assert "task_cpu_seconds" in used


@pytest.mark.parametrize("processes", [[PUBLISH], [PUBLISH, (0.0, 0.01, 2)]])
def test_a_task_that_only_publishes_records_nothing(tmp_path: Path, processes: list[tuple[float, float, int]]) -> None:
    assert chain(tmp_path, *processes) == {}


@pytest.mark.parametrize(
    ("name", "above"),
    [("/", 1), ("/", 77), (f"/nomad.slice/share.slice/{ALLOC}.train.scope", 77)],
)
def test_a_cgroup_of_its_own_tells_of_all(tmp_path: Path, name: str, above: int) -> None:
    root = proc(tmp_path, name, above)
    folder = root / "sys/fs/cgroup" / name.lstrip("/")
    folder.mkdir(parents=True)
    (folder / "memory.peak").write_text(f"{300 << 20}\n")
    (folder / "cpu.stat").write_text("usage_usec 12340000\nuser_usec 1\n")
    used = task_usage({"NOMAD_ALLOC_ID": ALLOC}, root=root, children_peak_kb=614_400)
    told = (used["task_cpu_seconds"], used["task_memory_peak_mb"])
    assert told == {
        ("/", 1): ("12.34", "300"),
        ("/", 77): ("5.00", "600"),
    }.get((name, above), ("12.34", "300"))


def test_outside_of_a_task_and_without_proc_there_is_nothing(tmp_path: Path) -> None:
    assert task_usage({}) == {}
    assert task_usage({"NOMAD_ALLOC_ID": ALLOC}, root=tmp_path) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_real_tasks_training_is_counted(tmp_path: Path) -> None:
    script = tmp_path / "task.py"
    script.write_text(BURN)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "NOMAD_ALLOC_ID": ALLOC, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    used = json.loads(done.stdout)
    assert float(used["task_cpu_seconds"]) >= 0.3
    assert float(used["task_seconds"]) >= 0.3
    assert int(used["task_memory_peak_mb"]) >= 57
