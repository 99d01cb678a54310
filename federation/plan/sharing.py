"""The free room of the regions and what several runs want of it enter, one run's own part leaves. Pure.

Runs see each other by their run logs and nothing enforces this: each coordinator keeps to it by itself (cooperative).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from federation.plan.policies import fill


@dataclass(frozen=True, slots=True)
class Shares:
    """`[shares]`: the most slots that may be outstanding at once, by owner (a pattern) and by Nomad namespace."""

    owners: Mapping[str, int] = field(default_factory=dict)
    namespaces: Mapping[str, int] = field(default_factory=dict)

    def of_owner(self, owner: str) -> int | None:
        """The first pattern's that fits; None: no limit."""
        return next((most for pattern, most in self.owners.items() if fnmatchcase(owner, pattern)), None)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one open run still wants: `unbound` slots, in these regions; a higher `priority` comes first."""

    run: str
    unbound: int
    regions: frozenset[str]
    priority: int = 50
    owner: str = ""
    outstanding: Mapping[str, int] = field(default_factory=dict)
    """Region → its slots that are bound there and not over."""


def own_part(free: Mapping[str, int], mine: Claim, others: Sequence[Claim]) -> dict[str, int]:
    """How much of each region's free room this run may take now.

    First the runs of higher priority are given what they want, then those of its own priority share what is left evenly.
    Who wants less than its part leaves the rest to the others; a lower priority is not asked.
    """
    left = dict(free)
    above = sorted({one.priority for one in others if one.priority > mine.priority}, reverse=True)
    for priority in above:
        _take(left, [one for one in others if one.priority == priority])
    equals = [mine, *(one for one in others if one.priority == mine.priority)]
    return _take(left, equals)[mine.run]


def held_by_owner(shares: Shares, mine: Claim, others: Sequence[Claim]) -> int | None:
    """How many more slots this run's owner may have outstanding; None: no limit."""
    most = shares.of_owner(mine.owner)
    if most is None:
        return None
    own = [one for one in (mine, *others) if shares.of_owner(one.owner) is not None and _same(shares, one, mine)]
    return max(0, most - sum(sum(one.outstanding.values()) for one in own))


def held_in_namespaces(
    shares: Shares, namespaces: Mapping[str, str], mine: Claim, others: Sequence[Claim]
) -> dict[str, int]:
    """Region → how many more slots may be outstanding in its namespace, over all regions; only where there is a limit."""
    held: dict[str, int] = {}
    for one in (mine, *others):
        for region, slots in one.outstanding.items():
            if region in namespaces:
                held[namespaces[region]] = held.get(namespaces[region], 0) + slots
    return {
        region: max(0, shares.namespaces[namespace] - held.get(namespace, 0))
        for region, namespace in namespaces.items()
        if namespace in shares.namespaces
    }


def _same(shares: Shares, one: Claim, mine: Claim) -> bool:
    """Whether the same limit counts for both."""
    return next(p for p in shares.owners if fnmatchcase(one.owner, p)) == next(
        p for p in shares.owners if fnmatchcase(mine.owner, p)
    )


def _take(left: dict[str, int], claims: Sequence[Claim]) -> dict[str, dict[str, int]]:
    """Share the room out among equals, region by region, and take it from `left`; run → region → slots."""
    wanted = {one.run: one.unbound for one in claims}
    given: dict[str, dict[str, int]] = {one.run: {} for one in claims}
    ranks = {one.run: (0, one.run) for one in claims}
    # A region that fewer may use first: who has no choice is served before who has one.
    for region in sorted(left, key=lambda name: (sum(name in one.regions for one in claims), name)):
        capacity = {one.run: wanted[one.run] for one in claims if region in one.regions and wanted[one.run] > 0}
        if not capacity:
            continue
        for run, share in fill(left[region], capacity, dict.fromkeys(capacity, 1), ranks).items():
            given[run][region] = share
            wanted[run] -= share
            left[region] -= share
    return {run: {region: shares.get(region, 0) for region in left} for run, shares in given.items()}
