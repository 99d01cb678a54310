"""Reads runs as they stand: their slots with their attempts, who drives them, how they went over time. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TypeAlias

from federation.app import App
from federation.errors import IndexCorrupt, UsageError
from federation.home import RunKeys, read_manifest, run_log, was_driven
from federation.index import RunRow
from federation.index.columns import Row
from federation.index.lookup import run_named
from federation.index.rows import OPEN, RUN_STATES_CLOSED
from federation.log import Entry, Log, default_author
from federation.manifest import Manifest
from federation.result import Key
from federation.run.attempt_times import AttemptTimes, attempt_times, together
from federation.run.brain.brain import Brain
from federation.run.brain.changes import Cancel, Read, kinds_of, parse_entry
from federation.run.brain.events import Appended, Event, Pair, Resumed
from federation.run.brain.state import Slot
from federation.run.brain.transitions import SlotState
from federation.run.driver import Driver, driver_of
from federation.run.kept_logs import READ_THREADS, kept_keys, read_kept
from federation.run.slot_inputs import parameters_of
from federation.run.time_spent import Recorded, TimeSpent, where_time_went
from federation.run.timeline import Timeline, timeline
from jobs.params.values import Value
from regions.storage.errors import NotFound, StoreError

Times: TypeAlias = Mapping[Pair, AttemptTimes]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Who cancelled a run, and when."""

    by: str
    at: str


@dataclass(frozen=True, slots=True)
class RunStory:
    """A run as it stands: its slots with their attempts. `state` is open, done, failed or cancelled."""

    manifest: Manifest
    state: str
    reason: str
    slots: Sequence[Slot]
    entries: Sequence[Entry] = ()
    """Its run log."""
    changes: Sequence[Sequence[Read]] = ()
    """What each entry of it says."""
    results: Sequence[Row] = ()
    """Those that won their keys."""
    parameters: Callable[[int], Mapping[str, Value]] = lambda _: {}
    """The parameters of a slot, in which it differs from others."""
    driver: Driver | None = None
    """Who drives it, while it is open; None where that isn't known."""

    @property
    def failing(self) -> Mapping[int, str]:
        """The open slots that don't go well, with the reason: what keeps the newest attempt from its work now, else how the
        attempt before it ended."""
        found: dict[int, str] = {}
        for number, slot in enumerate(self.slots):
            if self.state != OPEN or slot.state is not SlotState.OPEN:
                continue
            last, ended = slot.last, [attempt for attempt in slot.attempts if attempt.reason]
            if last is not None and last.is_open and last.failing:
                found[number] = last.failing
            elif ended:
                found[number] = f"an earlier attempt ended: {ended[-1].reason}"
        return found

    @property
    def failures(self) -> Mapping[int, str]:
        """The slots that have failed, with the reason."""
        return {number: slot.reason for number, slot in enumerate(self.slots) if slot.state is SlotState.FAILED}

    def parameters_of(self, slots: Iterable[int]) -> Mapping[int, Mapping[str, Value]]:
        """The parameters of these slots."""
        return {number: self.parameters(number) for number in slots}

    @property
    def cancelled(self) -> Cancelled | None:
        """Who cancelled the run first, and when, as its log says. None where nobody did."""
        return cancelled_in(self.entries)


def cancelled_in(entries: Iterable[Entry]) -> Cancelled | None:
    """Who cancelled the run of this log first, and when; None where nobody did."""
    cancels = (
        Cancelled(entry.author, entry.time)
        for entry in entries
        if Cancel.TYPE in kinds_of(entry.changes)
        and any(isinstance(change, Cancel) for change in parse_entry(entry.changes))
    )
    return next(cancels, None)


