"""Reads from what was kept of an attempt when its tasks began and ended, and what they took. Pure.

Of 100,000 kept attempts these few numbers stay in memory, not their events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from federation.run.kept_logs import KeptAttempt
from regions.nomad.task_history import AllocationStory, TaskStory


@dataclass(frozen=True, slots=True)
class TaskTaken:
    """What one task asked for, and the most that it was seen to take."""

    task: str
    cpu_mhz: int
    memory_mb: int
    used_cpu_mhz: float
    used_memory_mb: float


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """One allocation of an attempt. Moments are seconds since the epoch, None where Nomad didn't tell them."""

    alloc_id: str
    slot: int
    attempt: int
    is_failed: bool
    received_s: float | None
    """When its node took it."""
    started_s: float | None
    """When its first task began, a prestart task too."""
    main_end_s: float | None
    """When the last of its main tasks ended."""
    ended_s: float | None
    """When the last of its tasks ended, a poststop task too."""
    taken: tuple[TaskTaken, ...] = ()
    node: str = ""


def attempt_times(kept: KeptAttempt) -> AttemptTimes:
    """The moments of one kept allocation."""
    story = kept.story
    begun = {name: task for name, task in story.tasks.items() if task.started}
    main = [task for task in begun.values() if not task.hook]
    taken = tuple(
        TaskTaken(name, task.cpu_mhz, task.memory_mb, used.cpu_mhz, used.memory_mb)
        for name, used in kept.used.items()
        if (task := story.tasks.get(name)) is not None
    )
    return AttemptTimes(
        story.id,
        kept.slot,
        kept.attempt,
        kept.is_failed,
        received_s=_received_s(story),
        started_s=min(map(_first_start_s, begun.values()), default=None),
        main_end_s=_last_s(task.finished for task in main),
        ended_s=_last_s(task.finished for task in begun.values()),
        taken=taken,
        node=story.node_name,
    )


def together(times: Iterable[AttemptTimes]) -> Mapping[tuple[int, int], AttemptTimes]:
    """The moments of each attempt: of several allocations the earliest and the latest. An allocation counts once."""
    found: dict[tuple[int, int], AttemptTimes] = {}
    for one in {one.alloc_id: one for one in times}.values():
        pair = (one.slot, one.attempt)
        found[pair] = _joined(found[pair], one) if pair in found else one
    return found


def seconds(time: str) -> float:
    """Seconds since the epoch. Raises ValueError."""
    return datetime.fromisoformat(time).timestamp()


def _joined(one: AttemptTimes, other: AttemptTimes) -> AttemptTimes:
    def least(a: float | None, b: float | None) -> float | None:
        return min((value for value in (a, b) if value is not None), default=None)

    def most(a: float | None, b: float | None) -> float | None:
        return max((value for value in (a, b) if value is not None), default=None)

    return AttemptTimes(
        one.alloc_id,
        one.slot,
        one.attempt,
        one.is_failed or other.is_failed,
        least(one.received_s, other.received_s),
        least(one.started_s, other.started_s),
        most(one.main_end_s, other.main_end_s),
        most(one.ended_s, other.ended_s),
        one.taken + other.taken,
        one.node or other.node,
    )


def _received_s(story: AllocationStory) -> float | None:
    first = [task.events[0].time for task in story.tasks.values() if task.events and task.events[0].time]
    return min(map(seconds, first), default=None)


def _first_start_s(task: TaskStory) -> float:
    """When the task began. Nomad tells when its last run did; the runs before that are in its events."""
    runs = [event.time for event in task.events if event.type in ("Started", "Terminated") and event.time]
    return min(map(seconds, (task.started, *runs)))


def _last_s(times: Iterable[str]) -> float | None:
    return max((seconds(time) for time in times if time), default=None)
