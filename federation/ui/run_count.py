"""Counts what happened to a run from the events that its coordinator tells."""

from __future__ import annotations

from dataclasses import dataclass

from federation.manifest import Manifest
from federation.run.brain.commands import Tell


@dataclass(slots=True)
class RegionCount:
    """What happened in one region."""

    waiting: int = 0
    """Slots that are bound there and not dispatched yet."""
    dispatched: int = 0
    started: int = 0
    failed: int = 0
    """Attempts that failed."""
    results: int = 0


class RunCount:
    """Counts each result once, and expects each slot's results in the region of its latest attempt only."""

    def __init__(self, manifest: Manifest, already: int = 0) -> None:
        self.regions = {name: RegionCount() for name in manifest.regions}
        self.failed_slots: set[int] = set()
        self.what = "allocations ended" if manifest.results == "none" else "results in the index"
        self._keys_a_slot = max(1, sum(manifest.groups.values()))
        self._most = manifest.expected_keys
        self._already = already
        self._given: dict[int, set[str]] = {}
        self._where: dict[int, tuple[int, str]] = {}

    @property
    def results(self) -> int:
        """The results of the run so far, never more than it is to have."""
        return min(self._most, self._already + sum(map(len, self._given.values())))

    def expected(self, region: str) -> int:
        """The results that the region has given and is still to give."""
        one = self.regions[region]
        open_slots = [slot for slot, (_, name) in self._where.items() if name == region]
        missing = sum(self._keys_a_slot - len(self._given.get(slot, ())) for slot in open_slots)
        return one.results + one.waiting * self._keys_a_slot + missing

    def take(self, tell: Tell) -> None:
        """Counts one event."""
        region = self.regions.get(tell.region, RegionCount())
        match tell.kind:
            case "bound":
                region.waiting += tell.count
            case "dispatched":
                region.dispatched += 1
                self._sent(tell, region)
            case "running":
                region.started += 1
                self._open(tell)
            case "committed" | "ended":
                self._give(tell, region)
            case "retry" | "failed":
                self._fail(tell, region)
            case "lost":
                region.waiting = 0
            case _:
                pass

    def _sent(self, tell: Tell, region: RegionCount) -> None:
        region.waiting = max(0, region.waiting - 1)
        self.failed_slots.discard(tell.slot)
        self._open(tell)

    def _open(self, tell: Tell) -> None:
        """Notes where the slot's latest attempt is, unless the slot is done."""
        is_done = len(self._given.get(tell.slot, ())) >= self._keys_a_slot
        if not is_done and tell.attempt >= self._where.get(tell.slot, (0, ""))[0]:
            self._where[tell.slot] = (tell.attempt, tell.region)

    def _give(self, tell: Tell, region: RegionCount) -> None:
        given, key = self._given.setdefault(tell.slot, set()), tell.detail.partition(" ")[0]
        if key in given:
            return
        given.add(key)
        region.results += 1
        if len(given) >= self._keys_a_slot:
            self._where.pop(tell.slot, None)

    def _fail(self, tell: Tell, region: RegionCount) -> None:
        if tell.kind == "failed":
            self.failed_slots.add(tell.slot)
        if not tell.attempt:  # the slot failed before it was bound anywhere
            return
        region.failed += 1
        if tell.slot not in self._where:
            region.waiting = max(0, region.waiting - 1)
        elif self._where[tell.slot][0] <= tell.attempt:
            del self._where[tell.slot]
