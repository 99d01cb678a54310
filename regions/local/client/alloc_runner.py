"""Runs the tasks of one allocation in order, and computes its client status."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from regions.local.client import alloc_dir, events
from regions.local.client.lifecycle import Coordinator
from regions.local.client.task_host import Host, Phase
from regions.local.client.task_runner import TaskRunner
from regions.local.drivers.driver import Driver, DriverKind
from regions.local.state.times import format_time


class AllocHost(Host, Protocol):
    """The parts of the client that an allocation uses."""

    drivers: Mapping[str, DriverKind]

    def report(self, runner: AllocRunner) -> None: ...


class AllocRunner:
    """Runs all tasks of one allocation on the client's loop.

    `is_abandoned`: its node was killed, so nothing more is reported. `is_frozen`: its node is paused. `is_done`: every
    task has ended for good. `is_quiet`: nothing may be reported yet. `ended`: exits that the drivers keep until they
    were reported.
    """

    def __init__(
        self, host: AllocHost, alloc: dict[str, Any], job: dict[str, Any], node: dict[str, Any], folder: Path
    ) -> None:
        self.alloc_id: str = alloc["ID"]
        self.alloc = alloc
        self.job = job
        self.node = node
        self.folder = folder
        self.group = next(g for g in job["TaskGroups"] if g["Name"] == alloc["TaskGroup"])
        self.coordinator = Coordinator(self.group["Tasks"])
        self.tasks: list[TaskRunner] = []
        self.is_stopping = False
        self.is_abandoned = False
        self.is_frozen = False
        self._has_news = False
        self._awaits_end = False
        self.ended: list[tuple[Driver, str]] = []
        self.host = host
        self._killing = False
        self._pending_look = False
        self._done_calls: list[Callable[[], None]] = []
        self._failure = ""
        self._timed_out = alloc.get("ClientDescription") == events.TIMED_OUT
        self._has_said_why = False

    @property
    def is_quiet(self) -> bool:
        return self._awaits_end or self._pending_look or self.is_abandoned or self.is_frozen

    @property
    def is_done(self) -> bool:
        return bool(self._failure) or all(task.phase is Phase.COMPLETE for task in self.tasks)

    # -- called by the client --

    def start(self, *, recover: bool = False) -> None:
        """Starts the tasks. `recover`: finds the tasks that ran before the region ended."""
        states = self.alloc.get("TaskStates") or {} if recover else {}
        if self.group.get("MaxRunDuration"):
            ends_ns = self.alloc["CreateTime"] + self.group["MaxRunDuration"]
            self.host.loop.later(max(0.0, (ends_ns - time.time_ns()) / 1e9), self._time_out)
        for task in self.group["Tasks"]:
            kind = self.host.drivers.get(task["Driver"])
            if kind is None:
                self._fail(f'failed to create task runner: unknown driver "{task["Driver"]}"')
                return
            state = states.get(task["Name"])
            self.tasks.append(TaskRunner(self, task, kind, state))
        try:
            alloc_dir.create(self.folder)
        except OSError as error:
            self._fail(str(error))
            return
        if recover:
            for runner in self.tasks:
                runner.recover()
        self.task_changed()

    def _fail(self, reason: str) -> None:
        self.tasks = []
        self._failure = f"Unable to add allocation due to error: {reason}"
        self.host.report(self)

    def stop(self, done: Callable[[], None] | None = None) -> None:
        """Ends all tasks: the leader first, sidecars last, then poststop tasks run. Calls `done` at the end."""
        if done:
            if self.is_done:
                done()
                return
            self._done_calls.append(done)
        if not self.is_stopping:
            self.is_stopping = True
            self._kill_tasks()

    def _time_out(self) -> None:
        """Ends all tasks because the group's `max_run_duration` is over. The allocation counts as complete."""
        if self.is_done or self._killing or self.is_abandoned:
            return
        self._timed_out = self._awaits_end = True
        for task in self.tasks:
            if task.is_poststop:
                task.kill(events.timed_out(task.orders.kill_timeout_ns), _nothing)
        self._kill_tasks()

    def restart(self, task: str | None, *, all_tasks: bool) -> str:
        """Restarts one task, the running ones, or all. Returns an error in Nomad's words, or ""."""
        if task:
            runner = next((t for t in self.tasks if t.name == task), None)
            if runner is None:
                return f"Could not find task runner for task: {task}"
            event = events.restart_signaled("User requested task to restart")
            return "" if runner.restart(event, dead_too=False) else "Task not running"
        if self.is_stopping or self.is_done:
            return "restart of an alloc that should not run"
        which = "all" if all_tasks else "running"
        if all_tasks:
            self.coordinator.restart()
        for runner in self.tasks:
            runner.restart(events.restart_signaled(f"User requested {which} tasks to restart"), dead_too=all_tasks)
        return ""

    def abandon(self) -> None:
        """Simulates the death of its machine: the tasks are gone at once, and nothing is reported."""
        self.is_abandoned = True
        for task in self.tasks:
            task.abandon()

    def freeze(self, is_frozen: bool) -> None:
        """Simulates a machine that stands still, and one that goes on."""
        self.is_frozen = is_frozen
        for task in self.tasks:
            task.freeze(is_frozen)
        if not is_frozen and self._has_news:
            self._has_news = False
            self.host.report(self)

    # -- consequences of the tasks' states --

    def task_changed(self) -> None:
        """Schedules a look at the whole allocation, at the end of this round of the loop."""
        if not self._pending_look:
            self._pending_look = True
            self.host.loop.at_end(self._look)

    def _look(self) -> None:
        self._pending_look = False
        if self.is_abandoned:
            return
        self._has_news = self.is_frozen
        live = [t for t in self.tasks if not t.is_poststop and t.state.word != "dead"]
        if live:
            self._kill_if_over(live)
        else:
            for task in self.tasks:
                if not task.is_poststop and task.phase is Phase.DEAD:
                    task.kill(None, _nothing)
        self.coordinator.update({t.name: t.state.data for t in self.tasks})
        for task in self.tasks:
            task.start_if_allowed()
        if not self._awaits_end:
            self.host.report(self)
        if self.is_done:
            waiting, self._done_calls = self._done_calls, []
            for call in waiting:
                call()

    def _kill_if_over(self, live: list[TaskRunner]) -> None:
        """Ends the other tasks after a failed task or a dead leader, or when only sidecars are left.

        Nothing is reported to the server until they have ended, as with Nomad: it must not give their room to others.
        """
        if not self._killing and self._say_why_over(live):
            self._awaits_end = True
            self._kill_tasks()

    def _say_why_over(self, live: list[TaskRunner]) -> bool:
        """Emits to the other tasks why they end, if they are to. Returns whether it did."""
        dead = [t for t in self.tasks if not t.is_poststop and t.state.word == "dead"]
        if failed := next((t for t in dead if t.state.data["Failed"]), None):
            event = events.sibling_failed(failed.name)
        elif any(t.is_leader for t in dead):
            event = events.leader_dead()
        elif all(t.is_sidecar for t in live):
            event = events.main_dead()
        else:
            return False
        for task in live:
            task.emit(event)
        self._has_said_why = True
        return True

    def _kill_tasks(self) -> None:
        """Kills the leader, then the others, then sidecars. Each wave waits for the one before."""
        self._killing = True
        mortal = [t for t in self.tasks if not t.is_poststop]
        leaders = [t for t in mortal if t.is_leader][:1]
        others = [t for t in mortal if t not in leaders and not t.is_sidecar]
        sidecars = [t for t in mortal if t not in leaders and t.is_sidecar]
        self._kill_waves([wave for wave in (leaders, others, sidecars) if wave])

    def _kill_waves(self, waves: list[list[TaskRunner]]) -> None:
        if not waves:
            self._awaits_end = False
            self.task_changed()
            return
        left = len(waves[0])

        def one_ended() -> None:
            nonlocal left
            left -= 1
            if not left:
                live = [t for t in self.tasks if not t.is_poststop and t.state.word != "dead"]
                if live and (self.is_stopping or self._timed_out) and not self._has_said_why:
                    self._awaits_end = True
                    self._say_why_over(live)
                self._kill_waves(waves[1:])

        for task in waves[0]:
            task.kill(self._killing_event(task), one_ended)

    def _killing_event(self, task: TaskRunner) -> dict[str, Any] | None:
        if not self._timed_out:
            return events.killing(task.orders.kill_timeout_ns)
        return None if task.state.word == "dead" else events.timed_out(task.orders.kill_timeout_ns)

    # -- reported to the server --

    def update(self) -> dict[str, Any]:
        """Returns `{ID, ClientStatus, ClientDescription, TaskStates, ModifyTime}`, not shared with later changes."""
        states = {task.name: dict(task.state.data) for task in self.tasks}
        if self._timed_out:
            status, description = "complete", events.TIMED_OUT
        elif self._failure:
            status, description = "failed", self._failure
        else:
            status, description = client_status(states.values())
        now_ns = time.time_ns()
        if status in ("complete", "failed"):
            for state in states.values():
                state["FinishedAt"] = state["FinishedAt"] or format_time(now_ns)
        return {
            "ID": self.alloc_id,
            "ClientStatus": status,
            "ClientDescription": description,
            "TaskStates": states,
            "ModifyTime": now_ns,
        }


def client_status(states: Any) -> tuple[str, str]:
    """Returns an allocation's client status and its description, from its tasks' states."""
    words = {"failed" if s["State"] == "dead" and s["Failed"] else s["State"] for s in states}
    if "failed" in words:
        return "failed", "Failed tasks"
    if "running" in words:
        return "running", "Tasks are running"
    if "pending" in words:
        return "pending", "No tasks have started"
    return "complete", "All tasks have completed"


def _nothing() -> None:
    """Callback for a kill that nobody waits for."""
