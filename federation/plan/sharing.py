"""The free room of the regions and what several runs want of it enter, one run's own part leaves. Pure.

Runs see each other by their run logs and nothing enforces this: each coordinator keeps to it by itself (cooperative).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from federation.plan.policies import fill

DEFAULT_PRIORITY = 50


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
    priority: int = DEFAULT_PRIORITY
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


def within_shares(
    parts: Mapping[str, int], shares: Shares, namespaces: Mapping[str, str], mine: Claim, others: Sequence[Claim]
) -> dict[str, int]:
    """The parts, as far as `[shares]` leaves room for more outstanding slots of this run's owner, and of the namespace (by
    region) that each is in."""
    left = dict(parts)
    most = shares.of_owner(mine.owner)
    if most is not None:
        held = sum(sum(one.outstanding.values()) for one in (mine, *others) if _has_same_owner(shares, one, mine))
        left = _at_most(most - held, left)
    for namespace, most in shares.namespaces.items():
        own = {region: slots for region, slots in left.items() if namespaces.get(region) == namespace}
        held = sum(
            slots
            for one in (mine, *others)
            for region, slots in one.outstanding.items()
            if namespaces.get(region) == namespace
        )
        left |= _at_most(most - held, own)
    return left


def _at_most(slots: int, parts: Mapping[str, int]) -> dict[str, int]:
    ranks = {region: (0, region) for region in parts}
    return fill(max(0, slots), parts, parts, ranks)


def _has_same_owner(shares: Shares, one: Claim, mine: Claim) -> bool:
    """Whether the same pattern's limit counts for both."""
    first = [next((p for p in shares.owners if fnmatchcase(each.owner, p)), None) for each in (one, mine)]
    return first[0] == first[1]


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
