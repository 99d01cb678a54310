"""Nomad's `exec` with bubblewrap: builds the command that shows a task only its folders and mounts.

The task's own folder is its `/`, and the allocation's shared one `/alloc`. Of the machine it sees the same folders as
under Nomad's exec. Its processes have their own PIDs and IPC. It runs as the region's user: this hides files, but it
is not a security boundary.
"""

from __future__ import annotations

import os
from functools import cache
from typing import NamedTuple

_SHOWN = ("/bin", "/etc", "/lib", "/lib32", "/lib64", "/run/resolvconf", "/sbin", "/usr")
_SEARCHED = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_OWN_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--proc", "/proc", "--dev", "/dev")
_ANSWER_S = 10.0


class Mount(NamedTuple):
    """A folder of the machine, and its path inside the task."""

    host_path: str
    task_path: str
    is_read_only: bool


@cache
def works() -> bool:
    """Returns whether bubblewrap is installed and works here."""
    import subprocess

    shown = [part for path in _SHOWN if os.path.isdir(path) for part in ("--ro-bind", path, path)]  # noqa: PTH112
    command = ["bwrap", "--tmpfs", "/", *shown, *_OWN_NAMESPACES, "true"]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=_ANSWER_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0


def mounts(task_dir: str, shared_dir: str, volumes: list[Mount]) -> list[Mount]:
    """Returns everything that the task sees, in the order of mounting."""
    shown = [Mount(path, path, True) for path in _SHOWN if os.path.isdir(path)]  # noqa: PTH112
    return [Mount(task_dir, "/", False), *shown, Mount(shared_dir, "/alloc", False), *volumes]


def command(argv: list[str], seen: list[Mount]) -> list[str]:
    """Returns the command that runs `argv` in the sandbox. Raises ValueError in Nomad's words when it isn't found."""
    wrapped = [next((path for folder in _SEARCHED if os.path.exists(path := f"{folder}/bwrap")), "bwrap")]  # noqa: PTH110
    for mount in seen:
        wrapped += ["--ro-bind" if mount.is_read_only else "--bind", mount.host_path, mount.task_path]
    return [*wrapped, *_OWN_NAMESPACES, "--chdir", "/", "--", _find(argv[0], seen), *argv[1:]]


def _find(name: str, seen: list[Mount]) -> str:
    folders = ["/local", "/", *([] if "/" in name else _SEARCHED)]
    for path in [name] if name.startswith("/") else [os.path.join(folder, name) for folder in folders]:  # noqa: PTH118
        mount = max((one for one in seen if _is_under(path, one.task_path)), key=lambda one: len(one.task_path))
        host = os.path.join(mount.host_path, os.path.relpath(path, mount.task_path))  # noqa: PTH118
        if os.path.isfile(host):  # noqa: PTH113
            if not os.access(host, os.X_OK) and not mount.is_read_only:
                os.chmod(host, 0o755)  # noqa: PTH101, S103
            return path
    raise ValueError(f"file {name} not found under path {seen[0].host_path}")


def _is_under(path: str, folder: str) -> bool:
    return folder == "/" or path == folder or path.startswith(folder + "/")


def process_inside(pid: int) -> int:
    """Finds the task's own process. Bubblewrap's processes are its ancestors and don't pass on signals."""
    while True:
        try:
            with open(f"/proc/{pid}/comm") as name, open(f"/proc/{pid}/task/{pid}/children") as children:  # noqa: PTH123
                inner = children.read().split()
                if name.read() != "bwrap\n" or not inner:
                    return pid
        except OSError:
            return pid
        pid = int(inner[0])
