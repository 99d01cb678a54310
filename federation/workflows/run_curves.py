"""Reads the curves of a run's slots: of a slot with a result from its artifact, of every other one live from its region.

Of each slot the newest attempt counts, and its first allocation. A region gets one list, then at most `REGION_READS` reads at
once of two requests each (three for a large file).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from federation.app import App
from federation.curves import Curves, LineReader, Point
from federation.index.columns import Row
from federation.run.brain.state import newest
from federation.run.curve_reader import CURVES_PATH
from federation.workflows.run_reader import RunStory
from jobs.code_run import CURVES_FILE
from jobs.errors import FedmlError
from jobs.params.values import Value
from regions.errors import NotFound
from regions.model import Allocation
from regions.storage.errors import IntegrityError

FILE_BYTES_MAX = 4 << 20
"""What is read of one file: of a larger one its end."""
TASKS_MAX = 1_000
"""So many slots are read at most."""
REGION_READS = 4
READ_S = 15.0
"""What one request to a region may take, with all attempts."""
PLACES_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class TaskCurves:
    """The curves of one allocation."""

    slot: int
    attempt: int
    region: str
    alloc_id: str
    state: str
    """As that of the slot, or `running`."""
    params: Mapping[str, Value]
    metrics: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    """At most 500 points of each metric."""
    lines: int = 0
    skipped: int = 0
    """Lines that can't be used."""
    is_whole: bool = True
    """False where only the end of a large file was read."""


@dataclass(frozen=True, slots=True)
class RunCurves:
    """The curves of a run, by slot. `problems`: what couldn't be read, and why."""

    tasks: Sequence[TaskCurves]
    problems: Sequence[str] = ()


Read = tuple[list[TaskCurves], str]
"""What was read of one place, and a problem."""


def curves(app: App, story: RunStory) -> RunCurves:
    """Reads the curves, as far as they can be reached. A slot whose task wrote none is left out."""
    given = {row.slot: row for row in story.results if row.index == 0}
    live: dict[str, dict[str, TaskCurves]] = {}
    reads: list[Callable[[], Read]] = []
    for number, slot in list(enumerate(story.slots))[:TASKS_MAX]:
        row = given.get(number)
        last = next((one for one in reversed(slot.attempts) if one.job_id), None)
        if row is not None:
            task = TaskCurves(number, row.attempt, row.region, row.alloc_id, slot.state, story.parameters(number))
            reads.append(partial(_of_result, app, row, task))
        elif last is not None:
            task = TaskCurves(number, last.number, last.region, "", slot.state, story.parameters(number))
            live.setdefault(last.region, {})[last.job_id] = task
    reads = [*(partial(_of_region, app, region, tasks) for region, tasks in live.items()), *reads]
    with ThreadPoolExecutor(PLACES_AT_ONCE) as pool:
        found = list(pool.map(lambda read: read(), reads))
    problems = [problem for _, problem in found if problem]
    if len(story.slots) > TASKS_MAX:
        problems.append(f"only the first {TASKS_MAX:,} of {len(story.slots):,} slots are read")
    tasks = [task for some, _ in found for task in some]
    return RunCurves(sorted(tasks, key=lambda task: task.slot), tuple(dict.fromkeys(problems)))


def _of_result(app: App, row: Row, task: TaskCurves) -> Read:
    """The curves in a result's artifact. A file that is read whole must have the sha256 that the index has."""
    try:
        record = app.index.record(row)
        file = next((one for one in record.files if one.path.rpartition("/")[2] == CURVES_FILE), None)
        if file is None:
            return [], ""
        store, key = app.result_stores().of(record.store, record), record.artifact_prefix + file.path
        start = max(0, file.size_bytes - FILE_BYTES_MAX)
        data = store.get_range(key, start, FILE_BYTES_MAX)
        if not start and hashlib.sha256(data).hexdigest() != file.sha256:
            raise IntegrityError(f"{store.url_of(key)} is not the file that was published", operation="get", key=key)
        return [_parsed(task, data, is_whole=not start)], ""
    except FedmlError as error:
        return [], error.message


def _of_region(app: App, region: str, tasks: Mapping[str, TaskCurves]) -> Read:
    """The curves of these children, as far as their region still has them."""
    if region not in app.config.regions:
        return [], f"{region}: fedml.toml has no such region"
    client = app.client(region).within(READ_S)

    def read(allocation: Allocation) -> list[TaskCurves]:
        of_file = partial(client.read_file_from, allocation.id, CURVES_PATH, limit_bytes=FILE_BYTES_MAX)
        try:
            data, size_bytes = of_file(offset_bytes=0)
            if size_bytes > FILE_BYTES_MAX:
                data, _ = of_file(offset_bytes=size_bytes - FILE_BYTES_MAX)
        except NotFound:
            return []
        task = tasks[allocation.job_id]
        state = "running" if task.state == "open" and allocation.client_status == "running" else task.state
        named = replace(task, alloc_id=allocation.id, state=state)
        return [_parsed(named, data, is_whole=size_bytes <= FILE_BYTES_MAX)]

    try:
        own: dict[str, list[Allocation]] = {job_id: [] for job_id in tasks}
        for allocation in client.allocations()[0]:
            if allocation.index == 0 and allocation.job_id in own:
                own[allocation.job_id].append(allocation)
        first = [next(iter(newest(tuple(some)).values())) for some in own.values() if some]
        with ThreadPoolExecutor(REGION_READS) as pool:
            return [task for some in pool.map(read, first) for task in some], ""
    except FedmlError as error:
        return [], f"{region}: {error.message}"


def _parsed(task: TaskCurves, data: bytes, *, is_whole: bool) -> TaskCurves:
    lines, found = LineReader(), Curves()
    if not is_whole:
        lines.jump()
    found.take(lines.feed(data, is_end=True))
    metrics = found.kept()
    return replace(task, metrics=metrics, lines=found.lines, skipped=lines.skipped, is_whole=is_whole)
