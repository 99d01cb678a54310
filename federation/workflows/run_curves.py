"""Reads the curves of a run's slots: of a slot with a result from its artifact, of every other one live from its region.

Of each slot the newest attempt counts, and its first allocation. A region gets one list, then at most `REGION_READS` reads at
once of two requests each (three for a large file). Whoever reads again reads only what is new.
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
from federation.index.rows import RUN_STATES_CLOSED, RunRow
from federation.run.brain.state import newest
from federation.run.curve_reader import CURVES_PATH, EACH_S, PACE_S
from federation.workflows.run_reader import RunStory
from federation.workflows.runs import Runs
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


@dataclass(slots=True)
class _File:
    """The curves of one allocation, as far as they were read."""

    lines: LineReader = field(default_factory=LineReader)
    curves: Curves = field(default_factory=Curves)
    offset_bytes: int = 0
    is_whole: bool = True


class CurveFollower:
    """Reads the curves of one run again and again."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._of_results: dict[str, Read] = {}
        self._files: dict[str, _File] = {}
        self.pause_s = EACH_S
        """Until the next reading: a region gets no more requests than from a coordinator."""

    def read(self, story: RunStory) -> RunCurves:
        """Reads the curves, as far as they can be reached. A slot whose task wrote none is left out."""
        given = {row.slot: row for row in story.results if row.index == 0}
        live: dict[str, dict[str, TaskCurves]] = {}
        reads: list[Callable[[], Read]] = []
        for number, slot in list(enumerate(story.slots))[:TASKS_MAX]:
            row = given.get(number)
            last = next((one for one in reversed(slot.attempts) if one.job_id), None)
            if row is not None:
                task = TaskCurves(number, row.attempt, row.region, row.alloc_id, slot.state, story.parameters(number))
                reads.append(partial(self._of_result, row, task))
            elif last is not None:
                task = TaskCurves(number, last.number, last.region, "", slot.state, story.parameters(number))
                live.setdefault(last.region, {})[last.job_id] = task
        self.pause_s = max(EACH_S, PACE_S * max(map(len, live.values()), default=0))
        reads = [*(partial(self._of_region, region, tasks) for region, tasks in live.items()), *reads]
        with ThreadPoolExecutor(PLACES_AT_ONCE) as pool:
            found = list(pool.map(lambda read: read(), reads))
        problems = [problem for _, problem in found if problem]
        if len(story.slots) > TASKS_MAX:
            problems.append(f"only the first {TASKS_MAX:,} of {len(story.slots):,} slots are read")
        tasks = [task for some, _ in found for task in some]
        return RunCurves(sorted(tasks, key=lambda task: task.slot), tuple(dict.fromkeys(problems)))

    def _of_result(self, row: Row, task: TaskCurves) -> Read:
        """The curves of a result, which doesn't change."""
        if row.alloc_id not in self._of_results:
            found, problem = _of_result(self._app, row, task)
            if problem:
                return found, problem
            self._of_results[row.alloc_id] = found, problem
        found, problem = self._of_results[row.alloc_id]
        return [replace(one, state=task.state) for one in found], problem

    def _of_region(self, region: str, tasks: Mapping[str, TaskCurves]) -> Read:
        """The curves of these children, as far as their region still has them."""
        if region not in self._app.config.regions:
            return [], f"{region}: fedml.toml has no such region"
        client = self._app.client(region).within(READ_S)

        def read(allocation: Allocation) -> list[TaskCurves]:
            file = self._files.setdefault(allocation.id, _File())
            is_running = allocation.client_status == "running"
            try:
                self._read(partial(client.read_file_from, allocation.id, CURVES_PATH), file, is_end=not is_running)
            except NotFound:
                if not file.offset_bytes:
                    return []
            task = tasks[allocation.job_id]
            state = "running" if task.state == "open" and is_running else task.state
            return [_as_read(replace(task, alloc_id=allocation.id, state=state), file)]

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

    def _read(self, read: Callable[..., tuple[bytes, int]], file: _File, *, is_end: bool) -> None:
        """Reads what is new; of more than `FILE_BYTES_MAX` the end."""
        data, size_bytes = read(offset_bytes=file.offset_bytes, limit_bytes=FILE_BYTES_MAX)
        if size_bytes < file.offset_bytes:  # it was written anew
            file.lines, file.curves, file.offset_bytes = LineReader(), Curves(), 0
            data, size_bytes = read(offset_bytes=0, limit_bytes=FILE_BYTES_MAX)
        if size_bytes - file.offset_bytes > FILE_BYTES_MAX:
            file.offset_bytes, file.is_whole = size_bytes - FILE_BYTES_MAX, False
            file.lines.jump()
            data, _ = read(offset_bytes=file.offset_bytes, limit_bytes=FILE_BYTES_MAX)
        file.offset_bytes += len(data)
        file.curves.take(file.lines.feed(data, is_end=is_end))


def curves(app: App, story: RunStory) -> RunCurves:
    """Reads the curves once."""
    return CurveFollower(app).read(story)


def watch_curves(app: App, run: str, show: Callable[[RunCurves], None], *, sleep: Callable[[float], None]) -> RunRow:
    """Shows the curves of a run again and again, until it is over. Returns its row. Raises UsageError."""
    runs, follower = Runs(app), CurveFollower(app)
    run = runs.find(run).run  # once: what `last` means may change meanwhile
    while True:
        row = runs.find(run)  # before the rest: what a closed run holds is complete
        show(follower.read(runs.story(run)))
        if row.state in RUN_STATES_CLOSED:
            return row
        sleep(follower.pause_s)


def result_curves(app: App, row: Row) -> RunCurves:
    """The curves in a result's artifact."""
    found, problem = _of_result(app, row, TaskCurves(row.slot, row.attempt, row.region, row.alloc_id, row.state, {}))
    return RunCurves(found, (problem,) if problem else ())


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
        read = _File(is_whole=not start)
        if start:
            read.lines.jump()
        read.curves.take(read.lines.feed(data, is_end=True))
        return [_as_read(task, read)], ""
    except FedmlError as error:
        return [], error.message


def _as_read(task: TaskCurves, file: _File) -> TaskCurves:
    found, lines = file.curves, file.lines
    return replace(task, metrics=found.kept(), lines=found.lines, skipped=lines.skipped, is_whole=file.is_whole)
