"""Follows a run that another process drives and prints the same progress lines.

Reads only the home store: the run log for bindings and attempts, the index for results and the end. Writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from federation.app import App
from federation.home import run_log
from federation.index.rows import RUN_STATES_CLOSED, RunRow
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Ack, Bind, Cancel, Fail, Read, Trouble, parse_entry
from federation.run.brain.commands import Tell, TellKind
from federation.run.slot_inputs import naming, parameters_of
from federation.workflows.runs import Runs

LOOK_S = 1.0


def follow_run(app: App, run: str, observe: Callable[[Tell], None]) -> RunRow:
    """Prints what happened to the run so far and what happens, until it is over. Returns its row. Raises UsageError.

    Nothing happens while nobody drives the run. Ctrl-C ends the following and changes nothing.
    """
    runs = Runs(app)
    run = runs.find(run).run  # once: what `last` means may change meanwhile
    log = run_log(app.home, run)
    teller = _Teller()
    observe = naming(observe, parameters_of(runs.manifest(runs.find(run).run), app.home))
    shown: set[tuple[int, str, int]] = set()
    driver = runs.driver(runs.find(run))
    if driver is not None and not driver.is_driving:
        observe(Tell("run", detail=driver.remedy(runs.find(run).run)))
    while True:
        row = runs.find(run)  # before the rest: what a closed run holds is complete
        for entry in log.refresh():
            for change in parse_entry(entry.changes):
                if (tell := teller(change)) is not None:
                    observe(tell)
        for result in app.index.won(row.run):
            key = (result.slot, result.group, result.index)
            if key not in shown:
                shown.add(key)
                observe(Tell("committed", result.region, result.slot, result.attempt, result.alloc_id))
        if row.state in RUN_STATES_CLOSED:
            return row
        time.sleep(LOOK_S)


class _Teller:
    """Turns run log changes into a coordinator's progress lines. Remembers where each attempt is."""

    def __init__(self) -> None:
        self._regions: dict[tuple[int, int], str] = {}

    def __call__(self, change: Read) -> Tell | None:
        match change:
            case Cancel():
                return Tell("cancel", detail=change.reason)
            case Bind():
                self._regions[change.slot, change.attempt] = change.region
                return Tell("bound", change.region)
            case Ack():
                return Tell("dispatched", self._region(change), change.slot, change.attempt, change.job_id)
            case Fail():
                kind: TellKind = "stopped" if change.cause is Cause.RULE else "failed"
                return Tell(kind, self._region(change), change.slot, change.attempt, change.reason)
            case Trouble() if change.detail:
                return Tell("failing", self._region(change), change.slot, change.attempt, change.detail)
        return None

    def _region(self, change: Ack | Fail | Trouble) -> str:
        return self._regions.get((change.slot, change.attempt), "")
