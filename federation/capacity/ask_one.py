"""Asks one region for its free slots, the queue deducted, and how its job would change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from federation.beside import beside
from federation.capacity.model import Planner, RegionCapacity
from federation.capacity.probe import SLOTS_MAX, could_ever, free_slots, shortage_text
from federation.errors import RegionNotAllowed
from federation.plan import Reason
from jobs.errors import FedmlError
from jobs.nomad_json.drift import as_marked, change_of, spec_of
from jobs.spec import JobShape
from regions.errors import InvalidJob, NotFound, PermissionDenied, RegionSlow, RegionUnreachable
from regions.model import Node
from regions.nomad.resources import candidates, estimated_slots, missing, offers, too_large

UNKNOWN_FREE = 2
"""Slots sent at a time where nothing tells the room: the token may neither plan nor read nodes, or the scheduler is slow."""


_PROBLEMS: Mapping[type[FedmlError], Reason] = {
    RegionUnreachable: Reason.UNREACHABLE,
    RegionNotAllowed: Reason.NOT_ALLOWED,
}
"""Why a region is left out, by the error that it has instead of its job."""


def look(
    client: Planner,
    rendered: dict[str, Any] | FedmlError,
    shape: JobShape,
    *,
    wanted: int = SLOTS_MAX,
    diff: bool = True,
    allow_preemption: bool = False,
    reached: Callable[[str], object] = lambda region: None,
) -> RegionCapacity:
    """Asks one region for up to `wanted` slots, as much as possible at once. Calls `reached` with its name after its first
    answer. Raises no FedmlError: what went wrong is in the answer."""
    name, late = client.name, Reason.UNREACHABLE
    if isinstance(rendered, FedmlError):
        problem = _PROBLEMS.get(type(rendered), Reason.INFEASIBLE)
        return RegionCapacity(name, problem=problem, detail=str(rendered), hint=rendered.hint)
    job = rendered
    compared = beside(lambda: _change(client, job), name=f"change-{name}") if diff else None
    waiting = beside(lambda: queued_children(client, str(job["ID"])), name=f"queue-{name}")
    try:
        nodes = _nodes(client, rendered)
        late = Reason.SLOW
        reached(name)
        queued = waiting.result()
        change, index, changes = compared.result() if compared else ("", 0, None)
        answer = RegionCapacity(
            name,
            version_of(client),
            len(nodes),
            queued=queued,
            change=change,
            diff=changes,
            job_modify_index=index,
            fitting=tuple(node for node in nodes if all(offers(node, group) for group in rendered["TaskGroups"])),
        )
        return _with_room(client, answer, rendered, shape, nodes, wanted=wanted, allow_preemption=allow_preemption)
    except InvalidJob as error:
        hint = error.hint or "see all that is wrong with the job:  fedml job validate"
        return RegionCapacity(name, problem=Reason.REFUSED, detail=error.message, hint=hint)
    except PermissionDenied as error:
        return RegionCapacity(name, problem=Reason.REFUSED, detail=error.message, hint=error.hint)
    except RegionSlow as error:
        return RegionCapacity(name, problem=late, detail=error.message, hint=error.hint)
    except FedmlError as error:
        return RegionCapacity(name, problem=Reason.UNREACHABLE, detail=error.message, hint=error.hint)


def _with_room(
    client: Planner,
    answer: RegionCapacity,
    rendered: Mapping[str, Any],
    shape: JobShape,
    nodes: Sequence[Node],
    *,
    wanted: int,
    allow_preemption: bool,
) -> RegionCapacity:
    """The answer with the free slots, or what prevents any. Raises what `free_slots` raises, but for a denial and slowness."""
    queued = answer.queued
    oversized = "; ".join(too_large(nodes, rendered))
    try:  # what is queued takes the room first
        room = free_slots(client, rendered, shape, wanted=wanted + queued, allow_preemption=allow_preemption)
    except PermissionDenied:
        free, exactness, detail = _estimate(client, rendered)
        if oversized:
            return replace(answer, problem=Reason.INFEASIBLE, detail=oversized, may_plan=False)
        return replace(answer, free=max(0, free - queued), exactness=exactness, detail=detail, may_plan=False)
    except RegionSlow:
        detail = "its scheduler gave no answer to a dry run in time: a few slots at a time"
        return replace(answer, free=max(0, UNKNOWN_FREE - queued), exactness="unknown", detail=detail)
    if room.slots:
        exactness = "at_least" if room.is_least else "exact"
        return replace(answer, free=max(0, room.slots - queued), exactness=exactness)
    if not room.shortage:
        return replace(answer, detail="room only by preemption (--allow-preemption counts it)")
    if oversized:
        return replace(answer, problem=Reason.INFEASIBLE, detail=oversized)
    if could_ever(room.shortage):
        return replace(answer, detail=shortage_text(room.shortage))
    lacking = missing(nodes, rendered)
    return replace(answer, problem=Reason.INFEASIBLE, detail="; ".join(lacking) or shortage_text(room.shortage))


def _estimate(client: Planner, rendered: Mapping[str, Any]) -> tuple[int, str, str]:
    """Estimates where the token may not ask the scheduler: (slots, exactness, what a person should know)."""
    try:
        slots = estimated_slots(client.nodes(), client.used(), rendered, at_most=SLOTS_MAX)
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


def version_of(client: Planner) -> str:
    try:
        return client.version()
    except PermissionDenied:  # it takes node:read or agent:read
        return ""


def _nodes(client: Planner, rendered: Mapping[str, Any]) -> list[Node]:
    """The nodes that may get the job; none where the token may not read them."""
    try:
        return candidates(client.nodes(), rendered)
    except PermissionDenied:
        return []
