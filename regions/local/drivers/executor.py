"""The executor: a process that starts and kills tasks by orders from a Unix socket, and reports starts and exits.

One executor per region holds all its raw_exec tasks as children, as Nomad's executors do. A region that is killed and
started again finds its tasks running here, with the exits that happened meanwhile: each is kept until acknowledged.
The executor ends, with its tasks, when told so or by SIGTERM. It also ends when nobody is connected and no task runs
(unacknowledged exits are then left in `exits.json` of its folder). It reads task output through pipes and writes
rotated log files.

Messages are JSON, one per line. In: `start` (id, argv, env, cwd, stdout, stderr, max_files, max_bytes, user,
search_path, mounts, memory_bytes), `kill` (id, signal, grace_s), `signal_group` (id, signal), `ack` (id), `end`. Out: `hello`
(running, exits), `started` (id, pid, ticks), `failed` (id, error), `exited` (id, exit_code, signal, time_ns,
is_oom).

Loads few modules and only the standard library, so that it is small and starts fast.
"""

from __future__ import annotations

import heapq
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from typing import IO, Any

from regions.local.drivers import memory_cgroups
from regions.local.drivers.line_connection import LineConnection
from regions.local.drivers.log_files import LogFiles
from regions.local.drivers.memory_cgroups import MemoryCgroup
from regions.local.drivers.processes import start_process, start_ticks
from regions.local.drivers.sandbox import process_inside

_CHUNK = 1 << 16
_OPEN_FILES = 65_536  # tasks inherit the limit, and some programs close every possible descriptor


class _Task:
    __slots__ = ("cgroup", "is_sandboxed", "outputs", "pid", "process", "task_id", "ticks")

    def __init__(
        self,
        task_id: str,
        process: subprocess.Popen[bytes],
        ticks: int,
        cgroup: MemoryCgroup | None,
        *,
        is_sandboxed: bool,
    ) -> None:
        self.task_id = task_id
        self.process = process
        self.pid = process.pid
        self.ticks = ticks
        self.cgroup = cgroup
        self.is_sandboxed = is_sandboxed
        self.outputs: dict[int, tuple[IO[bytes], LogFiles]] = {}


