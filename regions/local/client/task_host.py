"""What a task's runner knows of the client and of its allocation, and the phases of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from regions.local.client import task_env
from regions.local.client.lifecycle import Coordinator
from regions.local.drivers.driver import Driver
from regions.local.drivers.loop import Loop


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
