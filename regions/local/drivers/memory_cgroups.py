"""Limits the memory of tasks by cgroups of version 1 or 2, where this process may make some.

Each start of a task gets a cgroup below that of the executor (version 1), or beside it (version 2, where a cgroup with
processes can't have limited ones below it). The kernel kills a task that takes more. Loads few modules: the executor
imports it.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PREFIX = "fedml-"
_NAME = re.compile(r"fedml-(\d+)-(\d+)-\d+")
"""`fedml-PID-TICKS-N`: the executor that made it, and a number."""


class Parent:
    """A folder in which cgroups can be made. `limit` is the file of a cgroup that holds the limit of its bytes."""

    def __init__(self, folder: str, limit: str) -> None:
        self.folder = folder
        self.limit = limit


class MemoryCgroup:
    """The cgroup of one start of a task. Raises OSError where it can't be made or limited."""

    _made = 0

    def __init__(self, parent: Parent, owner: str, limit_bytes: int) -> None:
        MemoryCgroup._made += 1
        self.path = f"{parent.folder}/{_PREFIX}{owner}-{MemoryCgroup._made}"
        os.mkdir(self.path)  # noqa: PTH102
        self._procs = -1
        try:
            _write(f"{self.path}/{parent.limit}", str(limit_bytes))
            for swap in ("memory.swappiness", "memory.swap.max"):
                try:
                    _write(f"{self.path}/{swap}", "0")
                except OSError:  # not in this version, or swap isn't accounted
                    pass
            self._procs = os.open(f"{self.path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self.remove()
            raise

    def enter(self) -> None:
        """Moves the calling process into it, also one that has become another user. Its children start there. Where the kernel
        refuses that, it goes on without a limit."""
        try:
            os.write(self._procs, b"0")
        except OSError:
            pass

    def close(self) -> None:
        """Lets no further process enter."""
        if self._procs >= 0:
            os.close(self._procs)
        self._procs = -1

    def has_killed(self) -> bool:
        """Whether the kernel killed a process of it for its memory."""
        for name in ("memory.oom_control", "memory.events"):
            try:
                with open(f"{self.path}/{name}") as file:  # noqa: PTH123
                    return any(line.startswith("oom_kill ") and int(line.split()[1]) > 0 for line in file)
            except (OSError, ValueError, IndexError):
                continue
        return False

    def remove(self) -> None:
        """Removes it. One with processes stays, and is removed by the next executor."""
        self.close()
        _remove(self.path)


@cache
def parent() -> Parent | None:
    """Where this process may make memory cgroups; None where it may not (see `why_not`)."""
    found = _found()
    return found if isinstance(found, Parent) else None


@cache
def why_not() -> str:
    """Why this process may not make memory cgroups; empty where it may."""
    found = _found()
    return "" if isinstance(found, Parent) else found


def remove_left(place: Parent, is_alive: Callable[[int, int], bool]) -> None:
    """Removes the cgroups that executors left which have ended. `is_alive(pid, ticks)` tells whether one runs."""
    for name in os.listdir(place.folder):  # noqa: PTH208
        owner = _NAME.fullmatch(name)
        if owner and not is_alive(int(owner[1]), int(owner[2])):
            _remove(f"{place.folder}/{name}")


def _found() -> Parent | str:
    try:
        own = _own_cgroups()
        mounts = _mounts()
    except OSError:
        return "this system has no cgroups"
    if "memory" in own and "memory" in mounts:
        return _tried(mounts["memory"] + own["memory"], "memory.limit_in_bytes")
    if "" in own and "" in mounts:
        beside = os.path.dirname((mounts[""] + own[""]).rstrip("/"))  # noqa: PTH120
        folder = beside if own[""].rstrip("/") else mounts[""]
        try:
            with open(f"{folder}/cgroup.subtree_control") as file:  # noqa: PTH123
                if "memory" not in file.read().split():
                    return f"the memory controller is not delegated in {folder}"
        except OSError as error:
            return f"{folder}: {error.strerror}"
        return _tried(folder, "memory.max")
    return "this system has no memory cgroups"


def _tried(folder: str, limit: str) -> Parent | str:
    """Makes one on trial: whether a file system may be written, its rights don't tell."""
    place = Parent(folder.rstrip("/"), limit)
    trial = f"{place.folder}/{_PREFIX}trial-{os.getpid()}"
    try:
        os.mkdir(trial)  # noqa: PTH102
        try:
            _write(f"{trial}/{limit}", str(1 << 30))
        finally:
            _remove(trial)
    except OSError as error:
        return f"no cgroup can be made in {place.folder}: {error.strerror}"
    return place


def _own_cgroups() -> dict[str, str]:
    """Controller → the path of this process's cgroup ("": version 2)."""
    with open("/proc/self/cgroup") as file:  # noqa: PTH123
        parts = [line.rstrip("\n").split(":", 2) for line in file]
    return {controller: path for _, names, path in parts for controller in names.split(",")}


def _mounts() -> dict[str, str]:
    """Controller → where its cgroups are mounted ("": version 2)."""
    found: dict[str, str] = {}
    with open("/proc/self/mounts") as file:  # noqa: PTH123
        for line in file:
            _, folder, kind, options, *_ = line.split(" ")
            if kind == "cgroup" and "memory" in options.split(","):
                found["memory"] = folder
            elif kind == "cgroup2":
                found.setdefault("", folder)
    return found


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123
        file.write(text)


def _remove(path: str) -> None:
    try:
        os.rmdir(path)  # noqa: PTH106
    except OSError:
        pass
