"""Classes of failure, and what follows from each for the slot's next attempt. Pure.

Nomad's own `restart` and `reschedule` come first: an attempt has failed when its child is dead. The next attempt is another
child, in another region where that is possible.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from jobs.code_run import AT_FAULT
from regions.model import Allocation, TaskState


class Cause(StrEnum):
    """Why an attempt ended badly."""

    EXIT = "exit"
    """A task ended with an exit code other than 0."""
    OOM = "oom"
    """A task was killed for its memory."""
    SETUP = "setup"
    """An artifact or a driver failed before a task ran."""
    NO_RESULT = "no result"
    """It completed and published nothing."""
    TIMEOUT = "timeout"
    """It ran for longer than --slot-timeout or the job's max_run_duration allows."""
    NODE_LOST = "node lost"
    PREEMPTED = "preempted"
    MOVED = "moved"
    """Its node was drained, or its allocation stopped alone, and Nomad placed no other one."""
    PENDING = "pending"
    """It waited for a node for longer than the pending timeout."""
    UNPLACED = "unplaced"
    """It has no allocation after the pending timeout, and doesn't wait for a node that fits."""
    STOPPED = "stopped"
    """Somebody else stopped its job."""
    VANISHED = "vanished"
    """Its job was garbage-collected, and left no result."""
    REGION_LOST = "region lost"
    REFUSED = "refused"
    """The region takes the job no more (it was changed, or removed)."""
    INPUT = "input"
    """The region refused the slot's own meta or payload: it would be refused everywhere."""
    CODE = "code"
    """The code of `fedml run` can't give a result in any region: a lock that doesn't fit, output that can't be published."""
    SHARE = "share"
    """Another run used the rest of a limit of [shares] at the same moment: it was never dispatched."""
    CANCELLED = "cancelled"
    RULE = "rule"
    """A rule of the run (`--stop-when`, `--keep-best`) stopped it: its slot gets no other attempt, and hasn't failed."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """`is_own`: the slot's own reason, so that two regions are enough to know it; `is_counted`: against the slot's attempts;
    `is_final`: no other attempt is made. `backoff_s` is the pause before the next one, doubled each time."""

    is_own: bool
    is_counted: bool
    backoff_s: float = 0.0
    is_final: bool = False


CONSEQUENCES: Mapping[Cause, Consequence] = {
    Cause.EXIT: Consequence(is_own=True, is_counted=True, backoff_s=1),
    Cause.OOM: Consequence(is_own=True, is_counted=True, backoff_s=1),
    Cause.SETUP: Consequence(is_own=True, is_counted=True, backoff_s=5),
    Cause.NO_RESULT: Consequence(is_own=True, is_counted=True, backoff_s=1),
    Cause.TIMEOUT: Consequence(is_own=True, is_counted=True, backoff_s=1),
    Cause.NODE_LOST: Consequence(is_own=False, is_counted=True, backoff_s=1),
    Cause.PREEMPTED: Consequence(is_own=False, is_counted=False, backoff_s=10),
    Cause.MOVED: Consequence(is_own=False, is_counted=False, backoff_s=10),
    Cause.PENDING: Consequence(is_own=False, is_counted=False),
    Cause.UNPLACED: Consequence(is_own=False, is_counted=True, backoff_s=5),
    Cause.STOPPED: Consequence(is_own=False, is_counted=True, backoff_s=2),
    Cause.VANISHED: Consequence(is_own=False, is_counted=True),
    Cause.REGION_LOST: Consequence(is_own=False, is_counted=False),
    Cause.REFUSED: Consequence(is_own=False, is_counted=False),
    Cause.INPUT: Consequence(is_own=True, is_counted=True, is_final=True),
    Cause.CODE: Consequence(is_own=True, is_counted=True, is_final=True),
    Cause.SHARE: Consequence(is_own=False, is_counted=False),
    Cause.CANCELLED: Consequence(is_own=False, is_counted=False),
    Cause.RULE: Consequence(is_own=False, is_counted=False),
}
BACKOFF_MAX_S = 60.0
SIGKILL_CODE = 137
KILLED = ", killed: often for more memory than its resources allow"
"""Nomad's raw_exec doesn't tell why the kernel killed a task."""
NOTHING_PUBLISHED = "NoResult: it completed and published nothing"
"""How the reason begins that the run log has; the remedy follows it."""
_REMEDIES = {
    "publish": "; end the task with  fedml publish DIR",
    "adopt": " where `adopt` in fedml.toml looks",
}
STOPPED = "its job was stopped by somebody else"
_ERROR = "Error: "
_END_UNKNOWN = (Cause.VANISHED, Cause.REGION_LOST, Cause.NO_RESULT)
_TIME_IS_OVER = "exceeded max_run_duration"


def nothing_published(results: str) -> str:
    """The reason of an attempt that completed and gave no result, with what to do."""
    return NOTHING_PUBLISHED + _REMEDIES.get(results, "")


def refused_by(cause: str | None, reason: str, *, results: str = "publish") -> str:
    """Why nothing of an attempt is believed, from what the run log has of its failure; "" where its record is.

    What a task published is whole, however it ended. What a job writes itself may be half-written unless its tasks ended
    well, or nobody knows how they ended.
    """
    if results == "adopt":
        return reason if cause is not None and cause not in _END_UNKNOWN else ""
    return reason if cause == Cause.NO_RESULT and not reason.startswith(NOTHING_PUBLISHED) else ""


def has_ended_well(allocation: Allocation, deciding: Collection[str] = ()) -> bool:
    """Whether the allocation did its work: the tasks that decide ended by themselves with exit code 0.

    `deciding` are the leader or the main tasks of its group. Where they aren't known, each task must have ended so, except
    those that Nomad ended after the leader or the main tasks.
    """
    if allocation.client_status != "complete" or allocation.is_preempted:
        return False
    tasks = allocation.tasks
    named = [name for name in deciding if name in tasks] or [
        name for name, task in tasks.items() if task.has_ended_well or not task.is_released
    ]
    return bool(named) and all(tasks[name].has_ended_well for name in named)


def cause_of(allocation: Allocation, *, is_job_stopped: bool = False) -> tuple[Cause, str]:
    """Gives the class of failure of an allocation that is over and didn't end well, and a line that explains it."""
    if _TIME_IS_OVER in allocation.client_description:
        return Cause.TIMEOUT, f"Nomad ended it: {allocation.client_description}"
    failed = next(((name, task) for name, task in allocation.tasks.items() if task.failed), None)
    if failed is not None:
        return _cause_of_task(*failed)
    node = allocation.node_name or allocation.node_id
    if allocation.is_preempted:
        return Cause.PREEMPTED, "preempted by a job of higher priority"
    if is_job_stopped:
        return Cause.STOPPED, STOPPED
    if allocation.client_status == "lost":
        return Cause.NODE_LOST, f"node {node} was lost"
    if allocation.is_moved:
        return Cause.MOVED, f"stopped on node {node} (a drain, or `nomad alloc stop`), and not placed again by Nomad"
    if allocation.desired_status != "run":
        return Cause.STOPPED, STOPPED
    killed = next((name for name, task in allocation.tasks.items() if task.is_killed and not task.is_released), "")
    return Cause.EXIT, f"task {killed}: killed by Nomad" if killed else f"allocation {allocation.client_status}"


