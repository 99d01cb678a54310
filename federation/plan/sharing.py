"""Computes one run's part of the regions' free room when several runs want it. Pure.

Coordinators read each other's run logs and keep to their part. Nothing enforces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from federation.plan.policies import fill

DEFAULT_PRIORITY = 50


@dataclass(frozen=True, slots=True)
class Shares:
    """`[shares]`: how many slots may be outstanding at once, by owner (a pattern) and by Nomad namespace."""

    owners: Mapping[str, int] = field(default_factory=dict)
    namespaces: Mapping[str, int] = field(default_factory=dict)

    def of_owner(self, owner: str) -> int | None:
        """The limit of the first pattern that fits. None: no limit."""
        return next((most for pattern, most in self.owners.items() if fnmatchcase(owner, pattern)), None)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one open run still wants: `unbound` slots in these regions. A higher `priority` comes first."""

    run: str
    unbound: int
    regions: frozenset[str]
    priority: int = DEFAULT_PRIORITY
    owner: str = ""
    outstanding: Mapping[str, int] = field(default_factory=dict)
    """Region → slots of the run that are bound there and not over."""


def own_part(free: Mapping[str, int], mine: Claim, others: Sequence[Claim]) -> dict[str, int]:
    """How many free slots of each region this run may take now.

    Runs of higher priority get what they want first. Runs of the same priority share the rest evenly. A run that wants
    less than its part leaves the rest to the others. Runs of lower priority get nothing here.
    """
    left = dict(free)
    above = sorted({claim.priority for claim in others if claim.priority > mine.priority}, reverse=True)
    for priority in above:
        _take(left, [claim for claim in others if claim.priority == priority])
    equals = [mine, *(claim for claim in others if claim.priority == mine.priority)]
    return _take(left, equals)[mine.run]


def within_shares(
    parts: Mapping[str, int], shares: Shares, namespaces: Mapping[str, str], mine: Claim, others: Sequence[Claim]
) -> dict[str, int]:
    """Limits the parts to what `[shares]` leaves for this run's owner and for each region's namespace."""
    left = dict(parts)
    most = shares.of_owner(mine.owner)
    if most is not None:
        held = sum(sum(claim.outstanding.values()) for claim in (mine, *others) if _has_same_owner(shares, claim, mine))
        left = _at_most(most - held, left)
    for namespace, most in shares.namespaces.items():
        own = {region: slots for region, slots in left.items() if namespaces.get(region) == namespace}
        held = sum(
            slots
            for claim in (mine, *others)
            for region, slots in claim.outstanding.items()
            if namespaces.get(region) == namespace
        )
        left |= _at_most(most - held, own)
    return left


def _at_most(slots: int, parts: Mapping[str, int]) -> dict[str, int]:
    ranks = {region: (0, region) for region in parts}
    return fill(max(0, slots), parts, parts, ranks)


def _has_same_owner(shares: Shares, claim: Claim, mine: Claim) -> bool:
    """Whether the limit of the same pattern applies to both."""
    first = [next((p for p in shares.owners if fnmatchcase(each.owner, p)), None) for each in (claim, mine)]
    return first[0] == first[1]


def _take(left: dict[str, int], claims: Sequence[Claim]) -> dict[str, dict[str, int]]:
    """Shares the room among equal claims, region by region, and takes it from `left`. Returns run → region → slots."""
    wanted = {claim.run: claim.unbound for claim in claims}
    given: dict[str, dict[str, int]] = {claim.run: {} for claim in claims}
    ranks = {claim.run: (0, claim.run) for claim in claims}
    # Regions that fewer runs may use come first, so that runs without a choice get room there.
    for region in sorted(left, key=lambda name: (sum(name in claim.regions for claim in claims), name)):
        capacity = {
            claim.run: wanted[claim.run] for claim in claims if region in claim.regions and wanted[claim.run] > 0
        }
        if not capacity:
            continue
        for run, share in fill(left[region], capacity, dict.fromkeys(capacity, 1), ranks).items():
            given[run][region] = share
            wanted[run] -= share
            left[region] -= share
    return {run: {region: shares.get(region, 0) for region in left} for run, shares in given.items()}
