"""Asks regions for their free slots, by Nomad's own scheduler. The answer is a `CapacitySnapshot`.

All regions are asked at once, so it takes about as long as the slowest one. A region that is unreachable or refuses is a
value in the snapshot. It raises nothing, so the other answers are kept.

The dry run (`PUT /v1/job/:id/plan`) of the job, not parameterized, with N instances tells how many would be placed:
N − (CoalescedFailures + 1) where a group falls short. Children that are queued (pending or blocked evaluations) are
deducted, since the dry run doesn't count them. Room that Nomad would make by evicting other work isn't counted, unless that
is allowed.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from federation.errors import RegionNotAllowed
from federation.plan import Reason
from federation.text import counted
from jobs.errors import FedmlError
from jobs.nomad_json.drift import as_marked, change_of, spec_of
from jobs.render import probe
from jobs.spec import JobShape, group_counts
from regions.errors import InvalidJob, NotFound, PermissionDenied, RegionUnreachable
from regions.model import DryRun, GroupShortfall, Node
from regions.nomad.resources import Resources, estimated_slots, missing, offers

PROBE_SLOTS_MAX = 1000
"""The most slots that a dry run asks for. When those are used, the next one finds what is beyond."""
SLOW_AFTER_S = 10.0
"""After this time the regions that haven't answered are named."""
UNKNOWN_FREE = 2
"""Slots sent at a time where the token may neither plan nor read nodes."""


_PROBLEMS: Mapping[type[FedmlError], Reason] = {
    RegionUnreachable: Reason.UNREACHABLE,
    RegionNotAllowed: Reason.NOT_ALLOWED,
}
"""Why a region is left out, by the error that it has instead of its job."""


class Planner(Protocol):
    """The part of a region client that the probe asks."""

    @property
    def name(self) -> str: ...
    def version(self) -> str: ...
    def nodes(self) -> list[Node]: ...
    def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun: ...
    def job(self, job_id: str) -> dict[str, Any]: ...
    def used(self) -> Mapping[str, Resources]: ...
    def evaluations(self, job_id: str | None = None, status: str = "") -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class RegionCapacity:
    """One region's answer. `free` slots are net of `queued` ones. `problem` is set where nothing can be sent."""

    region: str
    version: str = ""
    nodes: int = 0
    free: int = 0
    queued: int = 0
    exactness: str = "exact"
    """exact (Nomad's scheduler said so), estimated (from nodes and allocations: the token may not plan), or unknown"""
    change: str = ""
    """What registering the job would do there: None, Added or Edited; empty when that wasn't asked."""
    diff: Mapping[str, object] | None = None
    job_modify_index: int = 0
    problem: Reason | None = None
    detail: str = ""
    hint: str = ""
    """What to do about the problem."""
    fitting: tuple[Node, ...] = ()
    """The ready nodes that offer what the job needs, as far as nodes tell (prices may differ by node)."""


@dataclass(frozen=True, slots=True)
class CapacitySnapshot:
    """What all regions answered, in the federation's order."""

    regions: Mapping[str, RegionCapacity]
    late: tuple[str, ...] = ()
    """Regions that weren't waited for: they may answer later."""


GoOn = Callable[[Sequence[str], Sequence[str]], bool]
"""Called with the regions that haven't answered and those that have. True: go on with the latter."""


def snapshot(
    clients: Sequence[Planner],
    rendered: Mapping[str, dict[str, Any] | FedmlError],
    shape: JobShape,
    *,
    diff: bool = True,
    allow_preemption: bool = False,
    goes_on: GoOn | None = None,
    slow_after_s: float = SLOW_AFTER_S,
) -> CapacitySnapshot:
    """Asks all regions at once. `rendered` holds for each region's name its job, or why it has none.

    If some region hasn't answered after `slow_after_s`, calls `goes_on` once. If that returns True, these regions are
    `late` and count as unreachable.
    """
    answers: Answers = queue.SimpleQueue()

    def ask(client: Planner) -> None:
        try:
            answers.put(look(client, rendered[client.name], shape, diff=diff, allow_preemption=allow_preemption))
        except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
            answers.put(error)

    for client in clients:  # threads that don't keep the process alive: a late answer isn't waited for
        threading.Thread(target=ask, args=(client,), name=f"capacity-{client.name}", daemon=True).start()
    found: dict[str, RegionCapacity] = {}
    names = [client.name for client in clients]
    is_whole = _gather(answers, found, len(names), within_s=slow_after_s if goes_on else None)
    if not is_whole and goes_on:
        late = [name for name in names if name not in found]
        if goes_on(late, [name for name, answer in found.items() if answer.problem is None]):
            detail = f"no answer within {slow_after_s:g} s"
            found |= {name: RegionCapacity(name, problem=Reason.UNREACHABLE, detail=detail) for name in late}
            return CapacitySnapshot({name: found[name] for name in names}, tuple(late))
        _gather(answers, found, len(names), within_s=None)
    return CapacitySnapshot({name: found[name] for name in names})


