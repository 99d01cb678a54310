"""The charts of a run: where its time went, its slots, its attempts over time, its results."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from federation.charts.bars import Bar, Segment, bars, stacked_bar
from federation.charts.parallel import Row as Line
from federation.charts.parallel import parallel
from federation.charts.plane import Mark, Series, line, scatter
from federation.charts.scale import number_of, sampled
from federation.charts.slots import slot_grid
from federation.charts.states import region_class
from federation.charts.svg import Chart
from federation.run.attempt_times import seconds
from federation.run.time_spent import PHASES
from federation.ui.index_table import ranked
from federation.ui.run_chart import picture as timeline_picture
from federation.ui.slot_failures import params_text
from federation.web.pages.run_attempts import href_of
from federation.web.query import with_query
from federation.web.run_now import RunNow
from federation.workflows.run_curves import RunCurves
from jobs.params.values import Value

LINES_MAX = 250
MARKS_MAX = 300
RESULTS_MAX = 2_000
"""Of more results, a sample of so many is drawn; the best so far is of all."""
AXES_MAX, METRIC_AXES_MAX = 8, 3
CURVES_MAX, SERIES_MAX = 6, 30
SMALLER_IS_BETTER = ("loss", "error", "rmse", "mae", "mse", "mape", "perplexity")


@dataclass(frozen=True, slots=True)
class Given:
    """One result: its slot's parameters and its metrics that are numbers."""

    slot: int
    attempt: int
    region: str
    created: str
    params: Mapping[str, Value]
    metrics: Mapping[str, float]

    @property
    def name(self) -> str:
        """The slot with its parameters."""
        return f"slot {self.slot} ({params_text(self.params)})"


def given_of(now: RunNow) -> Sequence[Given]:
    """The results of the run that have metrics, or a sample of them, by when they were written."""

    def read() -> Sequence[Given]:
        found = []
        for row in sampled(now.story.results, RESULTS_MAX):
            told = {name: number_of(value) for name, value in row.metrics.items()}
            metrics = {name: number for name, number in told.items() if number is not None}
            if metrics:
                params = now.story.parameters(row.slot) or row.params
                found.append(Given(row.slot, row.attempt, row.region, row.created, params, metrics))
        return sorted(found, key=lambda one: one.created)

    return now.once("given", read)


def metrics_of(given: Sequence[Given]) -> Sequence[str]:
    """The names of metrics, that which tells most first, as in tables of results."""
    values: dict[str, float] = {}
    for one in given:
        for name, value in one.metrics.items():
            if not value.is_integer():
                values[name] = value
            else:
                values.setdefault(name, int(value))
    return ranked(values)


def params_of(given: Sequence[Given]) -> Sequence[str]:
    """The names of parameters in which results differ."""
    seen: dict[str, set[Value]] = {}
    for one in given:
        for name, value in one.params.items():
            seen.setdefault(name, set()).add(value)
    return [name for name, values in seen.items() if len(values) > 1]


def is_smaller_better(metric: str) -> bool:
    """Whether the metric's name says that small values are good."""
    return any(word in metric.lower() for word in SMALLER_IS_BETTER)


def kinds(now: RunNow) -> Mapping[str, str]:
    """The colour of each region of the run."""
    return {name: region_class(order) for order, name in enumerate(now.story.manifest.regions)}


def spent_chart(now: RunNow) -> Chart:
    parts = [Segment(PHASES[phase], took_s, phase) for phase, took_s in now.spent.phases.items() if took_s]
    return stacked_bar(parts, unit="s")


def regions_chart(now: RunNow) -> Chart:
    """Of the slots that each region has now, how many are done."""
    owners = [(slot.last.region, state) for slot, state in zip(now.story.slots, now.states, strict=True) if slot.last]
    counts = Counter(owners)
    rows = []
    for region in now.story.manifest.regions:
        own = {state: count for (name, state), count in counts.items() if name == region}
        total, others = sum(own.values()), {state: count for state, count in own.items() if state != "done"}
        note = ", ".join(f"{count:,} {state}" for state, count in sorted(others.items()))
        href = with_query(f"/runs/{now.row.run}", {"region": region})
        rows.append(Bar(f"{region}{f' ({note})' if note else ''}", own.get("done", 0), total, href=href, kind="done"))
    return bars(rows)


def grid_chart(now: RunNow, slots: tuple[int, int] | None) -> Chart:
    """The slots, or a range of them. A cell leads to its attempt, a tile to its range."""
    first, last = slots or (0, len(now.states) - 1)
    run, story = now.row.run, now.story

    def href(low: int, high: int, state: str) -> str:
        attempt = story.slots[low].last
        if low == high and attempt is not None:
            return href_of(run, low, attempt.number)
        return with_query(f"/runs/{run}", {"slots": f"{low}-{high}", "state": state}) + "#slots"

    return slot_grid(now.states[first : last + 1], href=href, first=first)


