"""The bytes of every change of a run log: what a brain decides is written as it always was, and read again as the same."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from federation.log import Log
from federation.run.brain import commands as cmd
from federation.run.brain import events as ev
from federation.run.brain.brain import Brain
from federation.run.brain.causes import Cause
from federation.run.brain.changes import Change, Done, Fail, Measure, Rebind, Retry, Trouble, parse, parse_entry
from regions.model import Allocation, StoreConfig
from regions.storage import open_store
from tests.federation.run.brain.world import MANIFEST

FIXTURE = Path(__file__).parent / "fixtures" / "run_log_changes.json"
"""Entries of a run log that holds every change, as they were written before changes had types of their own."""
ROOT = Path(__file__).parents[4]
CANARY = replace(MANIFEST, slots=3, canary=1, results="adopt")


def decided(canary_on_failure: str) -> list[tuple[Change, ...]]:
    """The changes of the entries that a brain writes in a run that ends by its canary's failure, or a cancel."""
    brain = Brain(replace(CANARY, canary_on_failure=canary_on_failure))
    log: list[tuple[Change, ...]] = []

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


def by_hand() -> list[tuple[Change, ...]]:
    """The changes that commands write: `runs retry` and `runs rebind`."""
    return [(Retry((0, 2)),), (Rebind("eu"),)]


def without_results() -> list[tuple[Change, ...]]:
    """What a run without results writes besides."""
    return [(Done(1, 2, "model", 0),)]


def by_rules() -> list[tuple[Change, ...]]:
    """What a run with `--keep-best` and `--stop-when` writes besides."""
    reached = [Measure.of(0, 1, 0.25), Measure.of(1, 2, float("nan")), Measure.of(2, 1, float("inf"))]
    return [(*reached, Fail(1, 2, Cause.RULE, "--keep-best 1: loss is nan at step 5, and better in 1 other slot"))]


def written(folder: Path) -> list[str]:
    """The log's entries, byte by byte."""
    home = open_store(StoreConfig(f"file://{folder}/home"))
    log = Log(home, "runs/r/log/", author="tester", clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    with patch("federation.log.log.secrets.token_hex", lambda size_bytes: "0" * 2 * size_bytes):
        for changes in [*decided("local"), *decided("all"), *by_hand(), *without_results(), *by_rules()]:
            log.append([change.to_json() for change in changes], reason="run")
    return [home.get(info.key).decode() for info in home.list("runs/r/log/")]


def test_every_change_is_written_in_the_same_bytes_as_ever(tmp_path: Path) -> None:
    kept = json.loads(FIXTURE.read_text())
    assert written(tmp_path) == kept
    kinds = {change["type"] for entry in kept for change in json.loads(entry)["changes"]}
    assert kinds == {"bind", "ack", "fail", "cancel", "halt", "exclude", "rebind", "retry", "alloc", "done", "measure"}


def test_what_is_read_from_the_log_is_what_was_written() -> None:
    """The bytes again, from what was parsed; and no change of them is passed over."""
    for entry in map(json.loads, json.loads(FIXTURE.read_text())):
        read = parse_entry(entry["changes"])
        assert (
            json.loads(json.dumps([change.to_json() for change in read if isinstance(change, Change)]))
            == entry["changes"]
        )


def test_a_trouble_is_read_as_it_was_written() -> None:
    for change in (Trouble(3, 1, "task t: Missing", "task t: Missing; Nomad restarts it"), Trouble(3, 1, "", "")):
        assert parse(json.loads(json.dumps(change.to_json()))) == change


def test_a_run_log_s_changes_are_read_in_one_module() -> None:
    """The index keeps a log of its own, whose changes are others."""
    names = "type|slot|attempt|region|cause|reason|job_id|slots|revert"
    reads = re.compile(rf"""change(?:\[|\.get\()["'](?:{names})["']""")
    paths = [path.relative_to(ROOT).as_posix() for path in (ROOT / "federation").rglob("*.py")]
    found = {path for path in paths if "index" not in path and reads.search((ROOT / path).read_text())}
    assert found == {"federation/run/brain/changes.py"}
