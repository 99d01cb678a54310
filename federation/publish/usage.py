"""Measures what this Nomad task has used before it publishes, for the record: CPU seconds, peak memory, time.

Reads the task's own cgroup if it is visible (cgroup v2, drivers that isolate). Otherwise adds up the processes from the
task's first one to this one, with the children that they waited for. Linux only. Values that can't be read are left out.
Where this task does nothing but publish, nothing is recorded: other tasks of the allocation are not measured, because only
Nomad's API knows them, and tasks have no token for it.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_TICKS = "SC_CLK_TCK"
_WORK_S = 0.1
"""CPU time from which a process counts as work of the task. A shell and what it runs to make a folder use less."""


def task_usage(
    environ: Mapping[str, str], *, root: Path = Path("/"), children_peak_kb: int | None = None
) -> dict[str, str]:
    """Returns `task_cpu_seconds`, `task_memory_peak_mb` and `task_seconds` since the task's first process started; nothing
    where the task did no work before this process. `children_peak_kb` is the largest memory of a process that this one waited
    for (default: the kernel's figure), as when a shell runs the training and then this by `exec`. Raises nothing."""
    alloc_id = environ.get("NOMAD_ALLOC_ID", "")
    chain = list(_chain(root / "proc", alloc_id)) if alloc_id else []
    if not chain:
        return {}
    ticks = os.sysconf(_TICKS)
    own_s = chain[0].own_ticks / ticks
    cpu_s = sum(process.own_ticks + process.children_ticks for process in chain) / ticks
    if children_peak_kb is None:
        children_peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak_kb = _peak_kb(chain, children_peak_kb, _WORK_S * ticks)
    with suppress(OSError, ValueError, StopIteration):
        folder = _cgroup(root, alloc_id, is_first=chain[-1].pid == 1)
        peak_kb = int((folder / "memory.peak").read_text()) // 1024
        lines = (folder / "cpu.stat").read_text().splitlines()
        cpu_s = int(next(line for line in lines if line.startswith("usage_usec")).split()[1]) / 1e6
    if cpu_s - own_s < _WORK_S:
        return {}
    used = {"task_cpu_seconds": f"{cpu_s:.2f}"}
    if peak_kb:
        used["task_memory_peak_mb"] = str(round(peak_kb / 1024))
    with suppress(OSError, ValueError, IndexError):
        up_s = float((root / "proc/uptime").read_text().split()[0])
        used["task_seconds"] = f"{max(0.0, up_s - chain[-1].start_ticks / ticks):.1f}"
    return used


def _peak_kb(chain: Sequence[_Process], children_peak_kb: int, work_ticks: float) -> int:
    """Returns the largest memory of one process that worked before this one. 0 where an ancestor waited for processes that
    did more than itself: nothing tells what those held."""
    this, *ancestors = chain
    if any(process.children_ticks > max(process.own_ticks, work_ticks) for process in ancestors):
        return 0
    peaks = [process.peak_kb for process in ancestors if process.own_ticks >= work_ticks]
    return max([children_peak_kb if this.children_ticks >= work_ticks else 0, *peaks])


class _Process:
    """One process from /proc, with the children that it waited for."""

    def __init__(self, folder: Path) -> None:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        self.pid = int(folder.name)
        self.parent = int(fields[1])
        self.own_ticks = sum(map(int, fields[11:13]))
        self.children_ticks = sum(map(int, fields[13:15]))
        self.start_ticks = int(fields[19])
        lines = (folder / "status").read_text().splitlines()
        self.peak_kb = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _chain(proc: Path, alloc_id: str) -> Iterator[_Process]:
    """This process and its ancestors that belong to the allocation's task, this one first."""
    mark = f"NOMAD_ALLOC_ID={alloc_id}".encode()
    pid = os.getpid()
    with suppress(OSError, ValueError, IndexError):
        while pid > 0 and mark in (proc / str(pid) / "environ").read_bytes().split(b"\0"):
            process = _Process(proc / str(pid))
            yield process
            pid = process.parent


def _cgroup(root: Path, alloc_id: str, *, is_first: bool) -> Path:
    """The task's own cgroup: one with the allocation's ID in its name, or that of a container in which the task is the
    first process. Raises OSError and StopIteration."""
    lines = (root / "proc/self/cgroup").read_text().splitlines()
    name = next(line for line in lines if line.startswith("0::")).removeprefix("0::")
    if alloc_id not in name and not (name == "/" and is_first):
        raise OSError(f"{name} is shared with others")
    return root / "sys/fs/cgroup" / name.lstrip("/")
