"""The lifecycle of an allocation's tasks as Nomad draws it: prestart, main, poststart and poststop, with sidecars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from federation.charts import svg
from federation.charts.states import state
from federation.charts.svg import Chart, element, label_text, linked, percent
from federation.text import shortened

Hook = Literal["prestart", "main", "poststart", "poststop"]
_COLUMNS = {"prestart": (0.0, 0.3), "main": (0.32, 0.68), "poststart": (0.36, 0.68), "poststop": (0.7, 1.0)}
_ORDER = ("prestart", "main", "poststart", "poststop")
_ROW = 30


@dataclass(frozen=True)
class Task:
    """A task of the group. A sidecar goes on beside the main tasks. `hook` is empty or `main` for a main task."""

    name: str
    state: str
    hook: str = "main"
    sidecar: bool = False
    title: str = ""
    href: str = ""


def lifecycle(tasks: Sequence[Task], *, label: str = "") -> Chart:
    """A bar for each task, from the phase in which it starts to the one in which it ends, with the sign of its state."""
    y = 20.0 if label else 0.0
    parts = [label_text(label, 0, 12, "h")] if label else []
    used = ["prestart", "main", "poststop"]
    for name in used:
        left, right = _COLUMNS[name]
        parts.append(label_text(name, percent(left), y + 12, "m small"))
        parts.append(element("line", class_="grid", x1=percent(left), x2=percent(right), y1=y + 18, y2=y + 18))
    y += 24
    for task in sorted(tasks, key=lambda task: (_ORDER.index(_hook(task)), task.sidecar)):
        parts.append(linked(_bar(task, y), task.href))
        y += _ROW
    if not tasks:
        parts.append(label_text("no tasks yet", 0, y + 12, "m"))
        y += 20
    told = ", ".join(f"{task.name} {state(task.state).name}" for task in tasks)
    return svg.chart(parts, y, f"{label or 'tasks'}: {told}", drawn=len(tasks), of=len(tasks))


def _bar(task: Task, y: float) -> str:
    hook, look = _hook(task), state(task.state)
    left, right = _COLUMNS[hook]
    if task.sidecar and hook in ("prestart", "poststart"):
        right = _COLUMNS["main"][1]
    room = int((right - left) * svg.NARROW / svg.CHAR_WIDTH) - 3
    kind = "sidecar, " if task.sidecar else ""
    told = task.title or f"{task.name} ({hook}): {kind}{look.name}"
    inside = (
        element("rect", class_="track", width="100%", height=24)
        + element("rect", class_=f"{look.css_class} f", width=4, height=24)
        + element("text", look.sign, x=10, y=16, class_=f"{look.css_class} sign")
        + label_text(shortened(task.name, max(4, room)), 25, 16)
    )
    if task.sidecar and room - len(task.name) > 8:
        inside += label_text("sidecar", "100%", 16, "m small", anchor="end", dx=-6)
    return f"<g>{svg.title(told)}{svg.clipped(inside, percent(left), y, percent(right - left), 24)}</g>"


def _hook(task: Task) -> str:
    return task.hook if task.hook in _COLUMNS else "main"
