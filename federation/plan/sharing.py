"""Computes one run's part of the regions' free room when several runs want it, and what `[shares]` leaves for it. Pure.

Coordinators read each other's run logs and keep to their part. Nothing enforces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from federation.plan.policies import fill
from jobs.frozen import field, frozen

DEFAULT_PRIORITY = 50


@frozen
class Shares:
    """`[shares]`: how many slots may be outstanding at once, by owner (a pattern) and by Nomad namespace."""

    owners: Mapping[str, int] = field(factory=dict)
    namespaces: Mapping[str, int] = field(factory=dict)

    def of_owner(self, owner: str) -> int | None:
        """The limit of the first pattern that fits. None: no limit."""
        return next((most for pattern, most in self.owners.items() if fnmatchcase(owner, pattern)), None)


@frozen
class Claim:
    """What one open run still wants: `unbound` slots in these regions. A higher `priority` comes first."""

    run: str
    unbound: int
    regions: frozenset[str]
    priority: int = DEFAULT_PRIORITY
    owner: str = ""
    outstanding: Mapping[str, int] = field(factory=dict)
    """Region → slots of the run that are bound there and not over."""

    def held_in(self, regions: frozenset[str]) -> int:
        """How many slots it has outstanding in these regions."""
        return sum(slots for region, slots in self.outstanding.items() if region in regions)


@frozen
class Budget:
    """A limit of `[shares]` as it applies to one run: so many slots it may have outstanding in these regions, all together."""

    regions: frozenset[str]
    most: int
    """Negative where the other runs hold more than the limit."""
    holders: tuple[str, ...] = ()
    """The other runs that hold slots of the limit."""


def budgets(shares: Shares, namespaces: Mapping[str, str], mine: Claim, others: Sequence[Claim]) -> tuple[Budget, ...]:
    """What `[shares]` leaves for the run `mine`: each limit that applies to it, less what the other runs hold of it.
    `namespaces`: region → Nomad namespace, of all regions."""
    found = []
    most = shares.of_owner(mine.owner)
    if most is not None:
        alike = [claim for claim in others if _has_same_owner(shares, claim, mine)]
        found.append(_budget(most, frozenset(namespaces), alike))
    for namespace, most in shares.namespaces.items():
        regions = frozenset(region for region, name in namespaces.items() if name == namespace)
        if regions & mine.regions:
            found.append(_budget(most, regions, others))
    return tuple(found)


def _budget(most: int, regions: frozenset[str], others: Sequence[Claim]) -> Budget:
    held = {claim.run: claim.held_in(regions) for claim in others}
    return Budget(regions, most - sum(held.values()), tuple(run for run, slots in held.items() if slots))


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
    parts: Mapping[str, int], allowed: Sequence[Budget], outstanding: Mapping[str, int]
) -> dict[str, int]:
    """Limits the parts to what the budgets leave beside what the run holds: `outstanding`, by region."""
    left = dict(parts)
    for budget in allowed:
        held = sum(slots for region, slots in outstanding.items() if region in budget.regions)
        left |= _at_most(budget.most - held, {region: left[region] for region in left if region in budget.regions})
    return left


def _at_most(slots: int, parts: Mapping[str, int]) -> dict[str, int]:
    ranks = {region: (0, region) for region in parts}
    return fill(max(0, slots), parts, parts, ranks)


def _has_same_owner(shares: Shares, claim: Claim, mine: Claim) -> bool:
    """Whether the limit of the same pattern applies to both."""
    return _pattern_of(shares, claim) == _pattern_of(shares, mine)


def _pattern_of(shares: Shares, claim: Claim) -> str | None:
    return next((pattern for pattern in shares.owners if fnmatchcase(claim.owner, pattern)), None)


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