def explained(cause: Cause, reason: str, last_line: str, *, is_code: bool) -> tuple[Cause, str]:
    """Adds the last line that the task wrote. A task of `fedml run` (`is_code`) says in it how the command ended, and whether
    it would end so everywhere; then nothing is said twice."""
    if is_code and cause is Cause.EXIT and last_line.startswith(AT_FAULT):
        return Cause.CODE, last_line.removeprefix(AT_FAULT)
    if is_code and cause is Cause.EXIT and last_line.startswith(_ERROR):
        return cause, last_line.removeprefix(_ERROR)
    return cause, f"{reason}: {last_line}" if last_line else reason


def _cause_of_task(name: str, task: TaskState) -> tuple[Cause, str]:
    """The same of a task that failed."""
    said = task.last_event or "failed"
    code = f" (exit code {task.exit_code})" if task.exit_code and str(task.exit_code) not in said else ""
    if task.is_oom_killed:
        return Cause.OOM, f"task {name}: killed for its memory (OOM){code}"
    killed = KILLED if task.exit_code == SIGKILL_CODE else ""
    return Cause.EXIT if task.exit_code is not None else Cause.SETUP, f"task {name}: {said}{code}{killed}"


def backoff_s(cause: Cause, times: int) -> float:
    """Gives the pause before the next attempt of a slot that has failed so many times for this cause."""
    return min(BACKOFF_MAX_S, CONSEQUENCES[cause].backoff_s * 2.0 ** (max(times, 1) - 1))
