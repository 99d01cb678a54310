"""Reads from an allocation's whole JSON what happened to its tasks: times, exit codes, events. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jobs.frozen import frozen
from regions.model import TaskState
from regions.nomad.decode import allocation_from_json, end_of_run

_TIME_NS_END = 2**63


@frozen
class TaskEvent:
    """One thing that happened to a task. `time` is RFC 3339 in UTC."""

    time: str
    type: str
    text: str


@frozen
class TaskStory:
    """One task from beginning to end. `started` and `finished` are RFC 3339 in UTC; empty where it wasn't, or isn't yet."""

    state: str
    is_failed: bool
    restarts: int
    exit_code: int | None
    is_oom_killed: bool
    started: str
    finished: str
    cpu_mhz: int
    """What it asked for."""
    memory_mb: int
    events: tuple[TaskEvent, ...]
    hook: str = ""
    """Of its lifecycle: prestart, poststart or poststop; empty for a main task."""
    is_sidecar: bool = False


@frozen
class AllocationStory:
    """One allocation: where it ran, and each task's story by its name."""

    id: str
    job_id: str
    group: str
    index: int
    node_name: str
    client_status: str
    tasks: Mapping[str, TaskStory]


@frozen
class TaskUsage:
    """What a task takes at one moment; its memory, where Nomad knows it, is the most that it took until then."""

    cpu_mhz: float
    memory_mb: float

    def peak(self, other: TaskUsage) -> TaskUsage:
        """The greater of each."""
        return TaskUsage(max(self.cpu_mhz, other.cpu_mhz), max(self.memory_mb, other.memory_mb))


def usage_from_json(answer: Mapping[str, Any]) -> dict[str, TaskUsage]:
    """Task → usage, of `GET /v1/client/allocation/:id/stats`. Which memory a driver measures differs: the greatest is
    taken. Raises KeyError, TypeError or ValueError where it isn't of Nomad's shape."""
    found = {}
    for task, usage in (answer.get("Tasks") or {}).items():
        used = usage["ResourceUsage"]
        memory = used.get("MemoryStats") or {}
        memory_bytes = max(int(memory.get(name) or 0) for name in ("RSS", "Usage", "MaxUsage"))
        found[task] = TaskUsage(float((used.get("CpuStats") or {}).get("TotalTicks") or 0.0), memory_bytes / 2**20)
    return found


def allocation_story(alloc: Mapping[str, Any]) -> AllocationStory:
    """The story in `GET /v1/allocation/:id`, or in an event of the allocation. Raises KeyError, TypeError or ValueError where
    it isn't of Nomad's shape."""
    resources = alloc.get("AllocatedResources") or {}
    asked, lifecycles = resources.get("Tasks") or {}, resources.get("TaskLifecycles") or {}
    states = alloc.get("TaskStates") or {}
    allocation = allocation_from_json(alloc)
    return AllocationStory(
        id=allocation.id,
        job_id=allocation.job_id,
        group=allocation.group,
        index=allocation.index,
        node_name=allocation.node_name,
        client_status=allocation.client_status,
        tasks={
            name: _task_story(task, states[name], asked.get(name) or {}, lifecycles.get(name) or {})
            for name, task in allocation.tasks.items()
        },
    )


def _task_story(
    task: TaskState, state: Mapping[str, Any], asked: Mapping[str, Any], lifecycle: Mapping[str, Any]
) -> TaskStory:
    return TaskStory(
        state=task.state,
        is_failed=task.failed,
        restarts=task.restarts,
        exit_code=task.exit_code,
        is_oom_killed=task.is_oom_killed,
        started=_time(state.get("StartedAt")),
        finished=_time(state.get("FinishedAt")),
        cpu_mhz=int((asked.get("Cpu") or {}).get("CpuShares") or 0),
        memory_mb=int((asked.get("Memory") or {}).get("MemoryMB") or 0),
        events=tuple(
            TaskEvent(
                _time_of_ns(event.get("Time")),
                str(event.get("Type") or ""),
                str(event.get("DisplayMessage") or event.get("Message") or _end(event)),
            )
            for event in state.get("Events") or []
        ),
        hook=str(lifecycle.get("Hook") or ""),
        is_sidecar=bool(lifecycle.get("Sidecar")),
    )


def _end(event: Mapping[str, Any]) -> str:
    """How a run of the task ended: the event stream leaves the sentence empty."""
    return end_of_run(event) if event.get("Type") == "Terminated" else ""


def _time(text: object) -> str:
    """Nomad's time, to the millisecond; its zero time, the year 1, is none."""
    value = str(text or "")
    return "" if not value or value.startswith("0001-") else _rfc_3339(datetime.fromisoformat(value))


def _time_of_ns(nanoseconds: object) -> str:
    if not isinstance(nanoseconds, int) or not 0 <= nanoseconds < _TIME_NS_END:
        return ""
    return _rfc_3339(datetime.fromtimestamp(nanoseconds / 1e9, UTC))


def _rfc_3339(time: datetime) -> str:
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