def gantt_chart(now: RunNow) -> Chart:
    """The attempts over time; open ones go on until now."""
    is_open = not now.row.closed and now.timeline.begun_s > 0
    until_s = now.at_s - now.timeline.begun_s if is_open else None
    return timeline_picture(
        now.timeline, href=lambda span: href_of(now.row.run, span.slot, span.attempt), until_s=until_s
    )


def parallel_chart(now: RunNow, given: Sequence[Given], metric: str) -> Chart:
    """The parameters in which results differ, and metrics with the chosen one last."""
    others = [name for name in metrics_of(given) if name != metric][: METRIC_AXES_MAX - 1]
    axes = [*params_of(given)[: AXES_MAX - METRIC_AXES_MAX], *others, metric]
    classes = kinds(now)
    drawn = set(sampled(range(len(given)), LINES_MAX))  # only these need more than their values
    rows = [
        Line(
            f"{one.slot}.{one.attempt}",
            {**one.params, **one.metrics},
            classes.get(one.region, ""),
            one.name if order in drawn else "",
            href_of(now.row.run, one.slot, one.attempt) if order in drawn else "",
        )
        for order, one in enumerate(given)
    ]
    return parallel(rows, axes, limit=LINES_MAX, of=_of(now, given))


def scatter_chart(now: RunNow, given: Sequence[Given], param: str, metric: str) -> Chart:
    """One parameter against the metric."""
    classes = kinds(now)
    values = [(one, as_number(one.params.get(param))) for one in given if metric in one.metrics]
    numbers = [(one, value) for one, value in values if value is not None]
    drawn = set(sampled(range(len(numbers)), MARKS_MAX))
    marks = [
        Mark(
            value,
            one.metrics[metric],
            classes.get(one.region, ""),
            f"{one.name}: {metric} {one.metrics[metric]:g}" if order in drawn else "",
            href_of(now.row.run, one.slot, one.attempt) if order in drawn else "",
        )
        for order, (one, value) in enumerate(numbers)
    ]
    names = {kind: region for region, kind in classes.items()}
    return scatter(marks, x_label=param, y_label=metric, names=names, limit=MARKS_MAX, of=_of(now, given))


def best_chart(now: RunNow, metric: str, *, is_least: bool) -> Chart:
    """The best value of the metric so far, over the time since the run was opened."""
    begun_s = seconds(now.story.manifest.created)
    ordered = sorted((row for row in now.story.results if metric in row.metrics), key=lambda row: row.created)
    best: float | None = None
    marks = []
    for row in ordered:
        value = number_of(row.metrics[metric])
        if value is None or not math.isfinite(value):
            continue
        if best is None or (value < best if is_least else value > best):
            best = value
            name = f"slot {row.slot} ({params_text(now.story.parameters(row.slot))}): {value:g}"
            at_s = max(0.0, _seconds(row.created, begun_s) - begun_s)
            marks.append(Mark(at_s, value, "", name, href_of(now.row.run, row.slot, row.attempt)))
    if marks:
        last_s = _seconds(ordered[-1].created, begun_s) - begun_s
        marks.append(Mark(max(marks[-1].x, last_s), marks[-1].y, "", "until now"))
    return line(
        [Series("the best so far", marks, "r-0", step=True)], x_label="s since the run was opened", y_label=metric
    )


def curve_charts(curves: RunCurves, run: str) -> Mapping[str, Chart]:
    """Each metric that tasks log while they train, over its steps, one line a slot."""
    found = {}
    for name in sorted({name for task in curves.tasks for name in task.metrics})[:CURVES_MAX]:
        tasks = [task for task in curves.tasks if name in task.metrics]
        series = [
            Series(
                f"slot {task.slot}{f' ({params_text(task.params)})' if task.params else ''}",
                [Mark(step, value) for step, value in task.metrics[name]],
                region_class(order),
                href=href_of(run, task.slot, task.attempt),
            )
            for order, task in enumerate(tasks[:SERIES_MAX])
        ]
        note = f" ({len(series)} of {len(tasks)} slots)" if len(tasks) > len(series) else ""
        found[name] = line(series, label=f"{name}{note}", x_label="step", y_label=name)
    return found


def as_number(value: object) -> float | None:
    """A parameter as a number. Those of the command line are texts."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _of(now: RunNow, given: Sequence[Given]) -> int:
    """How many results there are, where `given` are a sample."""
    results = len(now.story.results)
    return results if results > RESULTS_MAX else len(given)


def _seconds(time: str, otherwise: float) -> float:
    try:
        return seconds(time)
    except ValueError:
        return otherwise
