"""The palette of states and phases: its sign, its class in the style sheet, and its colour in a terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class State:
    """How a state looks. `colour` is a hex colour, or empty for grey."""

    name: str
    sign: str
    colour: str

    @property
    def css_class(self) -> str:
        return f"s-{self.name}"


STATES: Final = {
    state.name: state
    for state in (
        State("done", "●", "#009E73"),
        State("running", "◐", "#0072B2"),
        State("waiting", "○", ""),
        State("lost", "?", "#E69F00"),
        State("failed", "✕", "#D55E00"),
        State("cancelled", "–", ""),
    )
}
"""In the order in which charts stack them."""

_SAME: Final = {
    "open": "running", "pending": "waiting", "queued": "waiting", "blocked": "waiting", "complete": "done",
    "dead": "done", "stopped": "cancelled", "superseded": "cancelled", "unknown": "lost", "ok": "done",
    "committed": "done", "ready": "done", "retired": "cancelled", "removed": "cancelled", "skipped": "cancelled",
    "error": "failed", "refused": "failed", "warning": "lost", "undriven": "lost", "unreachable": "lost",
}  # fmt: skip
PHASES: Final = ("start", "room", "dispatch", "place", "fetch", "compute", "publish", "commit", "retry")
"""What the time of attempts is spent on, in this order (`federation.run.time_spent`)."""
REGION_CLASSES: Final = 8

_CLASS = re.compile(r"(s|p|r|u)-[a-z0-9]{1,12}")


def state(name: str) -> State:
    """The state of this name or of a synonym; `lost` (unknown) for any other."""
    return STATES.get(_SAME.get(name, name)) or STATES["lost"]


def region_class(order: int) -> str:
    """The class of the region that is the nth in fedml.toml; colours repeat after eight."""
    return f"r-{order % REGION_CLASSES}"


def css_class(kind: str, order: int = 0) -> str:
    """The class of a mark: of a state (`done`), a phase (`compute`), a class itself (`r-2`), or the nth colour for others."""
    if kind in STATES or kind in _SAME:
        return state(kind).css_class
    if kind in PHASES:
        return f"p-{kind}"
    return kind if _CLASS.fullmatch(kind) else region_class(order)


def sign(kind: str) -> str:
    """The sign of a state; empty for other kinds."""
    return state(kind).sign if kind in STATES or kind in _SAME else ""