class Executor:
    """Runs all tasks of a region. `listener` accepts its connections, one at a time. `folder` holds the journal."""

    def __init__(self, listener: socket.socket, folder: str) -> None:
        with open(os.path.join(folder, "pid"), "w") as file:  # noqa: PTH118, PTH123
            file.write(str(os.getpid()))
        self._listener = listener
        self._folder = folder
        self._journal = open(os.path.join(folder, "tasks.jsonl"), "a", buffering=1)  # noqa: PTH118, PTH123, SIM115
        self._running: dict[str, _Task] = {}
        self._by_pid: dict[int, _Task] = {}
        self._exits: dict[str, dict[str, Any]] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._selector = selectors.DefaultSelector()
        self._region = LineConnection(self._selector)
        self._ending = False
        self._owner = ""

    def run(self) -> None:
        wake, waker = socket.socketpair()
        for end in (wake, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        # Own handlers, because exec resets them to the default but would keep SIG_IGN.
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, lambda *_: None)
        self._selector.register(self._listener, selectors.EVENT_READ, "listener")
        self._selector.register(wake, selectors.EVENT_READ, "signal")
        self._accept()
        while not self._done():
            timeout = max(self._deadlines[0][0] - time.monotonic(), 0) if self._deadlines else None
            for key, ready in self._selector.select(timeout):
                if key.data == "listener":
                    self._accept()
                elif key.data == "signal":
                    if signal.SIGTERM in wake.recv(_CHUNK):
                        self._on_end({})
                    self._reap()
                elif key.data is self._region:
                    for message in self._region.exchange(ready):
                        getattr(self, "_on_" + message["op"])(message)
                else:
                    self._read_output(key.fd, key.data)
            self._force_kills()
        self._leave()

    def _done(self) -> bool:
        return not self._running and (self._ending or not self._region.is_connected)

    def _leave(self) -> None:
        path = os.path.join(self._folder, "exits.json")  # noqa: PTH118
        if self._exits and not self._ending:
            with open(path + ".new", "w") as file:  # noqa: PTH123
                json.dump(self._exits, file)
            os.replace(path + ".new", path)  # noqa: PTH105
        self._journal.truncate(0)
        os.unlink(os.path.join(self._folder, "socket"))  # noqa: PTH108, PTH118

    # -- the region --

    def _accept(self) -> None:
        self._region.accept(self._listener)
        running = {t.task_id: [t.pid, t.ticks] for t in self._running.values()}
        self._region.send({"event": "hello", "running": running, "exits": self._exits})

    def _on_start(self, order: dict[str, Any]) -> None:
        task_id = order["id"]
        outputs: list[LogFiles] = []
        cgroup: MemoryCgroup | None = None
        try:
            limits = (order["max_files"], order["max_bytes"])
            outputs.extend(LogFiles(base, *limits) for base in (order["stdout"], order["stderr"]) if base)
            cgroup = self._memory_cgroup(order["memory_bytes"])
            process = start_process(order, cgroup.enter if cgroup else None)
            if cgroup:
                cgroup.close()
        except (OSError, ValueError) as error:
            for output in outputs:
                output.close()
            if cgroup:
                cgroup.remove()
            self._region.send({"event": "failed", "id": task_id, "error": str(error)})
            return
        is_sandboxed = bool(order["mounts"])
        task = _Task(task_id, process, start_ticks(process.pid), cgroup, is_sandboxed=is_sandboxed)
        self._running[task_id] = self._by_pid[task.pid] = task
        pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
        for pipe, output in zip(pipes, outputs, strict=True):
            os.set_blocking(pipe.fileno(), False)
            task.outputs[pipe.fileno()] = (pipe, output)
            self._selector.register(pipe, selectors.EVENT_READ, task)
        self._journal.write(f"[{task.pid},{task.ticks}]\n")
        self._region.send({"event": "started", "id": task_id, "pid": task.pid, "ticks": task.ticks})

    def _memory_cgroup(self, limit_bytes: int) -> MemoryCgroup | None:
        """A cgroup for a task; None without a limit, and where none can be made."""
        place = memory_cgroups.parent() if limit_bytes else None
        if place is None:
            return None
        try:
            if not self._owner:
                self._owner = f"{os.getpid()}-{start_ticks(os.getpid())}"
                memory_cgroups.remove_left(place, lambda pid, ticks: start_ticks(pid) == ticks)
            return MemoryCgroup(place, self._owner, limit_bytes)
        except OSError:
            return None

    def _on_kill(self, order: dict[str, Any]) -> None:
        task = self._running.get(order["id"])
        if task is None:
            return
        if order["grace_s"] > 0:
            os.kill(process_inside(task.pid), order["signal"])
            heapq.heappush(self._deadlines, (time.monotonic() + order["grace_s"], task.task_id))
        else:
            self._kill_group(task)

    def _on_signal_group(self, order: dict[str, Any]) -> None:
        if task := self._running.get(order["id"]):
            os.killpg(task.pid, order["signal"])

    def _on_ack(self, order: dict[str, Any]) -> None:
        self._exits.pop(order["id"], None)
        if not self._running:
            self._journal.truncate(0)

    def _on_end(self, _order: dict[str, Any]) -> None:
        self._ending = True
        for task in self._running.values():
            self._kill_group(task)

    def _force_kills(self) -> None:
        while self._deadlines and self._deadlines[0][0] <= time.monotonic():
            task = self._running.get(heapq.heappop(self._deadlines)[1])
            if task is not None:
                self._kill_group(task)

    # -- the tasks: a child isn't reaped before its group is killed, so neither id can belong to a stranger --

    @staticmethod
    def _kill_group(task: _Task) -> None:
        try:
            os.killpg(task.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def _reap(self) -> None:
        while self._by_pid:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            task = self._by_pid.pop(info.si_pid, None)
            if task is None:
                os.waitpid(info.si_pid, 0)
                continue
            self._kill_group(task)
            _, status = os.waitpid(task.pid, 0)
            task.process.returncode = status
            self._finish(task, status)

    def _finish(self, task: _Task, status: int) -> None:
        for fd in list(task.outputs):
            while self._read_output(fd, task):
                pass
            self._close_output(fd, task)
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = 128 + number if number else os.WEXITSTATUS(status)
        del self._running[task.task_id]
        is_oom = task.is_sandboxed and task.cgroup is not None and task.cgroup.has_killed()
        if task.cgroup is not None:
            task.cgroup.remove()
        result = {"exit_code": code, "signal": number, "time_ns": time.time_ns(), "is_oom": is_oom}
        self._exits[task.task_id] = result
        self._region.send({"event": "exited", "id": task.task_id, **result})

    def _read_output(self, fd: int, task: _Task) -> bool:
        """Copies the available output. Returns whether there may be more."""
        if (entry := task.outputs.get(fd)) is None:
            return False
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._close_output(fd, task)
            return False
        try:
            entry[1].write(data)
        except OSError:  # a full disk, or a removed folder: the task goes on, as with Nomad
            return True
        return True

    def _close_output(self, fd: int, task: _Task) -> None:
        if (entry := task.outputs.pop(fd, None)) is not None:
            pipe, output = entry
            self._selector.unregister(fd)
            output.close()
            pipe.close()


def main() -> None:
    """Runs the executor: `executor LISTENER_FD FOLDER`."""
    fd, folder = int(sys.argv[1]), sys.argv[2]
    try:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _OPEN_FILES)), hard))
    except (ImportError, ValueError, OSError):
        pass
    Executor(socket.socket(fileno=fd), folder).run()


if __name__ == "__main__":
    main()
