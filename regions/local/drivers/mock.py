"""Nomad's `mock_driver`: simulates a task's behaviour without a process."""

from __future__ import annotations

import time
from typing import Any

from jobs.durations import parse_duration
from regions.local.drivers.driver import ExitResult, Schema, StartOrder, TaskEvents
from regions.local.drivers.log_files import LogFiles
from regions.local.drivers.loop import Loop, Timer

_COMMAND: dict[str, type] = {
    "run_for": str,
    "exit_code": int,
    "exit_signal": int,
    "exit_err_msg": str,
    "signal_error": str,
    "stdout_string": str,
    "stdout_repeat": int,
    "stdout_repeat_duration": str,
    "stderr_string": str,
    "stderr_repeat": int,
    "stderr_repeat_duration": str,
}


MOCK = Schema(
    {
        **_COMMAND,
        "start_error": str,
        "start_error_recoverable": bool,
        "start_block_for": str,
        "kill_after": str,
        "plugin_exit_after": str,
        "driver_ip": str,
        "driver_advertise": bool,
        "driver_port_map": str,
        "exec_command": dict,
    }
)


class _Run:
    __slots__ = ("config", "events", "timers")

    def __init__(self, config: dict[str, Any], events: TaskEvents) -> None:
        self.config = config
        self.events = events
        self.timers: list[Timer] = []


class Mock:
    """Simulates tasks, for tests at scale: thousands cost one timer each."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._runs: dict[str, _Run] = {}

    def start(self, order: StartOrder, events: TaskEvents) -> None:
        try:
            block_s = _seconds(order.config, "start_block_for")
            run_s = _seconds(order.config, "run_for")
            repeats = {name: _seconds(order.config, f"{name}_repeat_duration") for name in ("stdout", "stderr")}
        except ValueError as error:
            message = str(error)
            self._loop.post(lambda: events.failed(message, False))
            return
        if block_s:
            self._loop.later(block_s, lambda: self._begin(order, events, run_s, repeats))
        else:
            self._loop.post(lambda: self._begin(order, events, run_s, repeats))

    def _begin(self, order: StartOrder, events: TaskEvents, run_s: float, repeats: dict[str, float]) -> None:
        config = order.config
        if config.get("start_error"):
            events.failed(config["start_error"], bool(config.get("start_error_recoverable")))
            return
        run = self._runs[order.task_id] = _Run(config, events)
        for name, base in (("stdout", order.stdout), ("stderr", order.stderr)):
            if base and config.get(f"{name}_string"):
                self._write(run, order, base, config[f"{name}_string"], config.get(f"{name}_repeat", 0), repeats[name])
        task_id = order.task_id  # frees the order with its environment
        run.timers.append(self._loop.later(run_s, lambda: self._finish(task_id)))
        events.started()

    def _write(self, run: _Run, order: StartOrder, base: str, text: str, repeats: int, every_s: float) -> None:
        output = LogFiles(base, order.max_files, order.max_bytes)
        output.write(text.encode())
        output.close()
        if repeats > 0:
            again = self._loop.later(every_s, lambda: self._write(run, order, base, text, repeats - 1, every_s))
            run.timers.append(again)

    def _finish(self, task_id: str) -> None:
        run = self._runs.pop(task_id, None)
        if run is None:
            return
        for timer in run.timers:
            timer.cancel()
        config = run.config
        code, signal, error = (config.get("exit_code", 0), config.get("exit_signal", 0), config.get("exit_err_msg", ""))
        run.events.exited(ExitResult(code, signal, error, time.time_ns()))

    def kill(self, task_id: str, number: int, grace_s: float) -> None:
        run = self._runs.get(task_id)
        if run is not None:
            after_s = _seconds(run.config, "kill_after")
            run.timers.append(self._loop.later(after_s, lambda: self._finish(task_id)))

    def freeze(self, task_id: str, is_frozen: bool) -> None:
        """Does nothing: there is no process, and its timer goes on."""

    def forget(self, task_id: str) -> None:
        """Does nothing: nothing is kept."""

    def recover(self, alloc_id: str, task: str, config: dict[str, Any], started_s: float, events: TaskEvents) -> str:
        task_id = f"{alloc_id}/{task}/recovered"
        run = self._runs[task_id] = _Run(config, events)
        left_s = max(_seconds(config, "run_for") - (time.time() - started_s), 0)
        run.timers.append(self._loop.later(left_s, lambda: self._finish(task_id)))
        return task_id


def _seconds(config: dict[str, Any], name: str) -> float:
    """Parses a Go duration of the configuration to seconds. Raises ValueError in Nomad's words."""
    text = config.get(name) or "0s"
    try:
        return parse_duration(text) / 1e9
    except ValueError as error:
        raise ValueError(f'{name} {text} not a valid duration: time: invalid duration "{text}"') from error
