"""Nomad's `raw_exec` and `exec`: runs commands as processes, each with its own session and group."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from regions.local.drivers.driver import ExitResult, Schema, StartOrder, TaskEvents
from regions.local.drivers.executor_link import ExecutorLink
from regions.local.drivers.loop import Loop

RAW_EXEC = Schema({"command": str, "args": list}, frozenset({"command"}))
EXEC = Schema(
    {**RAW_EXEC.attributes, "pid_mode": str, "ipc_mode": str, "cap_add": list, "cap_drop": list}, RAW_EXEC.required
)


class RawExec:
    """Runs tasks as real processes through the region's executor process (see `executor`).

    Looks for commands in the task's folder and on `search_path`. After a crash of the region its tasks go on, and
    `recover` finds them. After a crash of the executor they are killed and reported as lost.
    """

    def __init__(self, loop: Loop, folder: Path, search_path: str) -> None:
        self._loop = loop
        self._folder = folder
        self._search_path = search_path
        self._link = ExecutorLink(folder, self._on_message, self._on_lost)
        self._events: dict[str, TaskEvents] = {}
        self._processes: dict[str, tuple[int, int]] = {}
        self._recovered: dict[str, ExitResult | None] = {}

    def attach(self) -> None:
        """Finds the executor of a killed region, and the state of its tasks."""
        hello = self._link.attach()
        exits: dict[str, Any] = {}
        left = self._folder / "exits.json"
        if hello is not None:
            self._loop.watch(self._link.fileno(), self._link.read)
            exits = hello["exits"]
            for task_id, (pid, ticks) in hello["running"].items():
                self._processes[task_id] = (pid, ticks)
                self._recovered[task_id] = None
        elif left.exists():
            exits = json.loads(left.read_text())
        for task_id, result in exits.items():
            self._recovered[task_id] = ExitResult(**result)

    def pid(self, task_id: str) -> int | None:
        """Returns the pid of the task's process, which is also its process group's and session's number."""
        process = self._processes.get(task_id)
        return process[0] if process else None

    def start(self, order: StartOrder, events: TaskEvents) -> None:
        self._events[order.task_id] = events
        message = {
            "op": "start",
            "id": order.task_id,
            "argv": [order.config["command"], *order.config.get("args", [])],
            "env": order.env,
            "cwd": order.task_dir,
            "stdout": order.stdout,
            "stderr": order.stderr,
            "max_files": order.max_files,
            "max_bytes": order.max_bytes,
            "user": order.user,
            "mounts": order.mounts,
            "search_path": self._search_path,
            "memory_bytes": order.memory_bytes,
        }
        was_open = self._link.is_open
        try:
            self._link.send(message)
        except OSError as error:
            del self._events[order.task_id]
            message_text = f"failed to create executor: {error}"
            self._loop.post(lambda: events.failed(message_text, False))
            return
        if not was_open:
            self._loop.watch(self._link.fileno(), self._link.read)

    def kill(self, task_id: str, number: int, grace_s: float) -> None:
        if self._link.is_open:
            self._link.send({"op": "kill", "id": task_id, "signal": number, "grace_s": grace_s})

    def freeze(self, task_id: str, is_frozen: bool) -> None:
        if self._link.is_open:
            number = signal.SIGSTOP if is_frozen else signal.SIGCONT
            self._link.send({"op": "signal_group", "id": task_id, "signal": number})

    def forget(self, task_id: str) -> None:
        if self._link.is_open:
            self._link.send({"op": "ack", "id": task_id})

    def recover(self, alloc_id: str, task: str, config: dict[str, Any], started_s: float, events: TaskEvents) -> str:
        prefix = f"{alloc_id}/{task}/"
        starts = [t for t in self._recovered if t.startswith(prefix)]
        if not starts:
            return ""
        task_id = max(starts)  # its latest start: the ids count up; earlier ones are strays
        if (result := self._recovered.pop(task_id)) is None:
            self._events[task_id] = events
        else:
            self._loop.post(lambda: events.exited(result))
        return task_id

    def kill_strays(self) -> None:
        """Ends the recovered tasks that no allocation asked for, and drops what is known about finished ones."""
        for task_id, result in self._recovered.items():
            if result is None:
                self.kill(task_id, 9, 0)
            self.forget(task_id)
        self._recovered.clear()
        if not self._link.is_open:
            (self._folder / "exits.json").unlink(missing_ok=True)

    def end(self) -> None:
        """Kills all tasks and the executor. Returns when they have ended."""
        if self._link.is_open:
            self._loop.unwatch(self._link.fileno())
        self._link.end()

    def detach(self) -> None:
        """Closes the connection. The tasks go on."""
        if self._link.is_open:
            self._loop.unwatch(self._link.fileno())
        self._link.close()

    def _on_message(self, message: dict[str, Any]) -> None:
        task_id = message["id"]
        if message["event"] == "started":
            self._processes[task_id] = (message["pid"], message["ticks"])
            if events := self._events.get(task_id):
                events.started()
        elif message["event"] == "failed":
            if events := self._events.pop(task_id, None):
                error = f"failed to launch command with executor: rpc error: code = Unknown desc = {message['error']}"
                events.failed(error, False)
        else:
            self._processes.pop(task_id, None)
            if events := self._events.pop(task_id, None):
                del message["event"], message["id"]
                events.exited(ExitResult(**message))
            else:
                self.forget(task_id)

    def _on_lost(self) -> None:
        self._loop.unwatch(self._link.fileno())
        self._processes.clear()
        lost, self._events = self._events, {}
        for events in lost.values():
            events.exited(ExitResult(0, error="executor: error waiting on process: the executor ended"))