class RunReader:
    """Reads the runs of one federation."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._regions: dict[str, Sequence[str]] = {}

    def regions(self, rows: Sequence[RunRow]) -> Mapping[str, Sequence[str]]:
        """The regions that each of these runs may use, as its manifest has them; none for a run without one. Raises
        StoreError."""

        def read(run: str) -> Sequence[str]:
            with suppress(NotFound):
                return read_manifest(self._app.home, run).regions
            return ()

        missing = [row.run for row in rows if row.run not in self._regions]
        with ThreadPoolExecutor(READ_THREADS) as pool:
            found = dict(zip(missing, pool.map(read, missing), strict=True))
        self._regions.update(
            {run: regions for run, regions in found.items() if regions}
        )  # a manifest comes after its run
        return {row.run: self._regions.get(row.run, ()) for row in rows}

    def story(self, run: str) -> RunStory:
        """A run as its log and the index have it. Raises UsageError."""
        row = self.find(run)
        return self.story_of(row, self.manifest(row.run), self.log_of(row.run).refresh())

    def story_of(self, row: RunRow, manifest: Manifest, entries: Sequence[Entry]) -> RunStory:
        """The same of a run whose row, manifest and run log are known."""
        results = self._app.index.won(row.run)
        parameters = parameters_of(manifest, self._app.home)
        changes = tuple(parse_entry(entry.changes) for entry in entries)
        brain = Brain(manifest)
        for event in replay_of(changes, results):
            brain.step(event)
        driver = self.driver(row)
        return RunStory(
            manifest, row.state, row.reason, tuple(brain.slots), entries, changes, results, parameters, driver
        )

    def driver(self, row: RunRow) -> Driver | None:
        """Who drives an open run. None for one that is over, and where that can't be read."""
        if row.state in RUN_STATES_CLOSED:
            return None
        config = self._app.config
        with suppress(StoreError):
            folder = config.cache_dir / "runs"
            return driver_of(self._app.home, row.run, folder=folder, lease_s=config.coordinator.lease_s)
        return None

    def undriven(self, rows: Sequence[RunRow]) -> Mapping[str, Driver]:
        """Those of these runs that are open and that nobody drives, with who did last."""
        rows = [row for row in rows if row.state not in RUN_STATES_CLOSED]
        with ThreadPoolExecutor(READ_THREADS) as pool:
            drivers = zip(rows, pool.map(self.driver, rows), strict=True)
            return {row.run: driver for row, driver in drivers if driver is not None and not driver.is_driving}

    def times(self, run: str, known: dict[str, tuple[AttemptTimes, ...]] | None = None) -> Times:
        """The times that Nomad told of each attempt that was kept. `known` holds what was read before, by its key, and takes
        what is read now. Raises StoreError."""
        known, home = {} if known is None else known, self._app.home
        keys = [key for key in kept_keys(home, run) if key not in known]
        with ThreadPoolExecutor(READ_THREADS) as pool:
            read = pool.map(lambda key: tuple(map(attempt_times, read_kept(home, key))), keys)
            known.update(zip(keys, read, strict=True))
        return together(chain.from_iterable(known.values()))

    def timeline(self, story: RunStory, times: Times) -> Timeline:
        """Tells when each attempt of a run waited and computed."""
        committed: dict[Pair, str] = {}
        for result in story.results:
            pair = (result.slot, result.attempt)
            committed[pair] = max(committed.get(pair, ""), result.created)
        regions, manifest = self._app.config.regions, story.manifest
        prices = {name: regions[name].price_per_hour if name in regions else None for name in manifest.regions}
        entries = zip((entry.time for entry in story.entries), story.changes, strict=True)
        return timeline(entries, committed, times.values(), prices)

    def time_spent(self, story: RunStory, timeline: Timeline, times: Times) -> TimeSpent:
        """Tells where the time of all slots went; of an open run until now."""
        recorded = {(row.slot, row.attempt): Recorded(row.created, row.committed) for row in story.results}
        unbound = sum(not slot.attempts for slot in story.slots)
        now_s = datetime.now(UTC).timestamp() if story.state == OPEN else None
        return where_time_went(
            timeline.spans,
            times,
            recorded,
            begun_s=timeline.begun_s,
            opened=story.manifest.created,
            unbound=unbound,
            until_s=now_s,
        )

    def find(self, run: str) -> RunRow:
        """Finds the run that was opened and that `run` means (`federation.index.lookup.run_named`). Raises UsageError."""
        chosen = run_named(self._app.index, run)
        rows = self._app.index.runs(run=chosen)
        if not rows:
            raise UsageError(
                f"run {chosen} was not dispatched by fedml", hint=f"its results: fedml index list --run {chosen}"
            )
        return rows[0]

    def manifest(self, run: str) -> Manifest:
        """Reads a run's manifest. Raises UsageError where it has none (it crashed before that was written), IndexCorrupt where
        that was lost."""
        try:
            return read_manifest(self._app.home, run)
        except NotFound:
            self._refuse_lost_manifest(run)
            closed = next((row for row in self._app.index.runs(run=run) if row.state in RUN_STATES_CLOSED), None)
            end = f", and is {closed.state}{f' ({closed.reason})' if closed.reason else ''}" if closed else ""
            raise UsageError(
                f"run {run} has no manifest: it was interrupted before anything was dispatched{end}",
                hint="dispatch again" if closed else f"dispatch again; to close this one:  fedml runs cancel {run}",
            ) from None

    def _refuse_lost_manifest(self, run: str) -> None:
        if was_driven(self._app.home, run) or self._app.index.won(run):
            raise IndexCorrupt(
                f"the manifest of run {run} is gone ({self._app.home.url_of(RunKeys(run).manifest)})",
                hint="restore it from the bucket's version history or a copy; the run's results are in the index and in "
                "their stores: fedml index list --run " + run,
            )

    def log_of(self, run: str) -> Log:
        return run_log(self._app.home, run, author=default_author())

    def is_unstarted(self, run: str) -> bool:
        """Whether the run was interrupted before it had a manifest. Raises IndexCorrupt for one that has lost it."""
        try:
            self._app.home.stat(RunKeys(run).manifest)
        except NotFound:
            self._refuse_lost_manifest(run)
            return True
        return False


def replay_of(changes: Iterable[Sequence[Read]], results: Sequence[Row]) -> list[Event]:
    """The events that bring a brain to where the run stands."""
    events: list[Event] = [Appended(tuple(entry), is_replay=True) for entry in changes]
    events.append(Resumed({Key(row.run, row.slot, row.group, row.index): row.attempt for row in results}))
    return events
