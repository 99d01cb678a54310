"""Runs without results are done by their log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from federation.app import App
from federation.config.load import load
from federation.errors import UsageError
from federation.home import RunKeys, run_log
from federation.run.brain.changes import Ack, Bind, Change, Done
from federation.workflows.runs import Runs
from regions.storage.store import Create
from tests.federation.run.brain.world import MANIFEST

TOML = """
[federation]
home = "file://./home"
results = "none"

[regions.us]
addresses = ["http://127.0.0.1:9"]
store = "file://./us"
[regions.us.datacenters.dc1]
"""


@pytest.mark.parametrize("ends", [3, 2])
def test_a_run_without_results_is_done_as_far_as_its_log_says(tmp_path: Path, ends: int) -> None:
    (tmp_path / "fedml.toml").write_text(TOML)
    app = App(load(tmp_path))
    manifest = replace(MANIFEST, slots=3, regions=("us",), results="none")
    app.index.open_run(manifest.run, manifest.job, "4", "5pec", 3, 0)
    app.home.put(RunKeys(manifest.run).manifest, manifest.to_json(), Create())
    changes: list[Change] = [Bind(slot, 1, "us") for slot in range(3)]
    changes += [Ack(slot, 1, f"train/dispatch-{slot}") for slot in range(3)]
    changes += [Done(slot, 1, "model", 0) for slot in range(ends)]
    run_log(app.home, manifest.run, author="ann").append([change.to_json() for change in changes], reason="run")
    app.index.close_run(manifest.run, "done" if ends == 3 else "failed")
    runs = Runs(app)
    story = runs.story(manifest.run)
    assert [slot.state for slot in story.slots] == ["done"] * ends + ["open"] * (3 - ends)
    assert [len(slot.committed) for slot in story.slots] == [1] * ends + [0] * (3 - ends)
    assert runs.find(manifest.run).results == "-"
    if ends < 3:
        assert runs.retry(manifest.run) == (2,)
    else:
        with pytest.raises(UsageError, match="has failed"):
            runs.retry(manifest.run)
