"""Runs are named by their id or a prefix of it that no other run has. Those without results are done by their log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from federation.app import App
from federation.config.load import load
from federation.errors import UsageError
from federation.home import RunKeys, run_log
from federation.run.brain.changes import Ack, Bind, Change, Done
from federation.workflows.runs import Runs
from regions.storage.store import Create
from tests.federation.run.brain.world import MANIFEST

IDS = ("01a21030-aaaa", "01a21030-bbbb", "01a21031-cccc")


def found(prefix: str) -> str:
    rows = [SimpleNamespace(run=run) for run in (*IDS, "01a21031")]
    app: Any = SimpleNamespace(index=SimpleNamespace(runs=lambda: rows))
    return Runs(app).find(prefix).run


def test_a_prefix_is_enough_and_a_whole_id_is_itself_even_where_others_begin_with_it() -> None:
    assert found("01a21030-a") == IDS[0]
    assert found(IDS[1]) == IDS[1]
    assert found("01a21031") == "01a21031"


def test_an_unknown_run_and_a_prefix_of_several() -> None:
    with pytest.raises(UsageError, match="the index knows no run 'ffff'") as unknown:
        found("ffff")
    assert "fedml runs list" in unknown.value.hint
    with pytest.raises(UsageError, match=f"2 runs begin with '01a21030': {IDS[0]}, {IDS[1]}") as several:
        found("01a21030")
    assert "more of the id" in several.value.hint


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
