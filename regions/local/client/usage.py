"""Measures Nomad's AllocResourceUsage of an allocation's tasks from /proc."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MEMORY = ("RSS", "Cache", "Swap", "MappedFile", "Usage", "MaxUsage", "KernelUsage", "KernelMaxUsage")
_CPU = ("SystemMode", "UserMode", "TotalTicks", "ThrottledPeriods", "ThrottledTime", "Percent")
_MEASURED_MEMORY = ["RSS", "Swap"]
_MEASURED_CPU = ["System Mode", "User Mode", "Percent"]


def alloc_usage(pids: dict[str, int | None]) -> dict[str, Any]:
    """Measures each task's processes (of its session) and their sums. CPU in percent of one core since their start."""
    now_ns = time.time_ns()
    sessions = _sessions({pid for pid in pids.values() if pid}) if any(pids.values()) else {}
    tasks: dict[str, Any] = {}
    for name, pid in pids.items():
        processes = {str(p): _usage(*measured) for p, measured in sessions.get(pid or 0, {}).items()}
        tasks[name] = {"Pids": processes, "ResourceUsage": _sum(list(processes.values())), "Timestamp": now_ns}
    total = _sum([task["ResourceUsage"] for task in tasks.values()])
    return {"ResourceUsage": total, "Tasks": tasks, "Timestamp": now_ns if tasks else 0}


def _sessions(leaders: set[int]) -> dict[int, dict[int, tuple[int, int, float, float]]]:
    """Reads session → pid → (rss bytes, swap bytes, user percent, system percent)."""
    found: dict[int, dict[int, tuple[int, int, float, float]]] = {}
    proc = Path("/proc")
    if not (proc / "uptime").exists():
        return found
    uptime_s = float((proc / "uptime").read_text().split()[0])
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            if int(fields[3]) in leaders:
                age_s = max(uptime_s - int(fields[19]) / _TICKS_A_SECOND, 1 / _TICKS_A_SECOND)
                user, system = (int(fields[n]) / _TICKS_A_SECOND / age_s * 100 for n in (11, 12))
                swap = _swap_bytes(entry)
                found.setdefault(int(fields[3]), {})[int(entry.name)] = (
                    int(fields[21]) * _PAGE_BYTES,
                    swap,
                    user,
                    system,
                )
        except (OSError, IndexError, ValueError):  # it ended meanwhile
            continue
    return found


@cache
def _core_mhz() -> float:
    """Reads one core's clock, the unit of Nomad's ticks."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return float(next(line for line in lines if line.startswith("cpu MHz")).rpartition(":")[2])
    return 1000.0


def _swap_bytes(entry: Path) -> int:
    for line in (entry / "status").read_text().splitlines():
        if line.startswith("VmSwap:"):
            return int(line.split()[1]) * 1024
    return 0


def _usage(rss: int, swap: int, user: float, system: float) -> dict[str, Any]:
    memory: dict[str, Any] = dict.fromkeys(_MEMORY, 0) | {"RSS": rss, "Swap": swap, "Measured": _MEASURED_MEMORY}
    cpu: dict[str, Any] = dict.fromkeys(_CPU, 0) | {
        "UserMode": user,
        "SystemMode": system,
        "Percent": user + system,
        "TotalTicks": (user + system) / 100 * _core_mhz(),
        "Measured": _MEASURED_CPU,
    }
    return {"MemoryStats": memory, "CpuStats": cpu, "DeviceStats": None}


def _sum(usages: list[dict[str, Any]]) -> dict[str, Any]:
    memory: dict[str, Any] = {k: sum(u["MemoryStats"][k] for u in usages) for k in _MEMORY}
    cpu: dict[str, Any] = {k: sum(u["CpuStats"][k] for u in usages) for k in _CPU}
    memory["Measured"] = _MEASURED_MEMORY if usages else None
    cpu["Measured"] = _MEASURED_CPU if usages else None
    return {"MemoryStats": memory, "CpuStats": cpu, "DeviceStats": []}
