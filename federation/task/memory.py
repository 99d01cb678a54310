"""Tells whether a killed command ran out of memory, where the kernel says so: a counter of the task's cgroup."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_COUNTERS = {"memory": ("sys/fs/cgroup/memory", "memory.oom_control"), "": ("sys/fs/cgroup", "memory.events")}
"""Controllers in /proc/self/cgroup (version 1, then version 2) → where the counter lies."""


class MemoryWatch:
    """Compares the number of processes that the kernel killed for memory with the number at the start."""

    def __init__(self, environ: Mapping[str, str], *, root: Path = Path("/")) -> None:
        self._limit_mb = environ.get("NOMAD_MEMORY_MAX_LIMIT") or environ.get("NOMAD_MEMORY_LIMIT", "")
        self._root = root
        self._before = self._kills()

    def cause(self) -> str:
        """One sentence on why a command got SIGKILL."""
        limit = f"{self._limit_mb} MB" if self._limit_mb.isdecimal() else "an unknown amount"
        if self._kills() > self._before:
            return (
                f"the command ran out of memory: the kernel killed it at the task's limit, {limit} (--memory sets it)"
            )
        return (
            "the command was killed by signal 9, which neither it nor fedml sent; often the node is out of memory "
            f"(the task asked for {limit})"
        )

    def _kills(self) -> int:
        with suppress(OSError):
            for line in (self._root / "proc/self/cgroup").read_text().splitlines():
                _, controllers, path = line.split(":", 2)
                if controllers in _COUNTERS:
                    folder, name = _COUNTERS[controllers]
                    with suppress(OSError, StopIteration, IndexError, ValueError):
                        counters = (self._root / folder / path.lstrip("/") / name).read_text().splitlines()
                        return int(next(one for one in counters if one.startswith("oom_kill ")).split()[1])
        return 0