Answers = queue.SimpleQueue[RegionCapacity | BaseException]


def _gather(answers: Answers, found: dict[str, RegionCapacity], count: int, *, within_s: float | None) -> bool:
    """Adds answers to `found` until it has `count`. False where the time is over before (None: no limit). Raises what a
    thread raised."""
    until_s = None if within_s is None else time.monotonic() + within_s
    while len(found) < count:
        try:
            answer = answers.get(timeout=None if until_s is None else max(0.0, until_s - time.monotonic()))
        except queue.Empty:
            return False
        if isinstance(answer, BaseException):
            raise answer
        found[answer.region] = answer
    return True


def look(
    client: Planner,
    rendered: dict[str, Any] | FedmlError,
    shape: JobShape,
    *,
    diff: bool = True,
    allow_preemption: bool = False,
) -> RegionCapacity:
    """Asks one region. Raises no FedmlError: what went wrong is in the answer."""
    name = client.name
    if isinstance(rendered, FedmlError):
        problem = _PROBLEMS.get(type(rendered), Reason.INFEASIBLE)
        return RegionCapacity(name, problem=problem, detail=str(rendered), hint=rendered.hint)
    try:
        nodes = _ready_nodes(client, rendered)
        queued = queued_children(client, str(rendered["ID"]))
        change, index, changes = _change(client, rendered) if diff else ("", 0, None)
        answer = RegionCapacity(
            name,
            _version(client),
            len(nodes),
            queued=queued,
            change=change,
            diff=changes,
            job_modify_index=index,
            fitting=tuple(node for node in nodes if all(offers(node, group) for group in rendered["TaskGroups"])),
        )
        try:
            free, shortage = free_slots(client, rendered, shape, allow_preemption=allow_preemption)
        except PermissionDenied:
            free, exactness, detail = _estimate(client, rendered)
            return replace(answer, free=max(0, free - queued), exactness=exactness, detail=detail)
        if free:
            return replace(answer, free=max(0, free - queued))
        if not shortage:
            return replace(answer, detail="room only by preemption (--allow-preemption counts it)")
        lacking = [] if _could_ever(shortage) else missing(nodes, rendered)
        return replace(
            answer,
            problem=None if _could_ever(shortage) else Reason.INFEASIBLE,
            detail="; ".join(filter(None, (*lacking, _shortage_text(shortage) if not lacking else ""))),
        )
    except (InvalidJob, PermissionDenied) as error:
        return RegionCapacity(name, problem=Reason.REFUSED, detail=error.message, hint=error.hint)
    except FedmlError as error:
        return RegionCapacity(name, problem=Reason.UNREACHABLE, detail=error.message, hint=error.hint)


def free_slots(
    client: Planner, rendered: Mapping[str, Any], shape: JobShape, *, allow_preemption: bool = False
) -> tuple[int, Mapping[str, GroupShortfall]]:
    """How many whole slots the region would place now, queue not deducted, and what prevents more.

    One group takes one dry run. Several groups (the first could use all the room) and room that preemption would win are
    bisected: at most 11 dry runs.
    """
    shortage: dict[str, GroupShortfall] = {}
    counts = group_counts(rendered)  # of this region: a multiregion block may give groups that publish nothing its own

    def ask(slots: int) -> DryRun:
        instances = {group: count * slots for group, count in counts.items()}
        answer = client.plan_job(probe(rendered, instances, probe_id=_probe_id(shape.id)))
        shortage.update(answer.shortfalls)
        return answer

    def is_whole(answer: DryRun) -> bool:
        return not answer.shortfalls and (allow_preemption or not answer.preempted)

    answer = ask(PROBE_SLOTS_MAX)
    if is_whole(answer):
        return PROBE_SLOTS_MAX, {}
    if len(counts) == 1 and (allow_preemption or not answer.preempted):
        ((group, count),) = counts.items()
        placed = count * PROBE_SLOTS_MAX - (answer.shortfalls[group].coalesced + 1)
        return placed // max(count, 1), shortage
    low, high = 0, PROBE_SLOTS_MAX
    while high - low > 1:
        middle = (low + high) // 2
        if is_whole(ask(middle)):
            low = middle
        else:
            high = middle
    return low, shortage


