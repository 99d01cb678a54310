"""Reports what a person wants to know of one region: addresses, leader, nodes, room, queue.

The preview has asked the region before. A region that did not answer then is not asked again. What a token may not read is
reported as unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from federation.app import App
from federation.capacity import RegionCapacity
from federation.plan import Reason
from federation.workflows.plan import Preview
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


def report(app: App, preview: Preview, name: str) -> RegionReport:
    """Asks the region. Raises nothing for what it refuses or where it is silent: that is in the report."""
    unknown: list[str] = []

    def ask(what: str, question: Callable[[], T], otherwise: T) -> T:
        try:
            return question()
        except FedmlError as error:
            unknown.append(f"{what}: {error.message}")
            return otherwise

    capacity = preview.snapshot.regions[name]
    leader, answered_in_s = "", 0.0
    nodes: list[Node] = []
    used: dict[str, Resources] = {}
    if capacity.problem is Reason.UNREACHABLE:
        unknown.append(f"leader: {capacity.detail}")
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
        capacity,
        preview.prepared.shape.id,
        leader,
        answered_in_s,
        tuple(nodes),
        used,
        tuple(unknown),
    )
