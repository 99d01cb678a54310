"""Measures what this Nomad task has used so far, for the record: CPU seconds, peak memory, time.

Reads the task's own cgroup if it is visible (cgroup v2, drivers that isolate). Otherwise adds up the processes from the
task's first one to this one, with the children that they waited for. Linux only. Values that can't be read are left out.
Other tasks of the allocation are not measured: only Nomad's API knows them, and tasks have no token for it.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_TICKS = "SC_CLK_TCK"


def task_usage(
    environ: Mapping[str, str], *, root: Path = Path("/"), children_peak_kb: int | None = None
) -> dict[str, str]:
    """`task_cpu_seconds`, `task_memory_peak_mb` and `task_seconds` since the task's first process started. Without a cgroup,
    the peak is that of the largest process that still runs or that this one waited for (`children_peak_kb`, from the
    kernel), as when a shell runs the training and then this by `exec`. Raises nothing."""
    alloc_id = environ.get("NOMAD_ALLOC_ID", "")
    chain = list(_chain(root / "proc", alloc_id)) if alloc_id else []
    if not chain:
        return {}
    used: dict[str, str] = {}
    ticks = os.sysconf(_TICKS)
    cpu_s = sum(process.cpu_ticks for process in chain) / ticks
    if children_peak_kb is None:
        children_peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak_kb = max(children_peak_kb, *(process.peak_kb for process in chain))
    with suppress(OSError, ValueError, StopIteration):
        folder = _cgroup(root, alloc_id, is_first=chain[-1].pid == 1)
        peak_kb = int((folder / "memory.peak").read_text()) // 1024
        lines = (folder / "cpu.stat").read_text().splitlines()
        cpu_s = int(next(line for line in lines if line.startswith("usage_usec")).split()[1]) / 1e6
    used["task_cpu_seconds"] = f"{cpu_s:.2f}"
    if peak_kb:
        used["task_memory_peak_mb"] = str(round(peak_kb / 1024))
    with suppress(OSError, ValueError, IndexError):
        up_s = float((root / "proc/uptime").read_text().split()[0])
        used["task_seconds"] = f"{max(0.0, up_s - chain[-1].start_ticks / ticks):.1f}"
    return used


class _Process:
    """One process from /proc, with the children that it waited for."""

    def __init__(self, folder: Path) -> None:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        self.pid = int(folder.name)
        self.parent = int(fields[1])
        self.cpu_ticks = sum(map(int, fields[11:15]))
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
