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
    used = task_usage({"NOMAD_ALLOC_ID": ALLOC}, root=root, children_peak_kb=1000)
    assert used == {"task_cpu_seconds": "5.00", "task_memory_peak_mb": "50", "task_seconds": "30.5"}


@pytest.mark.parametrize(
    ("name", "above", "is_own"),
    [("/", 1, True), ("/", 77, False), (f"/nomad.slice/share.slice/{ALLOC}.train.scope", 77, True)],
)
def test_a_cgroup_of_its_own_tells_of_all(tmp_path: Path, name: str, above: int, is_own: bool) -> None:
    root = proc(tmp_path, name, above)
    folder = root / "sys/fs/cgroup" / name.lstrip("/")
    folder.mkdir(parents=True)
    (folder / "memory.peak").write_text(f"{300 << 20}\n")
    (folder / "cpu.stat").write_text("usage_usec 12340000\nuser_usec 1\n")
    used = task_usage({"NOMAD_ALLOC_ID": ALLOC}, root=root, children_peak_kb=0)
    told = (used["task_cpu_seconds"], used["task_memory_peak_mb"])
    assert told == (("12.34", "300") if is_own else ("5.00", "50"))


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
