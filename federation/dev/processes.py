"""Starts detached processes, finds them again and ends them.

Signals go through a pidfd that is opened first and checked afterwards, so that a pid that another process got in between
is never hit. Every process of a development federation carries `MARKER=<federation's id>` in its environment, and so do
the tasks of its regions. So processes whose parent was killed are found too.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from federation.config.dev_state import Process
from federation.errors import DevError

MARKER = "FEDML_DEV_FEDERATION"
SERVER_MARKER = "FEDML_DEV_SERVER"
"""Variable in the environment of an agent of real Nomad and of all that it starts: the agent's key in the state."""

_detached: list[subprocess.Popen[bytes]] = []
"""Kept, so that Python neither warns of them nor leaves their zombies to a long-lived caller."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A process of one federation: a server, a task, or what a region keeps for its tasks."""

    process: Process
    command: tuple[str, ...]
    server: str
    """The key of the agent of real Nomad that started it, or that it is; empty for others."""


def spawn(
    argv: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path, keep_fds: Sequence[int] = ()
) -> Process:
    """Starts the command in a session of its own, with its output appended to `log`. It outlives this process. Raises
    DevError where it can't be started or is gone at once."""
    with log.open("ab") as output:
        try:
            started = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                env=dict(environment),
                start_new_session=True,
                pass_fds=tuple(keep_fds),
            )
        except OSError as error:
            raise DevError(f"{argv[0]} can't be started: {error.strerror}") from error
    _detached.append(started)
    process = Process.of(started.pid)
    if process is None:
        raise DevError(f"{' '.join(argv[:5])} ended at once", hint=f"see {log}")
    return process


def marked(federation_id: str) -> list[Marked]:
    """All processes of this user that carry the federation's marker, but for this one."""
    wanted = f"{MARKER}={federation_id}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        process = Process.of(int(entry.name))
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        except OSError:
            continue
        if process is not None and wanted in variables:
            prefix = f"{SERVER_MARKER}=".encode()
            server = next((each.removeprefix(prefix) for each in variables if each.startswith(prefix)), b"")
            found.append(Marked(process, tuple(os.fsdecode(part) for part in command), os.fsdecode(server)))
    return found


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Sends the signal to each process that is still there."""
    for process in processes:
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            if process.is_running:
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)


def end(processes: Iterable[Process], *, patience_s: float = 10.0, first: signal.Signals = signal.SIGTERM) -> None:
    """Sends `first` to all of them at once, and SIGKILL to those that are still there after `patience_s`. Other processes
    with a reused pid are left alone. Raises DevError if one survives."""
    with ExitStack() as stack:
        handles: dict[int, Process] = {}
        for process in processes:
            try:
                handle = os.pidfd_open(process.pid)
            except ProcessLookupError:
                continue
            stack.callback(os.close, handle)
            if process.is_running:  # asked after the handle is held: from here on it means this process
                handles[handle] = process
        for signal_, wait_s in ((first, patience_s), (signal.SIGKILL, 5.0)):
            for handle in handles:
                try:
                    signal.pidfd_send_signal(handle, signal.SIGCONT)  # one that is paused hears nothing else
                    signal.pidfd_send_signal(handle, signal_)
                except ProcessLookupError:
                    continue
            for handle in _ended(handles, wait_s):
                del handles[handle]
        if handles:
            pids = ", ".join(str(process.pid) for process in handles.values())
            raise DevError(
                f"these processes don't end, not even by SIGKILL: {pids}", hint="end them, then `fedml dev down` again"
            )
    for started in _detached:
        started.poll()


def _ended(handles: Iterable[int], wait_s: float) -> list[int]:
    """Those of the pidfds whose process ended within `wait_s`."""
    poll = select.poll()
    waiting = set(handles)
    for handle in waiting:
        poll.register(handle, select.POLLIN)
    ended = []
    deadline = time.monotonic() + wait_s
    while waiting and (left_s := deadline - time.monotonic()) > 0:
        for handle, _ in poll.poll(left_s * 1000):
            poll.unregister(handle)
            waiting.discard(handle)
            ended.append(handle)
    return ended
