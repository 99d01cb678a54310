"""Decides which of a group's tasks may start (prestart, main, poststart, poststop)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_INIT, _PRESTART, _MAIN, _POSTSTART, _WAIT, _POSTSTOP = range(6)

# Which stages may start tasks in which state.
_OPEN: dict[int, frozenset[str]] = {
    _INIT: frozenset(),
    _PRESTART: frozenset({"prestart", "prestart sidecar"}),
    _MAIN: frozenset({"prestart sidecar", "main"}),
    _POSTSTART: frozenset({"prestart sidecar", "main", "poststart", "poststart sidecar"}),
    _WAIT: frozenset({"prestart sidecar", "main", "poststart sidecar"}),
    _POSTSTOP: frozenset({"poststop"}),
}


def stage(task: dict[str, Any]) -> str:
    """Returns `main`, `prestart`, `prestart sidecar`, `poststart`, `poststart sidecar` or `poststop`."""
    lifecycle = task.get("Lifecycle") or {}
    hook = lifecycle.get("Hook") or "main"
    return f"{hook} sidecar" if lifecycle.get("Sidecar") and hook in ("prestart", "poststart") else str(hook)


class Coordinator:
    """The order in which a group's tasks start. It only moves forward, except by `restart`."""

    __slots__ = ("_stages", "_state")

    def __init__(self, tasks: Iterable[dict[str, Any]]) -> None:
        self._stages: dict[str, str] = {task["Name"]: stage(task) for task in tasks}
        self._state = _PRESTART

    def restart(self) -> None:
        """Starts over: all tasks run again, in order, once all are pending."""
        self._state = _INIT

    def may_start(self, task_name: str) -> bool:
        return self._stages[task_name] in _OPEN[self._state]

    def update(self, states: dict[str, dict[str, Any]]) -> None:
        """Moves forward as far as the tasks' states allow."""
        while (following := self._next(states)) != self._state:
            self._state = following

    def _next(self, states: dict[str, dict[str, Any]]) -> int:
        names = self._stages
        if all(states[name]["State"] == "dead" for name in names if names[name] != "poststop"):
            return _POSTSTOP
        if self._state == _INIT:
            return _PRESTART if all(s["State"] == "pending" for s in states.values()) else _INIT
        if self._state == _PRESTART:
            return _MAIN if all(self._is_prepared(name, states[name]) for name in names) else _PRESTART
        if self._state == _MAIN:
            waiting = any(states[name]["State"] == "pending" for name in names if names[name] == "main")
            return _MAIN if waiting else _POSTSTART
        if self._state == _POSTSTART:
            busy = any(states[name]["State"] != "dead" for name in names if names[name] == "poststart")
            return _POSTSTART if busy else _WAIT
        return self._state

    def _is_prepared(self, name: str, state: dict[str, Any]) -> bool:
        if self._stages[name] == "prestart":
            return state["State"] == "dead" and not state["Failed"]
        return self._stages[name] != "prestart sidecar" or state["State"] == "running"
