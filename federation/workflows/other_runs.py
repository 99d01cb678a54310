"""Computes a run's own part of the free room, from the logs of the other open runs.

Cooperative: it works because every coordinator does the same. A run counts as long as its manifest, log or lease was
written lately, so that a run whose coordinator is gone holds up nobody.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from federation.app import App
from federation.home import RunKeys, read_manifest, run_log
from federation.index import RunRow
from federation.log import Entry
from federation.manifest import Manifest
from federation.plan import Budget, Claim, budgets, own_part
from jobs.errors import FedmlError
from regions.storage.store import Store

REFRESH_S = 10.0
"""Pause between two reads of the other runs."""
SHARES_REFRESH_S = 1.0
"""The same where `[shares]` limits what is outstanding."""
GIVE_WAY_S = 1.0
LOOKS_FOR_WAY = 5
"""How often, and with which pause, the older of two runs looks whether the younger one gave way."""
FRESH_FOR = timedelta(seconds=90)
"""Longer than a lease takes to be renewed."""


class OtherRuns:
    """The other open runs, as seen from the run `mine`. Its `outstanding` is read like the others'; an empty run ID stands
    for a run that isn't open yet. Methods may be called from several threads."""

    def __init__(
        self,
        app: App,
        mine: Claim,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._app = app
        self._mine = mine
        self._clock = clock
        self._pause = pause
        self._read_s = float("-inf")
        self._claims: list[Claim] = []
        self._runs: dict[str, _Run] = {}
        self._free: dict[str, int] = {}
        self._lock = threading.Lock()

    def part(self, free: Mapping[str, int]) -> dict[str, int]:
        """How much of the free room in these regions this run may take now. Other regions keep their last values. Where the
        home store doesn't answer, the last values count, so that a run is not held up."""
        with self._lock:
            self._free.update(free)
            self._refresh()
            others = [one for one in self._claims if one.run != self._mine.run]
            # Alone, the policy has the choice between all that is free.
            is_shared = any(one.unbound and one.priority >= self._mine.priority for one in others)
            parts = own_part(self._free, self._mine, others) if is_shared else dict(self._free)
            return {region: parts[region] for region in free}

    def budgets(self) -> tuple[Budget, ...]:
        """What `[shares]` leaves for this run, by other runs' logs that were read lately. Where the home store doesn't answer,
        the last values count."""
        with self._lock:
            self._refresh(SHARES_REFRESH_S if self._counts_outstanding else REFRESH_S)
            return self._budgets()

    def budgets_after_binding(self, region: str) -> tuple[Budget, ...]:
        """What `[shares]` leaves for this run, read after its bindings in that region were logged. Raises FedmlError where the
        other runs can't be read.

        Of two runs that bind at the same moment, each reads the other's bindings here, or one was first: so the limits hold.
        Where they are exceeded the younger run gives way, which the older one waits for.
        """
        if not self._counts_outstanding:
            return ()
        for _ in range(LOOKS_FOR_WAY):
            with self._lock:
                self._read_s = self._clock()
                self._claims = self._read()
                mine, allowed = self._own(), self._budgets()
            exceeded = [one for one in allowed if region in one.regions and mine.held_in(one.regions) > one.most]
            if not exceeded or any(run < mine.run for budget in exceeded for run in budget.holders):
                break
            self._pause(GIVE_WAY_S)
        return allowed

    def _own(self) -> Claim:
        return next((one for one in self._claims if one.run == self._mine.run), self._mine)

    def _budgets(self) -> tuple[Budget, ...]:
        config = self._app.config
        namespaces = {name: region.namespace for name, region in config.regions.items()}
        others = [one for one in self._claims if one.run != self._mine.run]
        return budgets(config.shares, namespaces, self._mine, others)

    @property
    def _counts_outstanding(self) -> bool:
        return bool(self._app.config.shares.owners or self._app.config.shares.namespaces)

    def wanted(self) -> int:
        """How many slots the other runs want now."""
        with self._lock:
            self._refresh()
            return sum(one.unbound for one in self.others)

    def claim(self, mine: Claim) -> None:
        """Changes what the run itself wants."""
        with self._lock:
            self._mine = mine

    def _refresh(self, every_s: float = REFRESH_S) -> None:
        if self._clock() - self._read_s >= every_s:
            self._read_s = self._clock()
            with suppress(FedmlError):
                self._claims = self._read()

    @property
    def others(self) -> list[Claim]:
        """What the other runs wanted when they were read last."""
        return [one for one in self._claims if one.run != self._mine.run and one.unbound]

    def _read(self) -> list[Claim]:
        counts_outstanding = self._counts_outstanding
        since = datetime.now(UTC) - FRESH_FOR
        claims = []
        for row in self._app.index.runs(state="open"):
            if row.run == self._mine.run and not counts_outstanding:
                continue  # its coordinator knows it without reading its log a second time
            run = self._runs.get(row.run) or self._opened(row)
            if run is None:
                continue
            self._runs[row.run] = run
            run.follow(since)
            if row.run == self._mine.run or run.written >= since:
                done = Counter(one.slot for one in self._app.index.won(row.run)) if counts_outstanding else Counter()
                claims.append(run.claim({slot for slot, count in done.items() if count >= run.keys_a_slot}))
        return claims

    def _opened(self, row: RunRow) -> _Run | None:
        try:
            manifest = read_manifest(self._app.home, row.run)
        except FedmlError:  # none yet, or one that this fedml can't read: it dispatches nothing that is known here
            return None
        return _Run(manifest, self._app.home)


def claim_of(manifest: Manifest) -> Claim:
    """The most that a run may want. It knows itself how much of that is left, and never takes more than it needs."""
    return Claim(manifest.run, manifest.slots, frozenset(manifest.regions), manifest.priority, manifest.author)


class _Run:
    """One open run, followed by its log."""

    def __init__(self, manifest: Manifest, home: Store) -> None:
        self.manifest = manifest
        self.keys_a_slot = sum(manifest.groups.values())
        self.written = datetime.fromisoformat(manifest.created)
        self._home = home
        self._log = run_log(home, manifest.run)
        self._last_lease = ""
        self._bound: dict[int, str] = {}
        self._over: set[int] = set()
        self._done: dict[int, set[tuple[str, int]]] = {}
        """Slot → its keys that are done, of a run without results."""

    def follow(self, since: datetime) -> None:
        """Reads on in its log. Where that has nothing since then, looks at its lease."""
        for entry in self._log.refresh():
            self.written = max(self.written, datetime.fromisoformat(entry.time))
            self._take(entry)
        if self.written < since:
            for info in self._home.list(RunKeys(self.manifest.run).lease, start_after=self._last_lease):
                self._last_lease = info.key
                self.written = max(self.written, info.modified or self.written)

    def _take(self, entry: Entry) -> None:
        from federation.run.brain.changes import Bind, Done, Fail, parse_entry  # not needed where no other run is open

        for change in parse_entry(entry.changes):
            match change:
                case Bind():
                    self._bound[change.slot] = change.region
                    self._over.discard(change.slot)
                case Fail():
                    self._over.add(change.slot)
                case Done():
                    keys = self._done.setdefault(change.slot, set())
                    keys.add((change.group, change.index))
                    if len(keys) >= self.keys_a_slot:
                        self._over.add(change.slot)

    def claim(self, done: set[int]) -> Claim:
        """What it wants and holds. A slot that failed is bound again soon, or never."""
        one = self.manifest
        outstanding = Counter(
            region for slot, region in self._bound.items() if slot not in self._over and slot not in done
        )
        unbound = one.slots - len(self._bound)
        return Claim(one.run, unbound, frozenset(one.regions), one.priority, one.author, outstanding)
