"""What is asked of a region, and what its answer says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from federation.plan import Reason
from jobs.frozen import frozen
from regions.model import DryRun, Node
from regions.nomad.resources import Resources


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


@frozen
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


@frozen
class CapacitySnapshot:
    """What all regions answered, in the federation's order."""

    regions: Mapping[str, RegionCapacity]
    late: tuple[str, ...] = ()
    """Regions that weren't waited for: they may answer later."""


GoOn = Callable[[Sequence[str], Sequence[str]], bool]
"""Called with the regions that haven't answered and those that have. True: go on with the latter."""
