"""Reports what a person wants to know of one region: addresses, leader, nodes, room, queue.

`regions_now` has asked the region before. A region that did not answer then is not asked again. What a token may not read is
reported as unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from federation import capacity
from federation.app import App, JobRequest
from federation.capacity import SLOTS_MAX, RegionCapacity
from federation.plan import Reason
from federation.workflows.plan import NO_ANSWER, preview
from federation.workflows.request import RunRequest
from jobs.errors import FedmlError
from regions.model import Node, Region
from regions.nomad.resources import Resources

T = TypeVar("T")

ASK_S = 5.0
"""How long one question may take: the region has answered others just before."""


@dataclass(frozen=True, slots=True)
class RegionReport:
    """One region's answers. `unknown` says what it didn't tell, and why."""

    region: Region
    capacity: RegionCapacity
    job: str
    leader: str
    answered_in_s: float
    """One request to the leader and back."""
    nodes: tuple[Node, ...]
    used: dict[str, Resources]
    """Node ID → what allocations take there."""
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegionsNow:
    """What the regions have, for the job `job`; "" with its `problem` where the project has no job that can be used."""

    capacities: Mapping[str, RegionCapacity]
    job: str
    problem: FedmlError | None = None

    @property
    def is_any_there(self) -> bool:
        """Whether at least one region answered and refused nothing."""
        return any(one.problem not in NO_ANSWER for one in self.capacities.values())


def regions_now(app: App, request: JobRequest) -> RegionsNow:
    """Asks the chosen regions for their room for the job. Without a job that can be used, asks what needs none. Raises
    UsageError for unknown regions, and what is wrong with a job that `request` names."""
    regions = app.chosen_regions(request.regions)
    try:
        made = preview(app, RunRequest(request), looks_for=SLOTS_MAX)
    except FedmlError as error:
        if request.job:
            raise
        return RegionsNow(capacity.without_job([app.client(region.name) for region in regions]).regions, "", error)
    return RegionsNow(made.snapshot.regions, made.prepared.shape.id)


def report(app: App, now: RegionsNow, name: str) -> RegionReport:
    """Asks the region. Raises nothing for what it refuses or where it is silent: that is in the report."""
    unknown: list[str] = []

    def ask(what: str, question: Callable[[], T], otherwise: T) -> T:
        try:
            return question()
        except FedmlError as error:
            unknown.append(f"{what}: {error.message}")
            return otherwise

    found = now.capacities[name]
    leader, answered_in_s = "", 0.0
    nodes: list[Node] = []
    used: dict[str, Resources] = {}
    if found.problem is Reason.UNREACHABLE:
        unknown.append(f"leader: {found.detail}")
    else:
        client = app.client(name).within(ASK_S)
        begin = time.perf_counter()
        leader = ask("leader", client.leader, "")
        answered_in_s = time.perf_counter() - begin
        if leader:
            nodes = ask("nodes", client.nodes, nodes)
            used = ask("what is used", client.used, used)
    return RegionReport(
        app.config.regions[name],
        found,
        now.job,
        leader,
        answered_in_s,
        tuple(nodes),
        used,
        tuple(unknown),
    )
