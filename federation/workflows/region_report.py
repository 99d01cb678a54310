"""One region of a preview enters, what a person wants to know of that region leaves: addresses, servers, nodes, room, queue.

Each question is asked on its own, since a token may answer some of them only; what it may not read is told as such.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from federation.app import App
from federation.capacity import RegionCapacity
from federation.workflows.plan import Preview
from jobs.errors import FedmlError
from regions.model import Node, Region
from regions.nomad.resources import Resources

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RegionReport:
    """What one region told; `unknown` says what it didn't, and why."""

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
    """Ask the region. Never raises for what it refuses or where it is silent: that is in the report."""
    client = app.client(name)
    unknown: list[str] = []

    def ask(what: str, question: Callable[[], T], otherwise: T) -> T:
        try:
            return question()
        except FedmlError as error:
            unknown.append(f"{what}: {error.message}")
            return otherwise

    begin = time.perf_counter()
    leader = ask("leader", client.leader, "")
    answered_in_s = time.perf_counter() - begin
    is_reached = bool(leader)
    return RegionReport(
        region=app.config.regions[name],
        capacity=preview.snapshot.regions[name],
        job=preview.prepared.shape.id,
        leader=leader,
        answered_in_s=answered_in_s,
        nodes=tuple(ask("nodes", client.nodes, [])) if is_reached else (),
        used=ask("what is used", client.used, {}) if is_reached else {},
        unknown=tuple(unknown),
    )
