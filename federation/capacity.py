"""Asks regions for their free slots, by Nomad's own scheduler. The answer is a `CapacitySnapshot`.

All regions are asked at once, so it takes about as long as the slowest one. A region that is unreachable or refuses is a
value in the snapshot. It raises nothing, so the other answers are kept.

`federation.probe` asks for free slots. Children that are queued (pending or blocked evaluations) are deducted, since the dry
run doesn't count them. A token that may not ask the scheduler gets an estimate. A region that answers, but not in time, is
slow and not unreachable.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from federation.beside import beside
from federation.errors import RegionNotAllowed
from federation.plan import Reason
from federation.probe import SLOTS_MAX, could_ever, free_slots, shortage_text
from jobs.errors import FedmlError
from jobs.nomad_json.drift import as_marked, change_of, spec_of
from jobs.spec import JobShape
from regions.errors import InvalidJob, NotFound, PermissionDenied, RegionSlow, RegionUnreachable
from regions.model import DryRun, Node
from regions.nomad.resources import Resources, candidates, estimated_slots, missing, offers, too_large

SLOW_AFTER_S = 10.0
"""After this time the regions that haven't answered are named."""
UNKNOWN_FREE = 2
"""Slots sent at a time where nothing tells the room: the token may neither plan nor read nodes, or the scheduler is slow."""


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
    """exact (Nomad's scheduler said so), at_least (it wasn't asked for more), estimated (from nodes and allocations: the token
    may not plan), unknown, or not_asked (there is no job to ask for)"""
    may_plan: bool = True
    """The token may ask the scheduler."""
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

    @property
    def free_text(self) -> str:
        """The free slots for people: `12`, `100+` where it wasn't asked for more, `~12` for an estimate."""
        if self.exactness == "at_least":
            return f"{self.free}+"
        if self.exactness == "not_asked":
            return "-"
        return str(self.free) if self.exactness == "exact" else f"~{self.free}"


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
    wanted: int = SLOTS_MAX,
    diff: bool = True,
    allow_preemption: bool = False,
    goes_on: GoOn | None = None,
    slow_after_s: float = SLOW_AFTER_S,
) -> CapacitySnapshot:
    """Asks all regions at once, each for up to `wanted` slots. `rendered` holds for each region's name its job, or why it has
    none.

    If some region hasn't answered after `slow_after_s`, calls `goes_on` once. If that returns True, these regions are
    `late`, and count as slow or unreachable.
    """
    answers: Answers = queue.SimpleQueue()
    reached: set[str] = set()

    def ask(client: Planner) -> None:
        try:
            answers.put(
                look(
                    client,
                    rendered[client.name],
                    shape,
                    wanted=wanted,
                    diff=diff,
                    allow_preemption=allow_preemption,
                    reached=reached.add,
                )
            )
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
            found |= {name: _late(name, slow_after_s, is_reached=name in reached) for name in late}
            return CapacitySnapshot({name: found[name] for name in names}, tuple(late))
        _gather(answers, found, len(names), within_s=None)
    return CapacitySnapshot({name: found[name] for name in names})


def _late(name: str, slow_after_s: float, *, is_reached: bool) -> RegionCapacity:
    if is_reached:
        return RegionCapacity(name, problem=Reason.SLOW, detail=f"its servers need more than {slow_after_s:g} s")
    return RegionCapacity(name, problem=Reason.UNREACHABLE, detail=f"no answer within {slow_after_s:g} s")


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
            _version(client),
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


def without_job(clients: Sequence[Planner]) -> CapacitySnapshot:
    """Asks all regions at once for their version and ready nodes only: there is no job to ask for room for."""

    def ask(client: Planner) -> RegionCapacity:
        try:
            try:
                nodes = [node for node in client.nodes() if node.is_ready]
                detail = ""
            except PermissionDenied as error:
                nodes, detail = [], f"nodes: {error.message}"
            return RegionCapacity(client.name, _version(client), len(nodes), exactness="not_asked", detail=detail)
        except FedmlError as error:
            problem = Reason.REFUSED if isinstance(error, PermissionDenied) else Reason.UNREACHABLE
            return RegionCapacity(
                client.name, exactness="not_asked", problem=problem, detail=error.message, hint=error.hint
            )

    with ThreadPoolExecutor(max_workers=max(1, len(clients))) as pool:
        return CapacitySnapshot({one.region: one for one in pool.map(ask, clients)})


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


def _nodes(client: Planner, rendered: Mapping[str, Any]) -> list[Node]:
    """The nodes that may get the job; none where the token may not read them."""
    try:
        return candidates(client.nodes(), rendered)
    except PermissionDenied:
        return []
