"""The interface of all drivers: start orders, and the events that a driver calls on the client's loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from regions.local.drivers.sandbox import Mount


class ConfigInvalid(Exception):
    """A task's `config` block doesn't fit its driver. `errors` are Nomad's sentences, one each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


class ExitResult(NamedTuple):
    """How a task ended. `error`: its end is unknown or had another cause. `time_ns`: since the epoch. `is_oom`: the kernel
    killed it for its memory, and its driver tells so."""

    exit_code: int
    signal: int = 0
    error: str = ""
    time_ns: int = 0
    is_oom: bool = False

    @property
    def succeeded(self) -> bool:
        return not self.exit_code and not self.signal and not self.error


class TaskEvents(NamedTuple):
    """A driver's callbacks on the loop: `started`, or `failed` (message, recoverable); after a start, `exited` once."""

    started: Callable[[], None]
    failed: Callable[[str, bool], None]
    exited: Callable[[ExitResult], None]


class StartOrder(NamedTuple):
    """One start of a task.

    `task_id` is unique for each start. `stdout` and `stderr` are log files' names without number (empty: the output is
    discarded). `config` is checked and interpolated. `user` "" is the region's own. `mounts` is all that a task in a
    sandbox sees. `memory_bytes`: the task is killed when it takes more, where that can be enforced (0: no limit).
    """

    task_id: str
    config: dict[str, Any]
    env: dict[str, str]
    task_dir: str
    stdout: str
    stderr: str
    max_files: int
    max_bytes: int
    user: str = ""
    mounts: Sequence[Mount] = ()
    memory_bytes: int = 0


class Schema(NamedTuple):
    """A driver's `config` block: attribute → its type (`str`, `int`, `bool`, `list`, `dict`)."""

    attributes: Mapping[str, type]
    required: frozenset[str] = frozenset()

    def check(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Checks the configuration and converts each value to its type. Raises ConfigInvalid."""
        errors = [
            f'Missing required argument: The argument "{name}" is required, but no definition was found.'
            for name in sorted(self.required - config.keys())
        ]
        errors += [
            f'Invalid label: No argument or block type is named "{name}".'
            for name in sorted(config.keys() - self.attributes.keys())
        ]
        checked: dict[str, Any] = {}
        for name, value in config.items():
            if value is None or name not in self.attributes:
                continue
            try:
                checked[name] = _converted(value, self.attributes[name])
            except (TypeError, ValueError):
                wanted = {str: "string", int: "a number", bool: "bool", list: "list of string", dict: "object"}
                kind = wanted[self.attributes[name]]
                errors.append(
                    f'Incorrect attribute value type: Inappropriate value for attribute "{name}": {kind} required.'
                )
        if errors:
            raise ConfigInvalid(errors)
        return checked


def _converted(value: Any, kind: type) -> Any:
    if kind is list:
        if not isinstance(value, list):
            raise TypeError
        return [_converted(v, str) for v in value]
    if kind is dict:
        if isinstance(value, list) and len(value) == 1:  # a block, in Nomad's JSON
            value = value[0]
        if not isinstance(value, dict):
            raise TypeError
        return value
    if isinstance(value, list | dict):
        raise TypeError
    if kind is str:
        return ("true" if value else "false") if isinstance(value, bool) else str(value)
    if kind is bool:
        return (
            {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
            if not isinstance(value, bool)
            else value
        )
    return int(value)


class Driver(Protocol):
    """Runs tasks. All methods are called on the client's loop and don't wait."""

    def start(self, order: StartOrder, events: TaskEvents) -> None:
        """Starts a task. One of `events` follows."""

    def kill(self, task_id: str, number: int, grace_s: float) -> None:
        """Sends the task the signal of that number. Ends it by force after `grace_s` (0: at once)."""

    def freeze(self, task_id: str, is_frozen: bool) -> None:
        """Stops the task's processes where they are, or lets them go on."""

    def forget(self, task_id: str) -> None:
        """Drops what is kept about an ended task, because the server knows its end."""

    def recover(self, alloc_id: str, task: str, config: dict[str, Any], started_s: float, events: TaskEvents) -> str:
        """Finds a task that ran before the region ended. Returns its `task_id`, or "" when it is lost."""


class DriverKind(NamedTuple):
    """One driver by name: who runs its tasks, what their `config` may hold, whether they see only their own folders."""

    driver: Driver
    schema: Schema
    is_sandboxed: bool = False
