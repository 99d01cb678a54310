"""Prints the curves of a run: for each metric a table with a line for each slot, all drawn on one scale. And their JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from federation.curves import Point
from federation.output.streams import write_block, write_line
from federation.result import json_value
from federation.text import counted, shortened
from federation.ui.console import out
from federation.ui.index_table import aligned, number_text
from federation.ui.run_chart import HEIGHTS
from federation.ui.slot_failures import params_text
from federation.workflows.run_curves import RunCurves, TaskCurves

PLAIN_WIDTH = 80
"""Without a terminal."""
CURVE_CHARS, CURVE_CHARS_MAX = 24, 60
ROWS_MAX = 30
METRICS_MAX = 8
_ASCII_HEIGHTS = ".:-=+*#@"
_LOG_FROM = 1000.0
"""Positive values that differ by more than this factor are drawn on a logarithmic scale."""


@contextmanager
def curve_screen() -> Iterator[Callable[[RunCurves], None]]:
    """A function that draws curves anew on the whole terminal. What stood there before comes back at the end."""
    console = out()
    with console.screen(hide_cursor=True):

        def show(curves: RunCurves) -> None:
            count = len({name for task in curves.tasks for name in task.metrics})
            console.clear()
            show_curves(curves, rows_max=max(3, (console.height - 2) // max(1, min(count, METRICS_MAX)) - 4))

        yield show


def show_curves(curves: RunCurves, *, rows_max: int = ROWS_MAX) -> None:
    """Prints at most `METRICS_MAX` metrics, each with at most so many slots."""
    names = sorted({name for task in curves.tasks for name in task.metrics})
    for name in names[:METRICS_MAX]:
        tasks = [task for task in curves.tasks if name in task.metrics]
        _show_metric(name, tasks, rows_max)
    if not names:
        write_line("No slot has written a metrics.jsonl that can be read.")
        write_line('Each point of a curve is a line there, as {"step": 1, "loss": 0.5}.')
    if len(names) > METRICS_MAX:
        write_line(f"… and {counted(len(names) - METRICS_MAX, 'other metric')} (all: --json)")
    skipped = sum(task.skipped for task in curves.tasks)
    if skipped:
        bad = sum(task.skipped > 0 for task in curves.tasks)
        write_line(f"{counted(skipped, 'line')} of {counted(bad, 'slot')} can't be used and {_are(skipped)} left out.")


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _show_metric(name: str, tasks: Sequence[TaskCurves], rows_max: int) -> None:
    points = [point for task in tasks for point in task.metrics[name]]
    steps = [step for step, _ in points]
    values = [value for _, value in points if math.isfinite(value)]
    is_log = bool(values) and min(values) > 0 and max(values) > _LOG_FROM * min(values)
    told = f"{number_text(min(values))} to {number_text(max(values))}" if values else "no finite value"
    write_line(f"{name}: {told}, steps {min(steps):g} to {max(steps):g}{', logarithmic scale' if is_log else ''}")
    shown = tasks[:rows_max]
    cells = [
        [
            f"{task.slot:>4}",
            params_text(task.params) or "-",
            task.state,
            f"{task.metrics[name][-1][0]:g}",
            number_text(task.metrics[name][-1][1]),
        ]
        for task in shown
    ]
    heading = ["slot", "parameters", "state", "step", "last"]
    width = out(plain_width=PLAIN_WIDTH).width
    others = sum(max(len(row[at]) for row in (heading, *cells)) + 2 for at in (0, 2, 3, 4))
    room = max(len(heading[1]), width - others - 2 - CURVE_CHARS)
    cells = [[row[0], shortened(row[1], room), *row[2:]] for row in cells]
    left = width - others - 2 - max(len(row[1]) for row in (heading, *cells))
    scale = (min(steps), max(steps), *_range(values, is_log=is_log))
    chars = min(max(CURVE_CHARS, left), CURVE_CHARS_MAX, len(set(steps)))
    lines = [_line(task.metrics[name], scale, chars, is_log=is_log) for task in shown]
    write_block(aligned([[*heading, "curve"], *([*row, line] for row, line in zip(cells, lines, strict=True))]))
    if len(tasks) > rows_max:
        write_line(f"… and {counted(len(tasks) - rows_max, 'other slot')} (all: --json)")
    write_line("")


def _range(values: Sequence[float], *, is_log: bool) -> tuple[float, float]:
    scaled = [math.log(value) if is_log else value for value in values] or [0.0]
    return min(scaled), max(scaled)


def _line(points: Sequence[Point], scale: tuple[float, float, float, float], chars: int, *, is_log: bool) -> str:
    """One character for each part of the steps: the height of the last value there, `x` for one that isn't finite."""
    heights = HEIGHTS if _can_show(HEIGHTS) else _ASCII_HEIGHTS
    first, last, least, most = scale
    drawn: list[str] = []
    for step, value in points:
        column = min(chars - 1, int((step - first) / ((last - first) or 1.0) * chars))
        drawn += [drawn[-1] if drawn else " "] * (column - len(drawn))
        if math.isfinite(value):
            share = ((math.log(value) if is_log else value) - least) / ((most - least) or 1.0)
            mark = heights[min(len(heights) - 1, int(share * len(heights)))]
        else:
            mark = "x"
        drawn[column:] = [mark]
    return "".join(drawn)


def _can_show(text: str) -> bool:
    console = out()
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return not console.is_dumb_terminal


def curves_document(curves: RunCurves) -> dict[str, Any]:
    """The members of `runs show --curves --json`."""
    return {
        "curves": [
            {
                "slot": task.slot,
                "attempt": task.attempt,
                "region": task.region,
                "alloc_id": task.alloc_id,
                "state": task.state,
                "params": dict(task.params),
                "lines": task.lines,
                "skipped": task.skipped,
                "is_whole": task.is_whole,
                "metrics": {
                    name: {"steps": [step for step, _ in points], "values": [json_value(value) for _, value in points]}
                    for name, points in task.metrics.items()
                },
            }
            for task in curves.tasks
        ],
        "curve_problems": list(curves.problems),
    }
