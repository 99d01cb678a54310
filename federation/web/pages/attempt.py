"""The page of one attempt: the lifecycle of its tasks, their events, what they take, and what they write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import cast
from urllib.parse import quote, urlsplit

from starlette.requests import Request

from federation.charts.bars import Bar, bars
from federation.charts.lifecycle import Task, lifecycle
from federation.charts.plane import Mark, Series, line
from federation.charts.states import region_class
from federation.charts.svg import Chart
from federation.config.model import Config
from federation.errors import UsageError
from federation.text import in_words
from federation.ui.slot_failures import params_text
from federation.web.page import Link, Live, Page, PageRoute
from federation.web.pages.run_attempts import href_of, seconds_after, state_of
from federation.web.query import Query
from federation.web.run_now import RunNow, run_meant, run_now
from federation.web.shared import Known
from federation.web.site import Site
from federation.workflows.attempt_story import (
    TAIL_BYTES,
    AttemptStory,
    Kind,
    OneAllocation,
    attempt_of,
    attempt_story,
    tail,
)
from jobs.errors import FedmlError
from regions.nomad.task_history import TaskStory, TaskUsage

Sample = tuple[float, Mapping[str, TaskUsage]]
"""When somebody looked, and what each task took then."""
READ_EVERY_S = 2.0
SETTLED_EVERY_S = 30.0
SAMPLES_MAX = 500
EVENTS_MAX = 300


@dataclass(frozen=True, slots=True)
class Log:
    """One stream of one task, as the page shows it."""

    task: str
    kind: Kind
    text: str
    is_kept: bool
    problem: str = ""


def view(site: Site, request: Request) -> Page:
    """Reads the attempt, once for all viewers."""
    query, path = Query(request), request.path_params
    run = run_meant(site, path["run"])
    slot, number = _whole(path["slot"]), _whole(path["attempt"])
    now = run_now(site, run).value
    attempt = attempt_of(now.story, slot, number)
    known = _read(site, now, slot, number)
    story = known.value
    chosen = _chosen(story, query.text("alloc"))
    tasks = chosen.story.tasks if chosen is not None else {}
    log = _log(site, query, attempt.region, chosen) if chosen is not None and tasks else None
    pictures = _pictures(site, known, chosen)
    span = next((one for one in now.timeline.spans if (one.slot, one.attempt) == (slot, number)), None)
    facts = [("parameters", params_text(now.story.parameters(slot))), ("region", attempt.region)]
    if chosen is not None:
        facts.append(("node", chosen.story.node_name))
    if span is not None:
        facts.append(("waited", in_words(span.waited_s)))
        facts.append(("computed", in_words(span.computed_s) if span.computed_s else ""))
    view = {
        "run": run,
        "state": state_of(now, span) if span is not None else str(attempt.phase),
        "slot": slot,
        "attempt": attempt,
        "others": [(one.number, href_of(run, slot, one.number)) for one in now.story.slots[slot].attempts],
        "facts": [(name, text) for name, text in facts if text],
        "why": attempt.reason or attempt.failing,
        "cause": str(attempt.cause or ""),
        "story": story,
        "chosen": chosen,
        "tasks": tasks,
        "events": _events(tasks),
        "log": log,
        "tail_kb": TAIL_BYTES // 1024,
        "ui_href": _ui_href(site.app.config, attempt.region, chosen),
    }
    return Page(
        "attempt.html",
        f"Slot {slot}, attempt {number}",
        view,
        section="Runs",
        crumbs=(Link("Runs", "/runs"), Link(f"Run {run[-8:]}", f"/runs/{run}")),
        document=lambda: _document(run, story, log),
        charts=pictures,
        command=f"fedml runs logs {run} {slot}" + (f" --task {log.task} --{log.kind}" if log else ""),
        live=Live(
            (repr(story), log, view["state"], len(pictures)),
            READ_EVERY_S,
            f"While anybody looks: at most four requests to {attempt.region} each {READ_EVERY_S:g} s." if chosen and
            chosen.is_running else "",
        ),
        as_of=known.at,
        problem=known.problem.message if known.problem is not None else "",
    )  # fmt: skip


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f"{text!r} in the address is not a number")
    return int(text)


def _read(site: Site, now: RunNow, slot: int, number: int) -> Known[AttemptStory]:
    """What is known of the attempt. It is read anew when its state changes, and often while a task of it runs."""
    attempt = attempt_of(now.story, slot, number)
    is_going_on = attempt.is_open and not now.row.closed

    def max_age_s(story: AttemptStory) -> float:
        is_live = is_going_on or any(one.is_running for one in story.allocations)
        return READ_EVERY_S if is_live else SETTLED_EVERY_S

    return site.shared.get(
        ("attempt", now.row.run, slot, number, attempt.phase, now.states[slot]),
        lambda: attempt_story(site.app, now.story, slot, number),
        max_age_s=max_age_s,
    )


def _chosen(story: AttemptStory, alloc_id: str) -> OneAllocation | None:
    """The allocation of the address, else one that failed, else the first."""
    every = story.allocations
    named = [one for one in every if one.story.id == alloc_id]
    bad = [one for one in every if one.story.client_status in ("failed", "lost")]
    return next(iter((*named, *bad, *every)), None)


def _log(site: Site, query: Query, region: str, chosen: OneAllocation) -> Log:
    """The stream of the address: else of the task that failed, of a main one, or of any before a main one starts; stderr of
    one that failed."""
    tasks = chosen.story.tasks
    task = query.choice("task", tuple(tasks), task_to_read(tasks))
    kind = cast("Kind", query.choice("stream", ("stdout", "stderr"), "stderr" if tasks[task].is_failed else "stdout"))
    if chosen.is_kept:
        return Log(task, kind, chosen.output.get(task, {}).get(kind, "")[-TAIL_BYTES:], True)
    key = ("tail", chosen.story.id, task, kind)
    try:
        read = site.shared.get(
            key, lambda: tail(site.app, region, chosen.story.id, task, kind), max_age_s=READ_EVERY_S / 2
        )
    except FedmlError as error:
        return Log(task, kind, "", False, error.message)
    return Log(task, kind, read.value, False, read.problem.message if read.problem is not None else "")


def task_to_read(tasks: Mapping[str, TaskStory]) -> str:
    """The task whose log is shown first."""
    failed = (name for name, task in tasks.items() if task.is_failed)
    main = (name for name, task in tasks.items() if task.started and not task.hook)
    started = (name for name, task in tasks.items() if task.started)
    return next(chain(failed, main, started, tasks))


def _pictures(site: Site, known: Known[AttemptStory], chosen: OneAllocation | None) -> dict[str, Chart]:
    if chosen is None:
        return {}
    tasks = chosen.story.tasks
    drawn = [
        Task(name, _state(task), task.hook, task.is_sidecar, f"{name}: {_state(task)}") for name, task in tasks.items()
    ]
    pictures = {"lifecycle": lifecycle(drawn)}
    used = {name: taken for name, taken in chosen.used.items() if name in tasks}
    if used:
        pictures["cpu"] = bars(
            [Bar(name, taken.cpu_mhz, float(tasks[name].cpu_mhz), "MHz") for name, taken in used.items()]
        )
        pictures["memory"] = bars(
            [Bar(name, taken.memory_mb, float(tasks[name].memory_mb), "MB") for name, taken in used.items()]
        )
    samples = _samples(site, known, chosen)
    if len(samples) > 1:
        pictures["cpu over time"] = _over_time(samples, tasks, lambda used: used.cpu_mhz, "MHz")
        pictures["memory over time"] = _over_time(samples, tasks, lambda used: used.memory_mb, "MB")
    return pictures


def _over_time(
    samples: Sequence[Sample], tasks: Iterable[str], value: Callable[[TaskUsage], float], unit: str
) -> Chart:
    """What each task took each time that somebody looked."""
    begun_s = samples[0][0]
    series = [
        Series(
            name, [Mark(at - begun_s, value(seen[name])) for at, seen in samples if name in seen], region_class(order)
        )
        for order, name in enumerate(tasks)
    ]
    drawn = [one for one in series if one.marks]
    return line(drawn, y_label=unit, x_label="since somebody looked", x_format=in_words, log=False)


def _samples(site: Site, known: Known[AttemptStory], chosen: OneAllocation) -> list[Sample]:
    """What the tasks took each time that somebody looked."""
    key = ("usage", chosen.story.id)
    samples = site.shared.get(key, lambda: cast("list[Sample]", []), max_age_s=float("inf"))
    if chosen.is_running and chosen.used and (not samples.value or samples.value[-1][0] < known.at):
        samples.value.append((known.at, chosen.used))
        del samples.value[:-SAMPLES_MAX]
    return list(samples.value)


def _state(task: TaskStory) -> str:
    """How a task stands, as charts name it."""
    if task.state != "dead":
        return "running" if task.state == "running" else "waiting"
    if task.is_failed:
        return "failed"
    return "done" if task.started else "cancelled"


def _events(tasks: Mapping[str, TaskStory]) -> Sequence[tuple[str, str, str, str, str]]:
    """(time, how long after the first event, task, type, text) of all tasks, by time."""
    every = [(event.time, name, event.type, event.text) for name, task in tasks.items() for event in task.events]
    found = sorted(every)[-EVENTS_MAX:]
    begun = found[0][0] if found else ""
    return [(time, seconds_after(time, begun), *rest) for time, *rest in found]  # type: ignore[misc]


def _ui_href(config: Config, name: str, chosen: OneAllocation | None) -> str:
    """The allocation in its region's own Nomad UI; empty where fedml.toml has no address that a browser opens, and of a
    development region, which has no UI."""
    region = config.regions.get(name)
    if region is None or chosen is None or not region.addresses or (config.dev and name in config.dev.regions):
        return ""
    address = region.addresses[0].rstrip("/")
    if urlsplit(address).scheme not in ("http", "https"):
        return ""
    return f"{address}/ui/allocations/{quote(chosen.story.id, safe='')}?region={quote(region.nomad_region, safe='')}"


def _document(run: str, story: AttemptStory, log: Log | None) -> dict[str, object]:
    attempt = story.attempt
    return {
        "run": run,
        "slot": story.slot,
        "attempt": attempt.number,
        "region": attempt.region,
        "job_id": attempt.job_id,
        "cause": attempt.cause,
        "reason": attempt.reason,
        "allocations": [
            {
                **asdict(one.story),
                "is_kept": one.is_kept,
                "used": {name: asdict(used) for name, used in one.used.items()},
            }
            for one in story.allocations
        ],
        "log": asdict(log) if log is not None else None,
    }


ROUTES = (PageRoute("/runs/{run}/slots/{slot}/{attempt}", view),)
