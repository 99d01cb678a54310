"""One reading of a run for all who view it: its log is read on from where it ended, and the rest only when it has changed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar, cast

from federation.index.rows import OPEN, RunRow
from federation.log import Entry
from federation.run.attempt_times import AttemptTimes
from federation.run.time_spent import TimeSpent
from federation.run.timeline import Timeline
from federation.web.shared import Known
from federation.web.site import Site
from federation.workflows.run_glance import Children, RunGlance, children, glance, slot_state
from federation.workflows.run_reader import RunStory
from jobs.errors import FedmlError

LOOK_S = 1.5
"""So often at most is a viewed run looked at."""
CHILDREN_EVERY_S = 5.0
CLOCK_S = 5.0
"""What changes by time alone (where the time went, time left, who drives) is this old at most."""
SETTLES_S = 60.0
"""Logs and histories of a run that is over may come so much later."""
MEMO_MAX = 64
RUN_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")

T = TypeVar("T")


@dataclass(frozen=True)
class RunNow:
    """A run as it stood at one moment, with what was worked out of it once for all viewers."""

    row: RunRow
    story: RunStory
    timeline: Timeline
    spent: TimeSpent
    glance: RunGlance
    states: tuple[str, ...]
    """How each slot stands (`slot_state`)."""
    silent: Mapping[str, str]
    """Regions that don't say how their children stand, and why."""
    version: Hashable
    at_s: float
    memo: dict[Hashable, object] = field(default_factory=dict, compare=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Works something out once for all viewers."""
        missing = object()
        found = self.memo.get(key, missing)
        if found is missing:
            found = make()
            if len(self.memo) >= MEMO_MAX:
                self.memo.clear()
            self.memo[key] = found
        return cast("T", found)


class RunFollower:
    """Follows one run. Used by one thread at a time (`Shared`)."""

    def __init__(self, site: Site, run: str) -> None:
        self._site = site
        self._run = run
        self._manifest = site.runs.manifest(run)
        self._log = site.runs.log_of(run)
        self._entries: list[Entry] = []
        self._kept: dict[str, tuple[AttemptTimes, ...]] = {}
        self._now: RunNow | None = None
        self._read_s = 0.0

    def look(self) -> RunNow:
        """The run as it stands. The same object as before where nothing has changed. Raises FedmlError."""
        row = next(iter(self._site.app.index.runs(run=self._run)), None) or self._site.runs.find(self._run)
        self._entries += self._log.refresh()
        now, at_s = self._now, time.time()
        is_stale = at_s - self._read_s > CLOCK_S and _may_change(row, at_s)
        if now is None or len(self._entries) != len(now.story.entries) or row != now.row or is_stale:
            now = self._read(row, at_s)
        self._now = now = self._with_children(now)
        return now

    def _read(self, row: RunRow, at_s: float) -> RunNow:
        runs = self._site.runs
        old = self._now
        if old is not None and old.row == row and len(old.story.entries) == len(self._entries):
            story = replace(old.story, driver=runs.driver(row))
        else:
            story = runs.story_of(row, self._manifest, tuple(self._entries))
        times = runs.times(self._run, self._kept)
        timeline = runs.timeline(story, times)
        self._read_s = at_s
        return RunNow(
            row,
            story,
            timeline,
            runs.time_spent(story, timeline, times),
            glance(story, timeline, at_s),
            (),
            {},
            (len(self._entries), row, round(at_s / CLOCK_S) if _may_change(row, at_s) else 0),
            at_s,
        )

    def _with_children(self, now: RunNow) -> RunNow:
        is_over = now.story.state != OPEN
        alive, silent = ({}, {}) if is_over else self._children(now.story)
        states = tuple(slot_state(slot, alive, is_over=is_over) for slot in now.story.slots)
        if states == now.states and silent == now.silent:
            return now
        version = (*cast("tuple[object, ...]", now.version)[:3], hash(states), tuple(silent))
        return replace(now, states=states, silent=silent, version=version, memo={})

    def _children(self, story: RunStory) -> tuple[dict[str, Children | None], dict[str, str]]:
        """What each region says of its children; of one that doesn't answer nothing, and why."""
        wanted = {
            slot.last.region
            for slot in story.slots
            if slot.last is not None and slot.last.is_open and slot.last.region in self._site.app.config.regions
        }
        with ThreadPoolExecutor(max(1, len(wanted))) as pool:
            asked = {region: pool.submit(self._said, region, story.manifest.parent_id) for region in wanted}
        said = {region: future.result() for region, future in asked.items()}
        alive = {region: None if isinstance(one, str) else one for region, one in said.items()}
        return alive, {region: one for region, one in sorted(said.items()) if isinstance(one, str)}

    def _said(self, region: str, parent_id: str) -> Children | str:
        def read() -> Children | str:
            try:
                return children(self._site.app, region, parent_id)
            except FedmlError as error:
                return error.message

        return self._site.shared.get(("children", region, parent_id), read, max_age_s=CHILDREN_EVERY_S).value


def run_meant(site: Site, named: str) -> str:
    """The ID of the run that an address names. A whole ID is looked up once: it means the same run for ever."""
    if not RUN_ID.fullmatch(named):
        return site.runs.find(named).run
    return site.shared.get(("run ID", named), lambda: site.runs.find(named).run, max_age_s=float("inf")).value


def run_now(site: Site, run: str) -> Known[RunNow]:
    """The run as it stands. `run` is its whole ID. Raises FedmlError where it was never read."""
    follower = site.shared.get(("follower", run), lambda: RunFollower(site, run), max_age_s=float("inf")).value
    return site.shared.get(("run", run), follower.look, max_age_s=LOOK_S)


def _may_change(row: RunRow, at_s: float) -> bool:
    """Whether time alone may change what is shown of the run."""
    if row.state == OPEN:
        return True
    try:
        return at_s - datetime.fromisoformat(row.closed).timestamp() < SETTLES_S
    except ValueError:
        return False
