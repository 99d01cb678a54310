"""Follows a run that another process drives and prints the same progress lines.

Reads only the home store: the run log for bindings and attempts, the index for results and the end. Writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from federation.app import App
from federation.index.rows import RUN_STATES_CLOSED, RunRow
from federation.log import Log
from federation.run.brain.changes import problem_of
from federation.run.brain.commands import Tell
from federation.workflows.runs import Runs

LOOK_S = 1.0


def spectate(app: App, run: str, observe: Callable[[Tell], None], *, pause_s: float = LOOK_S) -> RunRow:
    """Prints what happened to the run so far and what happens, until it is over. Returns its row. Raises UsageError.

    Nothing happens while nobody drives the run. Ctrl-C ends the following and changes nothing.
    """
    runs = Runs(app)
    log = Log(app.home, f"runs/{runs.find(run).run}/log/")
    teller = _Teller()
    shown: set[tuple[int, str, int]] = set()
    while True:
        row = runs.find(run)  # before the rest: what a closed run holds is complete
        for entry in log.refresh():
            for change in entry.changes:
                if (tell := teller(change)) is not None:
                    observe(tell)
        for result in app.index.won(row.run):
            key = (result.slot, result.group, result.index)
            if key not in shown:
                shown.add(key)
                observe(Tell("committed", result.region, result.slot, result.attempt, result.alloc_id))
        if row.state in RUN_STATES_CLOSED:
            return row
        time.sleep(pause_s)


class _Teller:
    """Turns run log changes into a coordinator's progress lines. Remembers where each attempt is."""

    def __init__(self) -> None:
        self._regions: dict[tuple[int, int], str] = {}

    def __call__(self, change: Mapping[str, Any]) -> Tell | None:
        kind = change.get("type")
        if kind == "cancel":
            return Tell("cancel", detail=str(change.get("reason", "")))
        if kind not in ("bind", "ack", "fail") or problem_of(dict(change)):
            return None
        pair = (int(change["slot"]), int(change["attempt"]))
        if kind == "bind":
            self._regions[pair] = str(change["region"])
            return Tell("bound", self._regions[pair])
        region = self._regions.get(pair, "")
        if kind == "ack":
            return Tell("dispatched", region, *pair, str(change["job_id"]))
        return Tell("failed", region, *pair, str(change.get("reason", "")))
