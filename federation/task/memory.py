"""Tells whether a killed command ran out of memory, where the kernel says so: the counter of the task's cgroup (v2)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class MemoryWatch:
    """Compares the number of processes that the kernel killed for memory with the number at the start."""

    def __init__(self, environ: Mapping[str, str], *, root: Path = Path("/")) -> None:
        self._limit_mb = environ.get("NOMAD_MEMORY_MAX_LIMIT") or environ.get("NOMAD_MEMORY_LIMIT", "")
        self._root = root
        self._before = self._kills()

    def cause(self) -> str:
        """One sentence on why a command got SIGKILL."""
        limit = f" of {self._limit_mb} MB" if self._limit_mb.isdecimal() else ""
        if self._kills() > self._before:
            return (
                f"the command ran out of memory: the kernel killed it at the limit{limit}; give it more with --memory"
            )
        return (
            f"the command was killed by signal 9, which neither it nor fedml sent; often the node is out of memory "
            f"(the task asked for{limit or ' an unknown amount'})"
        )

    def _kills(self) -> int:
        with suppress(OSError, ValueError, StopIteration, IndexError):
            own = (self._root / "proc/self/cgroup").read_text().splitlines()
            path = next(line for line in own if line.startswith("0::")).partition("::")[2].lstrip("/")
            events = (self._root / "sys/fs/cgroup" / path / "memory.events").read_text().splitlines()
            return int(next(line for line in events if line.startswith("oom_kill ")).split()[1])
        return 0
