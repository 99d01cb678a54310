"""Runs placed allocations as real processes and reports client status and task states."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from regions.local.client import alloc_dir
from regions.local.client.alloc_runner import AllocRunner
from regions.local.client.task_env import DENIED, Variable
from regions.local.drivers.driver import DriverKind
from regions.local.drivers.executor_link import ExecutorLink
from regions.local.drivers.loop import Loop
from regions.local.drivers.mock import MOCK, Mock
from regions.local.drivers.raw_exec import EXEC, RAW_EXEC, RawExec

_T = TypeVar("_T")
_COALESCE_S = 0.01
_WORKERS = 4
_ANSWER_S = 30.0


def end_leftovers(data_dir: Path) -> None:
    """Kills the tasks and the executor that a dead region left in `data_dir`. Returns when they have ended.

    Cleans up after a region that was killed and won't be started again. Never ends a process of somebody else.
    """
    link = ExecutorLink(data_dir.absolute() / "executor", _ignore, lambda: None)
    link.attach()
    link.end()


class Client:
    """The node side of one region, for all its nodes.

    `alloc`, `job` and `node` are Nomad's JSON shapes and are never changed here. `on_update` gets lists of `{ID,
    ClientStatus, ClientDescription, TaskStates, ModifyTime}` on the client's own thread; when it returns, the server
    has stored those states. Methods may be called from any thread; those without a result don't wait.

    After a crash (kill -9) of the region: make a new Client with the same `data_dir`, then call `restore` once.
    `data_dir/alloc/<id>` are the allocations' folders; `data_dir/executor` belongs to the raw_exec driver.
    """

    def __init__(
        self,
        data_dir: Path,
        on_update: Callable[[list[dict[str, Any]]], None],
        base_env: Mapping[str, str],
        api_address: str,
        variable: Variable = lambda _namespace, _path: None,
    ) -> None:
        self.variable = variable
        self.base_env: Mapping[str, str] = {k: v for k, v in base_env.items() if k not in DENIED}
        self.api_address = api_address
        self.loop = Loop("fedml-client")
        self._allocs = data_dir.absolute() / "alloc"
        self._on_update = on_update
        self._runners: dict[str, AllocRunner] = {}
        self._changed: dict[str, AllocRunner] = {}
        self._flush_planned = False
        self._silent: dict[str, str] = {}
        """IDs of the nodes that were hurt on purpose, with `killed` or `paused`."""
        self._raw_exec = RawExec(self.loop, data_dir.absolute() / "executor", base_env.get("PATH", ""))
        self.drivers: Mapping[str, DriverKind] = {
            "raw_exec": DriverKind(self._raw_exec, RAW_EXEC),
            "exec": DriverKind(self._raw_exec, EXEC, is_sandboxed=True),
            "mock_driver": DriverKind(Mock(self.loop), MOCK),
        }
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._workers = 0
        self._allocs.mkdir(parents=True, exist_ok=True)
        self._allocs.chmod(0o711)
        self._raw_exec.attach()
        self.loop.start()

    # -- called by the server --

    def start(self, alloc: dict[str, Any], job: dict[str, Any], node: dict[str, Any]) -> None:
        """Runs an allocation. Ignores one that already runs."""
        self.loop.post(lambda: self._start(alloc, job, node, recover=False))

    def stop(self, alloc_id: str) -> None:
        """Ends an allocation's tasks (kill signal, then force after the kill timeout). Then its poststop tasks run."""

        def stop() -> None:
            runner = self._runners.get(alloc_id)
            if runner is not None and not runner.is_frozen:
                runner.stop()

        self.loop.post(stop)

    def silence(self, node_id: str, how: str) -> None:
        """Hurts a node on purpose. `killed`: its tasks are gone at once. `paused`: its processes stop where they are.
        Until `revive`, nothing is reported about its allocations and no order reaches it."""

        def silence() -> None:
            self._silent[node_id] = how
            for runner in [one for one in self._runners.values() if one.node["ID"] == node_id]:
                if how == "killed":
                    del self._runners[runner.alloc_id]
                    runner.abandon()
                else:
                    runner.freeze(True)

        self._ask(silence)

    def revive(self, node_id: str, allocs: list[dict[str, Any]], node: dict[str, Any]) -> None:
        """Brings the node back: stopped processes go on, and `allocs`, all that the server has there, run or stop."""

        def revive() -> None:
            self._silent.pop(node_id, None)
            for runner in [one for one in self._runners.values() if one.node["ID"] == node_id]:
                runner.freeze(False)
            for alloc in allocs:
                if alloc["DesiredStatus"] != "run":
                    self.stop(alloc["ID"])
                elif alloc["ClientStatus"] in ("pending", "running"):
                    self._start(alloc, alloc["Job"], node, recover=True)

        self._ask(revive)

    def restart(self, alloc_id: str, task: str | None, *, all_tasks: bool = False) -> None:
        """Restarts a task, all running ones, or all. Raises LookupError, or RuntimeError with Nomad's sentence."""

        def restart() -> str:
            runner = self._runners.get(alloc_id)
            return runner.restart(task, all_tasks=all_tasks) if runner else self._ended(alloc_id)

        if error := self._ask(restart):
            raise RuntimeError(error)

    def alloc_dir(self, alloc_id: str) -> Path:
        """Returns the path of the allocation's folder, which may not exist."""
        return self._allocs / alloc_id

    def destroy(self, alloc_id: str) -> None:
        """Ends the allocation if it runs, then removes its folder and forgets it."""

        def forget() -> None:
            self._runners.pop(alloc_id, None)
            self.work(lambda: alloc_dir.destroy(self._allocs / alloc_id), _ignore)

        def destroy() -> None:
            runner = self._runners.get(alloc_id)
            if runner is None:
                forget()
            else:
                runner.stop(forget)

        self.loop.post(destroy)

    def restore(self, allocs: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]) -> None:
        """Restores all allocations (with job and node) that had not ended, after a restart of the region.

        Finds running tasks again, handles exits that happened meanwhile, runs lost tasks again as Nomad does, and
        kills processes of unknown allocations.
        """

        for alloc, job, node in allocs:
            self.loop.post(partial(self._start, alloc, job, node, recover=True))
        self.loop.post(self._raw_exec.kill_strays)

    def stats(self, alloc_id: str) -> dict[str, Any]:
        """Measures Nomad's AllocResourceUsage. Raises LookupError for an unknown allocation."""

        def pids() -> dict[str, int | None]:
            runner = self._runners.get(alloc_id)
            if runner is None:
                self._ended(alloc_id)
                return {}
            return {t.name: self._raw_exec.pid(t.task_id) for t in runner.tasks if t.state.word == "running"}

        from regions.local.client import usage  # seldom asked for

        return usage.alloc_usage(self._ask(pids))

    def shutdown(self, *, kill: bool) -> None:
        """Ends the client. `kill`: ends all tasks first (by force, no updates). Otherwise they can be restored."""

        def close() -> None:
            self._flush()
            self._on_update = _ignore
            if kill:
                self._raw_exec.end()
            else:
                self._raw_exec.detach()

        self._ask(close)
        for _ in range(self._workers):
            self._jobs.put(None)
        self.loop.stop()

    # -- called by allocations --

    def report(self, runner: AllocRunner) -> None:
        """Reports this allocation to the server: at once when it has ended, otherwise soon, with others."""
        self._changed[runner.alloc_id] = runner
        if runner.is_done:
            self._flush_planned = True
            self.loop.at_end(self._flush)
        elif not self._flush_planned:
            self._flush_planned = True
            self.loop.later(_COALESCE_S, self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        changed = [runner for runner in self._changed.values() if not runner.is_quiet]
        self._changed.clear()
        if changed:
            self._on_update([runner.update() for runner in changed])
        for runner in changed:
            known, runner.ended = runner.ended, []
            for driver, task_id in known:
                driver.forget(task_id)
            if runner.is_done and self._runners.get(runner.alloc_id) is runner:
                del self._runners[runner.alloc_id]

    def _ended(self, alloc_id: str) -> str:
        """Says why an ended allocation can't restart. Raises LookupError for an unknown one."""
        if (self._allocs / alloc_id).is_dir():
            return "restart of an alloc that should not run"
        raise LookupError(f'Unknown allocation "{alloc_id}"')

    def _start(self, alloc: dict[str, Any], job: dict[str, Any], node: dict[str, Any], *, recover: bool) -> None:
        how = self._silent.get(node["ID"])
        if alloc["ID"] in self._runners or how == "killed" or (how and not recover):
            return
        runner = self._runners[alloc["ID"]] = AllocRunner(self, alloc, job, node, self._allocs / alloc["ID"])
        runner.start(recover=recover)
        if how:
            runner.freeze(True)
        if alloc.get("DesiredStatus") in ("stop", "evict"):
            runner.stop()

    def work(self, job: Callable[[], None], done: Callable[[Exception | None], None]) -> None:
        """Runs `job` on a worker thread, then `done` on the loop, with the exception if there was one."""

        def run() -> None:
            error: Exception | None = None
            try:
                job()
            except Exception as caught:  # noqa: BLE001 - handed on
                error = caught
            self.loop.post(lambda: done(error))

        if self._workers < _WORKERS:
            self._workers += 1
            threading.Thread(target=self._run_jobs, name="fedml-client-worker", daemon=True).start()
        self._jobs.put(run)

    def _run_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _ask(self, call: Callable[[], _T]) -> _T:
        """Runs `call` on the loop and returns its result or raises its exception. Raises TimeoutError."""
        answered = threading.Event()
        results: list[_T] = []
        errors: list[Exception] = []

        def run() -> None:
            try:
                results.append(call())
            except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
                errors.append(error)
            answered.set()

        self.loop.post(run)
        if not answered.wait(_ANSWER_S):
            raise TimeoutError
        if errors:
            raise errors[0]
        return results[0]


def _ignore(_: object) -> None:
    """Callback for an answer that nobody needs."""
