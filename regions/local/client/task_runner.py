"""Runs one task of an allocation through Nomad's life cycle and keeps its TaskState."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from regions.local.client import events, task_env
from regions.local.client.config_values import interpolate
from regions.local.client.lifecycle import Coordinator, stage
from regions.local.client.prestart import Prestart, PrestartFailed
from regions.local.client.restarts import RestartTracker
from regions.local.client.task_state import TaskState
from regions.local.drivers import sandbox
from regions.local.drivers.driver import ConfigInvalid, Driver, DriverKind, ExitResult, StartOrder, TaskEvents
from regions.local.drivers.loop import Loop, Timer

_MAX_KILL_TIMEOUT_NS = 30_000_000_000  # Nomad's client default `max_kill_timeout`
_LOOK_AGAIN_S = 0.2


class Host(Protocol):
    """The parts of the client that a task uses."""

    loop: Loop
    base_env: Mapping[str, str]
    variable: task_env.Variable

    def work(self, job: Callable[[], None], done: Callable[[Exception | None], None]) -> None: ...


class Allocation(Protocol):
    """The parts of its allocation that a task uses."""

    alloc_id: str
    alloc: dict[str, Any]
    job: dict[str, Any]
    group: dict[str, Any]
    node: dict[str, Any]
    folder: Path
    coordinator: Coordinator
    is_stopping: bool
    is_abandoned: bool
    is_frozen: bool
    ended: list[tuple[Driver, str]]

    @property
    def host(self) -> Host: ...
    def task_changed(self) -> None: ...


class Phase(Enum):
    WAITING = "its turn hasn't come"
    PREPARING = "folder, payload, artifacts, templates"
    STARTING = "the driver was asked"
    RUNNING = "it runs"
    DELAYED = "it waits to be restarted"
    DEAD = "it ended, and could be started again with its allocation"
    COMPLETE = "it ended for good"


class TaskRunner:
    """Runs one task on the client's loop. Reports every change of `state` to its allocation."""

    def __init__(
        self, runner: Allocation, task: dict[str, Any], kind: DriverKind, state: dict[str, Any] | None
    ) -> None:
        self.name: str = task["Name"]
        self.task = task
        self.stage = stage(task)
        self.phase = Phase.WAITING
        self.task_id = ""
        self._runner = runner
        self._driver, self._schema, self._is_sandboxed = kind
        self._prestart = Prestart(runner.alloc, runner.job, task, runner.folder)
        self._restarts = RestartTracker(
            task.get("RestartPolicy") or runner.group["RestartPolicy"], task.get("Lifecycle")
        )
        self._starts = itertools.count()
        self._mounts: list[sandbox.Mount] = []
        self._killed = False
        self._restart_asked = False
        self._timer: Timer | None = None
        self._completed: list[Callable[[], None]] = []
        self.state = TaskState(state)
        if state is None:
            self.state.add(events.received())

    @property
    def is_leader(self) -> bool:
        return bool(self.task.get("Leader"))

    @property
    def is_poststop(self) -> bool:
        return self.stage == "poststop"

    @property
    def is_sidecar(self) -> bool:
        return self.stage.endswith(" sidecar")

    # -- called by the allocation --

    def start_if_allowed(self) -> None:
        if self.phase is Phase.WAITING and self._runner.coordinator.may_start(self.name):
            if self._runner.is_stopping and not self.is_poststop:
                self._die()
            else:
                self._prepare()

    def emit(self, event: dict[str, Any]) -> None:
        self.state.add(event)
        self._changed()

    def kill(self, event: dict[str, Any] | None, completed: Callable[[], None]) -> None:
        """Ends the task for good. Calls `completed` when it has ended (at once if it already had)."""
        if event is not None:
            self.emit(event)
        self._killed = True
        if self.phase is not Phase.COMPLETE:
            self._completed.append(completed)
        if self.phase is Phase.COMPLETE:
            completed()
        elif self.phase is Phase.RUNNING:
            self._shut_down()
        elif self.phase in (Phase.WAITING, Phase.DELAYED):
            self._die()
        elif self.phase is Phase.DEAD:
            self._complete()
        # PREPARING and STARTING check `_killed` at their end.

    def restart(self, event: dict[str, Any], *, dead_too: bool) -> bool:
        """Restarts the task regardless of its policy. Returns whether there was something to restart."""
        if self.phase is Phase.RUNNING:
            self.emit(event)
            self._restart_asked = True
            self._driver.kill(self.task_id, self._kill_signal(), self.kill_timeout_ns / 1e9)
        elif self.phase is Phase.DEAD and dead_too:
            self.emit(event)
            self._restart(0, "")
        else:
            return False
        return True

    def abandon(self) -> None:
        """Kills its process without any consequence."""
        if self._timer:
            self._timer.cancel()
        if self.phase in (Phase.STARTING, Phase.RUNNING):
            self._driver.kill(self.task_id, signal.SIGKILL, 0)

    def freeze(self, is_frozen: bool) -> None:
        """Stops its processes where they are, or lets them go on."""
        if self.phase is Phase.RUNNING:
            self._driver.freeze(self.task_id, is_frozen)

    def recover(self) -> None:
        """Finds the task after a restart of the region: running, ended meanwhile, or lost (and then run again)."""
        if self.state.word == "dead":
            self.phase = Phase.COMPLETE if self.is_poststop else Phase.DEAD
            return
        started_ns = self.state.started_ns
        if started_ns:
            self._prestart.resume()
        config: dict[str, Any] = {}
        if self.state.word == "running" or self._schema.required:
            try:
                config = self._schema.check(
                    interpolate(self.task["Config"] or {}, self._env(is_inside=self._is_sandboxed))
                )
            except ConfigInvalid:
                return
            found = self._driver.recover(self._runner.alloc_id, self.name, config, started_ns / 1e9, self._events())
            if found:
                self.task_id = found
                self.phase = Phase.RUNNING
                if self.state.word != "running":
                    self._started()
                return
        if self.state.word == "running":
            self.state.add(events.failed_restoring())
            self._become("pending")

    @property
    def kill_timeout_ns(self) -> int:
        return min(int(self.task.get("KillTimeout") or 0), _MAX_KILL_TIMEOUT_NS)

    # -- starting --

    def _prepare(self) -> None:
        self.phase = Phase.PREPARING
        try:
            if not self._prestart.is_set_up:
                self.emit(events.setup())
                self._prestart.set_up()
            self._mounts = self._prestart.volume_mounts(self._runner.node, is_sandboxed=self._is_sandboxed)
            if self._prestart.must_fetch:
                self.emit(events.downloading_artifacts())
                env = self._env()
                self._runner.host.work(lambda: self._prestart.fetch(env), self._launch)
                return
        except (PrestartFailed, OSError) as error:
            self._launch(error)
            return
        self._launch(None)

    def _launch(self, error: Exception | None) -> None:
        """Continues after the artifacts: templates, then the driver."""
        if self._runner.is_abandoned:
            return
        if error is None and not self._killed and self._prestart.must_render:
            try:
                self._prestart.render(self._env())
            except PrestartFailed as failed:
                error = failed
        if error is not None:
            self._prestart_failed(error)
        elif self._killed:
            self._die()
        else:
            self._run_driver()

    def _prestart_failed(self, error: Exception) -> None:
        if not isinstance(error, PrestartFailed):
            error = PrestartFailed(events.hook_failed(f"task_dir: {error}"))
        if error.waits:
            if self.state.last_message != error.event["DisplayMessage"]:
                self.emit(error.event)
            self._timer = self._runner.host.loop.later(_LOOK_AGAIN_S, lambda: self._launch(None))
            return
        self.emit(error.event)
        if error.kills or self._killed:
            self._killed = True
            self._die()
        else:
            self._after(succeeded=False, recoverable=error.recoverable)

    def _run_driver(self) -> None:
        env = self._env(is_inside=self._is_sandboxed)
        try:
            config = self._schema.check(interpolate(self.task.get("Config") or {}, env))
        except ConfigInvalid as error:
            count = len(error.errors) + 1
            text = (
                f"{count} errors occurred:\n\t* " + "\n\t* ".join(["failed to parse config: ", *error.errors]) + "\n\n"
            )
            self.emit(events.failed_validation(text))
            self._after(succeeded=False, recoverable=False)
            return
        self.phase = Phase.STARTING
        self.task_id = f"{self._runner.alloc_id}/{self.name}/{time.time_ns()}.{next(self._starts)}"
        limits = self.task.get("LogConfig") or {}
        logs = "" if limits.get("Disabled") else f"{self._runner.folder}/alloc/logs/{self.name}"
        order = StartOrder(
            task_id=self.task_id,
            config=config,
            env=env.env,
            task_dir=env.task_dir,
            stdout=logs and f"{logs}.stdout",
            stderr=logs and f"{logs}.stderr",
            max_files=limits.get("MaxFiles") or 10,
            max_bytes=(limits.get("MaxFileSizeMB") or 10) << 20,
            user=self.task.get("User") or "",
            mounts=sandbox.mounts(env.task_dir, env.shared_dir, self._mounts) if self._is_sandboxed else (),
        )
        self._driver.start(order, self._events())

    def _env(self, *, is_inside: bool = False) -> task_env.TaskEnv:
        """Builds the task's variables. `is_inside`: with the folders' paths in its sandbox."""
        runner = self._runner
        return task_env.build(
            runner.alloc,
            runner.job,
            self.task,
            runner.node,
            runner.host.base_env,
            str(runner.folder),
            self._prestart.template_env,
            runner.host.variable,
            is_inside=is_inside,
        )

    # -- called by the driver --

    def _events(self) -> TaskEvents:
        return TaskEvents(self._started, self._start_failed, self._exited)

    def _started(self) -> None:
        self.phase = Phase.RUNNING
        if self._runner.is_abandoned:
            self.abandon()
            return
        if self._runner.is_frozen:
            self.freeze(True)
        self.state.add(events.started())
        self._become("running")
        if self._killed:
            self._shut_down()

    def _start_failed(self, message: str, recoverable: bool) -> None:
        if self._runner.is_abandoned:
            return
        self.emit(events.driver_failure(message))
        if self._killed:
            self._die()
        else:
            self._after(succeeded=False, recoverable=recoverable)

    def _exited(self, result: ExitResult) -> None:
        if self._runner.is_abandoned:
            self._driver.forget(self.task_id)
            return
        if self._timer:
            self._timer.cancel()
        self._runner.ended.append((self._driver, self.task_id))
        self.emit(events.terminated(result.exit_code, result.signal, result.error))
        if self._killed:
            self.emit(events.killed())
            self._die()
        elif self._restart_asked:
            self._restart(0, "")
        else:
            self._after(succeeded=result.succeeded)

    def _after(self, *, succeeded: bool, recoverable: bool = True) -> None:
        verdict = self._restarts.after(succeeded=succeeded, recoverable=recoverable)
        if verdict.word == "restart":
            self._restart(verdict.delay_ns, verdict.reason)
            return
        if verdict.word == "fail":
            self.state.add(events.not_restarting(verdict.reason))
        self._die()

    def _restart(self, delay_ns: int, reason: str) -> None:
        self._restart_asked = False
        self.state.add(events.restarting(delay_ns, reason))
        self.phase = Phase.DELAYED
        self._become("pending")
        self._timer = self._runner.host.loop.later(delay_ns / 1e9, self._delay_over)

    def _delay_over(self) -> None:
        self.phase = Phase.WAITING
        self.start_if_allowed()

    # -- ending --

    def _shut_down(self) -> None:
        if delay_ns := self.task.get("ShutdownDelay") or 0:
            self.state.add(events.shutdown_delay(delay_ns))
            self._become("pending")
            self._timer = self._runner.host.loop.later(delay_ns / 1e9, self._end_process)
        else:
            self._end_process()

    def _end_process(self) -> None:
        self._driver.kill(self.task_id, self._kill_signal(), self.kill_timeout_ns / 1e9)

    def _kill_signal(self) -> int:
        name = self.task.get("KillSignal") or "SIGINT"
        return int(getattr(signal, name, signal.SIGINT))

    def _die(self) -> None:
        if self._timer:
            self._timer.cancel()
        self.phase = Phase.DEAD
        self._become("dead")
        if self._killed or self.is_poststop:
            self._complete()

    def _complete(self) -> None:
        self.phase = Phase.COMPLETE
        waiting, self._completed = self._completed, []
        for call in waiting:
            call()
        self._changed()

    # -- state --

    def _become(self, word: str) -> None:
        self.state.become(word)
        self._changed()

    def _changed(self) -> None:
        self._runner.task_changed()
