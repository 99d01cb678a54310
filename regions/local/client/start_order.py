"""Makes what a driver gets to start or find a task: its variables, its checked config, the order."""

from __future__ import annotations

import itertools
import signal
import time
from typing import Any

from regions.local.client import task_env
from regions.local.client.config_values import interpolate
from regions.local.client.prestart import Prestart
from regions.local.client.task_host import Allocation
from regions.local.drivers import sandbox
from regions.local.drivers.driver import DriverKind, StartOrder
from regions.local.nomad_version import RAW_EXEC_MEMORY, REFERENCES, parse

_MAX_KILL_TIMEOUT_NS = 30_000_000_000  # Nomad's client default `max_kill_timeout`


def limits_raw_exec(node: dict[str, Any]) -> bool:
    """Whether clients of the node's Nomad version limit the memory of raw_exec tasks."""
    try:
        version = parse(node["Attributes"].get("nomad.version", ""))
    except ValueError:  # an attribute that the declaration changed
        version = REFERENCES[0]
    return version >= RAW_EXEC_MEMORY


class Orders:
    """Makes the orders of one task."""

    def __init__(self, runner: Allocation, task: dict[str, Any], kind: DriverKind, prestart: Prestart) -> None:
        self._runner = runner
        self._task = task
        _, self.schema, self._is_sandboxed = kind
        self._prestart = prestart
        self._starts = itertools.count()
        self._mounts: list[sandbox.Mount] = []

    def mount(self) -> None:
        """Finds the task's volumes. Raises PrestartFailed."""
        self._mounts = self._prestart.volume_mounts(self._runner.node, is_sandboxed=self._is_sandboxed)

    def config(self) -> dict[str, Any]:
        """The driver's config with its variables replaced. Raises ConfigInvalid."""
        return self._checked(self.env(is_inside=self._is_sandboxed))

    def start(self) -> StartOrder:
        """An order for one more start. Raises ConfigInvalid."""
        env = self.env(is_inside=self._is_sandboxed)
        config = self._checked(env)
        name, folder = self._task["Name"], self._runner.folder
        limits = self._task.get("LogConfig") or {}
        logs = "" if limits.get("Disabled") else f"{folder}/alloc/logs/{name}"
        return StartOrder(
            task_id=f"{self._runner.alloc_id}/{name}/{time.time_ns()}.{next(self._starts)}",
            config=config,
            env=env.env,
            task_dir=env.task_dir,
            stdout=logs and f"{logs}.stdout",
            stderr=logs and f"{logs}.stderr",
            max_files=limits.get("MaxFiles") or 10,
            max_bytes=(limits.get("MaxFileSizeMB") or 10) << 20,
            user=self._task.get("User") or "",
            mounts=sandbox.mounts(env.task_dir, env.shared_dir, self._mounts) if self._is_sandboxed else (),
            memory_bytes=self._memory_bytes(),
        )

    def _memory_bytes(self) -> int:
        """The memory that its driver allows the task as a node of this Nomad version; 0: as much as there is."""
        if not (self._is_sandboxed or limits_raw_exec(self._runner.node)):
            return 0
        granted = self._runner.alloc["AllocatedResources"]["Tasks"][self._task["Name"]].get("Memory") or {}
        return int(granted.get("MemoryMaxMB") or granted.get("MemoryMB") or 0) << 20

    def env(self, *, is_inside: bool = False) -> task_env.TaskEnv:
        """Builds the task's variables. `is_inside`: with the folders' paths in its sandbox."""
        runner = self._runner
        return task_env.build(
            runner.alloc,
            runner.job,
            self._task,
            runner.node,
            runner.host.base_env,
            str(runner.folder),
            self._prestart.template_env,
            runner.host.variable,
            is_inside=is_inside,
        )

    def _checked(self, env: task_env.TaskEnv) -> dict[str, Any]:
        return self.schema.check(interpolate(self._task.get("Config") or {}, env))

    @property
    def kill_timeout_ns(self) -> int:
        """How long the task may take to end before it is killed."""
        return min(int(self._task.get("KillTimeout") or 0), _MAX_KILL_TIMEOUT_NS)

    @property
    def kill_signal(self) -> int:
        """The signal that asks the task to end."""
        return int(getattr(signal, self._task.get("KillSignal") or "SIGINT", signal.SIGINT))
