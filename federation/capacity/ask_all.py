"""Asks all regions at once, so it takes about as long as the slowest one."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from federation.capacity.ask_one import look, version_of
from federation.capacity.model import CapacitySnapshot, GoOn, Planner, RegionCapacity
from federation.capacity.probe import SLOTS_MAX
from federation.plan import Reason
from jobs.errors import FedmlError
from jobs.spec import JobShape
from regions.errors import PermissionDenied

SLOW_AFTER_S = 10.0
"""After this time the regions that haven't answered are named."""


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


def without_job(clients: Sequence[Planner]) -> CapacitySnapshot:
    """Asks all regions at once for their version and ready nodes only: there is no job to ask for room for."""

    def ask(client: Planner) -> RegionCapacity:
        try:
            try:
                nodes = [node for node in client.nodes() if node.is_ready]
                detail = ""
            except PermissionDenied as error:
                nodes, detail = [], f"nodes: {error.message}"
            return RegionCapacity(client.name, version_of(client), len(nodes), exactness="not_asked", detail=detail)
        except FedmlError as error:
            problem = Reason.REFUSED if isinstance(error, PermissionDenied) else Reason.UNREACHABLE
            return RegionCapacity(
                client.name, exactness="not_asked", problem=problem, detail=error.message, hint=error.hint
            )

    with ThreadPoolExecutor(max_workers=max(1, len(clients))) as pool:
        return CapacitySnapshot({one.region: one for one in pool.map(ask, clients)})
