"""Counts what happened to a run from the events that its coordinator tells."""

from __future__ import annotations

from dataclasses import dataclass

from federation.manifest import Manifest
from federation.run.brain.commands import Tell


@dataclass(slots=True)
class RegionCount:
    """The counts of one region."""

    waiting: int = 0
    """Slots that are bound there and not dispatched yet."""
    dispatched: int = 0
    started: int = 0
    failed: int = 0
    """Attempts that failed."""
    results: int = 0
    missing: int = 0
    """Results still to come of slots whose latest attempt is there."""


class RunCount:
    """Counts each result once, and expects each slot's results in the region of its latest attempt only."""

    def __init__(self, manifest: Manifest, already: int = 0) -> None:
        self.regions = {name: RegionCount() for name in manifest.regions}
        self.failed_slots: set[int] = set()
        self.what = "allocations ended" if manifest.results == "none" else "results in the index"
        self._keys_a_slot = max(1, sum(manifest.groups.values()))
        self.most = manifest.expected_keys
        """How many results there will be."""
        self.stopped_slots: set[int] = set()
        self._already = already
        self._counted = 0
        self._given: dict[int, set[str]] = {}
        self._where: dict[int, tuple[int, str]] = {}

    @property
    def results(self) -> int:
        """The results of the run so far, never more than it is to have."""
        return min(self.most, self._already + self._counted)

    def expected(self, region: str) -> int:
        """The results that the region has given and is still to give."""
        one = self.regions[region]
        return one.results + one.waiting * self._keys_a_slot + one.missing

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
            case "stopped":
                self._stop(tell)
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
        if self._missing(tell.slot) > 0 and tell.attempt >= self._where.get(tell.slot, (0, ""))[0]:
            self._leave(tell.slot)
            self._where[tell.slot] = (tell.attempt, tell.region)
            self._expect(tell.slot, self._missing(tell.slot))

    def _leave(self, slot: int) -> None:
        """Expects nothing more of the slot where its latest attempt is."""
        self._expect(slot, -self._missing(slot))
        self._where.pop(slot, None)

    def _expect(self, slot: int, results: int) -> None:
        """Counts so many more results as missing where the slot's latest attempt is."""
        region = self.regions.get(self._where[slot][1]) if slot in self._where else None
        if region is not None:
            region.missing += results

    def _missing(self, slot: int) -> int:
        return self._keys_a_slot - len(self._given.get(slot, ()))

    def _give(self, tell: Tell, region: RegionCount) -> None:
        given, key = self._given.setdefault(tell.slot, set()), tell.detail.partition(" ")[0]
        if key in given:
            return
        given.add(key)
        region.results += 1
        self._counted += 1
        self._expect(tell.slot, -1)
        if self._missing(tell.slot) <= 0:
            self._leave(tell.slot)

    def _stop(self, tell: Tell) -> None:
        """Expects nothing more of a slot that a rule stopped."""
        if tell.slot not in self.stopped_slots:
            self.stopped_slots.add(tell.slot)
            self.most -= self._missing(tell.slot)
            self._leave(tell.slot)

    def _fail(self, tell: Tell, region: RegionCount) -> None:
        if tell.kind == "failed":
            self.failed_slots.add(tell.slot)
        if not tell.attempt:  # the slot failed before it was bound anywhere
            return
        region.failed += 1
        if tell.slot not in self._where:
            region.waiting = max(0, region.waiting - 1)
        elif self._where[tell.slot][0] <= tell.attempt:
            self._leave(tell.slot)
