"""Applies `spread` and `distinct_property`: distributes a job's allocations over the values of a node's property."""

from __future__ import annotations

from collections.abc import Iterable

from regions.local.scheduler.constraints import resolve
from regions.local.state.snapshot import Record
from regions.local.state.table import Table


class Hosts:
    """Number of live allocations of one job on each node, by group."""

    def __init__(self, nodes: Table) -> None:
        self._nodes = nodes
        self._counts: dict[str, dict[str, int]] = {}

    def add(self, node_id: str, group: str) -> None:
        groups = self._counts.setdefault(node_id, {})
        groups[group] = groups.get(group, 0) + 1

    def of_group(self, node_id: str, group: str) -> int:
        return self._counts.get(node_id, {}).get(group, 0)

    def of_job(self, node_id: str) -> int:
        return sum(self._counts.get(node_id, {}).values())

    def by_value(self, attribute: str, group: str | None) -> dict[str, int]:
        """Counts allocations of the group (None: of the job) by value of the nodes' attribute."""
        found: dict[str, int] = {}
        for node_id, groups in self._counts.items():
            node = self._nodes.get(node_id)
            value = resolve(attribute, node) if node is not None else None
            number = sum(groups.values()) if group is None else groups.get(group, 0)
            if value is not None and number:
                found[value] = found.get(value, 0) + number
        return found


class DistinctProperty:
    """Limits the allocations of a job (or, with `group`, of a group) for each value of a property."""

    def __init__(self, constraint: Record, hosts: Hosts, group: str | None) -> None:
        self._attribute = constraint["LTarget"]
        self._allowed = int(constraint["RTarget"] or 1)
        self._used = hosts.by_value(self._attribute, group)

    def refusal(self, node: Record) -> str | None:
        """Returns why the node can't take one more, as Nomad counts it."""
        value = resolve(self._attribute, node)
        if value is None:
            return f'missing property "{self._attribute}"'
        used = self._used.get(value, 0)
        return f"distinct_property: {self._attribute}={value} used by {used} allocs" if used >= self._allowed else None

    def place(self, node: Record) -> None:
        value = resolve(self._attribute, node) or ""
        self._used[value] = self._used.get(value, 0) + 1


class Spreads:
    """Scores nodes by a job's and a group's `spread` blocks."""

    def __init__(self, job: Record, group: Record, hosts: Hosts) -> None:
        blocks = [*(job["Spreads"] or ()), *(group["Spreads"] or ())]
        self._weights = sum(block["Weight"] for block in blocks)
        self._spreads = [_Spread(block, group, hosts) for block in blocks]
        self._lowest = -1.0

    def __bool__(self) -> bool:
        return bool(self._spreads)

    def score(self, node: Record) -> float:
        total = 0.0
        for spread in self._spreads:
            boost = spread.boost(node, self._weights)
            if boost is None:
                boost = self._lowest
            elif spread.has_targets:
                self._lowest = min(self._lowest, boost)
            total += boost
        return total

    def place(self, node: Record) -> None:
        for spread in self._spreads:
            spread.place(node)


class _Spread:
    def __init__(self, block: Record, group: Record, hosts: Hosts) -> None:
        self._attribute, self._weight = block["Attribute"], block["Weight"]
        count = group["Count"]
        self._wanted = {target["Value"]: target["Percent"] / 100 * count for target in block["SpreadTarget"] or ()}
        self.has_targets = bool(self._wanted)
        self._used: dict[str, int] = {}
        for value, number in hosts.by_value(self._attribute, group["Name"]).items():
            self._count(value, number)
        self._rest: float | None = self._wanted.get("*")
        if 0 < sum(self._wanted.values()) < count:
            self._rest = count - sum(self._wanted.values())

    def boost(self, node: Record, weights: int) -> float | None:
        """None: no target for this value."""
        value = resolve(self._attribute, node)
        if value is None:
            return -1.0
        if not self.has_targets:
            return _even(self._used.get(value, 0), self._used.values())
        wanted = self._wanted.get(value, self._rest)
        if wanted is None:
            return -1.0
        if not wanted:
            return None
        used = self._used.get(value if value in self._wanted else "", 0) + 1
        return float((wanted - used) / wanted * self._weight / weights)

    def place(self, node: Record) -> None:
        value = resolve(self._attribute, node)
        if value is not None:
            self._count(value, 1)

    def _count(self, value: str, number: int) -> None:
        if self.has_targets and value not in self._wanted:
            value = ""
        self._used[value] = self._used.get(value, 0) + number


def _even(used: int, all_used: Iterable[int]) -> float:
    """Returns the score of a value with this many uses where all values should be used alike."""
    counts = list(all_used)
    if not counts:
        return 0.0
    low, high = min(counts), max(counts)
    if used != low:
        return (low - used) / low
    return -1.0 if low == high else (high - low) / low
