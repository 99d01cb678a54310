"""Starts task processes, and identifies and kills them by pid and start time."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from regions.local.drivers import sandbox

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def start_ticks(pid: int) -> int:
    """Returns when the process started, in clock ticks since boot (field 22 of its `stat`), or 0 when no such process
    runs.

    Pid and start together identify a process for good: a reused pid has another start.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except FileNotFoundError:
        return _start_by_ps(pid) if not os.path.isdir("/proc/self") else 0  # noqa: PTH112
    except (OSError, IndexError, ValueError):
        return 0


def _start_by_ps(pid: int) -> int:
    """Returns the start in seconds since the epoch, by `ps`, where there is no /proc (macOS)."""
    import calendar
    import subprocess
    import time

    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    try:
        return calendar.timegm(time.strptime(answer.stdout.strip()))
    except ValueError:
        return 0


def kill_group(pid: int, ticks: int) -> bool:
    """Kills the process group that this process leads, if it is still the same process. Returns whether it was."""
    if not ticks or start_ticks(pid) != ticks:
        return False
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def start_process(order: dict[str, Any], enter: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
    """Starts a task's process as leader of its own session and group, with pipes for its output (if it has log files).
    `enter` is called in the new process before the task's command runs.

    Raises ValueError in the words of Nomad's executor.
    """
    import subprocess  # loaded in the executor, not in the region

    argv = order["argv"]
    if order["mounts"]:
        argv = sandbox.command(argv, [sandbox.Mount(*mount) for mount in order["mounts"]])
    else:
        argv = [find_binary(order["cwd"], argv[0], order["search_path"]), *argv[1:]]
    output = subprocess.PIPE if order["stdout"] else subprocess.DEVNULL
    identity = _identity(order["user"])
    try:
        return subprocess.Popen(
            argv,
            env=order["env"],
            cwd=order["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            bufsize=0,
            start_new_session=True,
            preexec_fn=enter,
            **identity,
        )
    except OSError as error:
        args = "[" + " ".join(json.dumps(a, ensure_ascii=False) for a in argv) + "]"
        reason = (error.strerror or str(error)).lower()
        what = f'path="{argv[0]}" --- args={args}: fork/exec {argv[0]}: {reason}'
        raise ValueError(f"failed to start command {what}") from error


def _identity(user: str) -> dict[str, Any]:
    """Returns Popen's arguments to run as this user. Raises ValueError in Nomad's words for an unknown user."""
    if not user:
        return {}
    import pwd

    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError as error:
        raise ValueError(f"failed to identify user {user}: user: unknown user {user}") from error
    if entry.pw_uid == os.geteuid():
        return {}
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(entry.pw_name, entry.pw_gid)}


def find_binary(task_dir: str, command: str, search_path: str) -> str:
    """Finds a task's command in `local/`, the task's folder, the host, then the search path. Returns its absolute
    path.

    Makes it executable. Raises ValueError with Nomad's sentence when there is none.
    """
    for path in (f"{task_dir}/local/{command}", f"{task_dir}/{command}", command):
        if os.path.isabs(path) and os.path.exists(path):  # noqa: PTH110, PTH117
            return _executable(os.path.abspath(path))  # noqa: PTH100
    if "/" not in command:
        for folder in search_path.split(os.pathsep):
            path = os.path.join(folder, command)  # noqa: PTH118
            if folder and os.path.isfile(path) and os.access(path, os.X_OK):  # noqa: PTH113
                return _executable(path)
    raise ValueError(f'binary "{command}" could not be found')


def _executable(path: str) -> str:
    mode = os.stat(path).st_mode & 0o7777  # noqa: PTH116
    if mode & 0o555 != 0o555:
        try:
            os.chmod(path, mode | 0o555)  # noqa: PTH101, S103
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ValueError(f'error making "{path}" executable: chmod {path}: {reason}') from error
    return path