def _estimate(client: Planner, rendered: Mapping[str, Any]) -> tuple[int, str, str]:
    """Estimates where the token may not ask the scheduler: (slots, exactness, what a person should know)."""
    try:
        slots = estimated_slots(client.nodes(), client.used(), rendered, at_most=PROBE_SLOTS_MAX)
    except PermissionDenied:
        return UNKNOWN_FREE, "unknown", "the token may neither plan nor read nodes: a few slots at a time"
    return slots, "estimated", "the token may not plan (submit-job): estimated from nodes and allocations"


def queued_children(client: Planner, job_id: str) -> int:
    """Counts children of the job that wait for room: those with a pending or blocked evaluation."""
    waiting = set()
    for status in ("pending", "blocked"):
        for evaluation in client.evaluations(status=status):
            child = str(evaluation.get("JobID", ""))
            if child.startswith(f"{job_id}/dispatch-") and evaluation.get("Status") == status:
                waiting.add(child)
    return len(waiting)


def _change(client: Planner, rendered: dict[str, Any]) -> tuple[str, int, Mapping[str, object] | None]:
    try:
        there: dict[str, Any] | None = client.job(str(rendered["ID"]))
    except NotFound:
        there = None
    try:
        dry = client.plan_job(as_marked(rendered, there), diff=True)
    except PermissionDenied:
        if there is None:
            return "Added", 0, None
        return "None" if spec_of(there) == spec_of(rendered) else "Edited", int(there.get("JobModifyIndex", 0)), None
    change = dry.diff_type if there is None else change_of(rendered, there, dry.diff_type)
    return change, dry.job_modify_index, dry.diff if change == dry.diff_type else None


def _version(client: Planner) -> str:
    try:
        return client.version()
    except PermissionDenied:  # it takes node:read or agent:read
        return ""


def _ready_nodes(client: Planner, rendered: Mapping[str, Any]) -> list[Node]:
    """The ready nodes in the job's datacenters and pool; none where the token may not read them."""
    pool = rendered.get("NodePool") or ""
    try:
        return [
            node
            for node in client.nodes()
            if node.is_ready
            and node.datacenter in rendered["Datacenters"]
            and (pool in ("", "all") or not node.node_pool or node.node_pool == pool)
        ]
    except PermissionDenied:
        return []


def _probe_id(job_id: str) -> str:
    return f"fedml-probe-{hashlib.sha256(job_id.encode()).hexdigest()[:8]}"


def _could_ever(shortage: Mapping[str, GroupShortfall]) -> bool:
    """Whether some node fits but is full now. A group that no node could ever hold makes the region infeasible."""
    return all(group.nodes_exhausted > 0 for group in shortage.values())


def _shortage_text(shortage: Mapping[str, GroupShortfall]) -> str:
    parts: list[str] = []
    for name, group in shortage.items():
        if group.nodes_exhausted:
            what = ", ".join(f"{dimension} on {count}" for dimension, count in group.dimension_exhausted.items())
            full = f"{counted(group.nodes_exhausted, 'node')} {'is' if group.nodes_exhausted == 1 else 'are'} full"
            parts.append(f"group {name}: {full}{f' ({what})' if what else ''}")
        elif group.constraint_filtered:
            filtered = group.constraint_filtered.items()
            what = ", ".join(f"{reason} ({counted(count, 'node')})" for reason, count in filtered)
            parts.append(f"group {name}: {what}")
        elif not group.nodes_evaluated:
            parts.append(f"group {name}: no ready node in its datacenters")
        else:
            parts.append(f"group {name}: {counted(group.nodes_filtered, 'node')} filtered")
    return "; ".join(parts)
