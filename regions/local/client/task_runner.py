"""Runs one task of an allocation through Nomad's life cycle and keeps its TaskState."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from regions.local.client import events
from regions.local.client.lifecycle import stage
from regions.local.client.prestart import Prestart, PrestartFailed
from regions.local.client.restarts import RestartTracker
from regions.local.client.start_order import Orders
from regions.local.client.task_host import Allocation, Phase
from regions.local.client.task_state import TaskState
from regions.local.drivers.driver import ConfigInvalid, DriverKind, ExitResult, TaskEvents
from regions.local.drivers.loop import Timer

_LOOK_AGAIN_S = 0.2


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
        self._driver = kind[0]
        self._prestart = Prestart(runner.alloc, runner.job, task, runner.folder)
        self.orders = Orders(runner, task, kind, self._prestart)
        self._restarts = RestartTracker(
            task.get("RestartPolicy") or runner.group["RestartPolicy"], task.get("Lifecycle")
        )
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
            self._end_process()
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
        if self.state.word == "running" or self.orders.schema.required:
            try:
                config = self.orders.config()
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

    # -- starting --

    def _prepare(self) -> None:
        self.phase = Phase.PREPARING
        try:
            if not self._prestart.is_set_up:
                self.emit(events.setup())
                self._prestart.set_up()
            self.orders.mount()
            if self._prestart.must_fetch:
                self.emit(events.downloading_artifacts())
                env = self.orders.env()
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
                self._prestart.render(self.orders.env())
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
        try:
            order = self.orders.start()
        except ConfigInvalid as error:
            self.emit(events.failed_validation(error.errors))
            self._after(succeeded=False, recoverable=False)
            return
        self.phase = Phase.STARTING
        self.task_id = order.task_id
        self._driver.start(order, self._events())

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
        self.emit(events.terminated(result.exit_code, result.signal, result.error, is_oom=result.is_oom))
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
        self._driver.kill(self.task_id, self.orders.kill_signal, self.orders.kill_timeout_ns / 1e9)

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
