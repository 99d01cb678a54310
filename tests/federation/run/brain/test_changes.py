"""The bytes of every change of a run log: what a brain decides is written as it always was, and read again as the same."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from federation.log import Log
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from regions.model import Allocation, StoreConfig
from regions.storage import open_store
from tests.federation.run.brain.world import MANIFEST

FIXTURE = Path(__file__).parent / "fixtures" / "run_log_changes.json"
"""Entries of a run log that holds every change, as they were written before changes had types of their own."""
CANARY = replace(MANIFEST, slots=3, canary=1, results="adopt")


def decided(canary_on_failure: str) -> list[Any]:
    """The changes of the entries that a brain writes in a run that ends by its canary's failure, or a cancel."""
    brain = Brain(replace(CANARY, canary_on_failure=canary_on_failure))
    log: list[Any] = []

    def step(*events: ev.Event) -> None:
        for event in events:
            for command in brain.step(event):
                if isinstance(command, cmd.Append):
                    log.append(command.changes)
                    step(ev.Appended(command.changes))

    step(ev.Tick(1.0), *(ev.RegionProbed(name, 1) for name in MANIFEST.regions))
    step(ev.ParentChecked("us", MANIFEST.spec_hash), ev.Acknowledged(0, 1, "train/dispatch-1"))
    running = Allocation("a-1", "train/dispatch-1", "model", 0, "n", "n-1", "running", "run")
    step(ev.AllocationChanged("us", running))
    failed = replace(running, client_status="failed")
    step(ev.ChildInspected(0, 1, "dead", (failed,), "it said “no”"), ev.Looked(0, 1, "", ()))
    step(ev.CancelRequested("enough"))
    return log


def by_hand() -> list[Any]:
    """The changes that commands write: `runs retry` and `runs rebind`."""
    return [({"type": "retry", "slots": [0, 2]},), ({"type": "rebind", "region": "eu"},)]


def written(folder: Path) -> list[str]:
    """The log's entries, byte by byte."""
    home = open_store(StoreConfig(f"file://{folder}/home"))
    log = Log(home, "runs/r/log/", author="tester", clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    with patch("federation.log.secrets.token_hex", lambda size_bytes: "0" * 2 * size_bytes):
        for changes in [*decided("local"), *decided("all"), *by_hand()]:
            log.append(as_json(changes), reason="run")
    return [home.get(info.key).decode() for info in home.list("runs/r/log/")]


def as_json(changes: Any) -> list[Any]:
    return list(changes)


def test_every_change_is_written_in_the_same_bytes_as_ever(tmp_path: Path) -> None:
    kept = json.loads(FIXTURE.read_text())
    assert written(tmp_path) == kept
    kinds = {change["type"] for entry in kept for change in json.loads(entry)["changes"]}
    assert kinds == {"bind", "ack", "fail", "cancel", "halt", "exclude", "rebind", "retry", "alloc"}
