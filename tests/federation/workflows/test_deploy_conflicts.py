"""Other people's open runs of a job that a deployment would change; and the end of an isolated run's own job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from federation.deploy.prepare import PreparedJob
from federation.errors import RunInTheWay
from federation.home import RunKeys
from federation.manifest import Manifest
from federation.workflows.deploy_conflicts import end_isolation, make_way, runs_in_the_way
from jobs.spec import JobShape
from regions.errors import NotFound as NotFoundInRegion
from tests.federation.conftest import MemoryStore
from tests.federation.run.brain.world import MANIFEST

SHAPE = JobShape(MANIFEST.job, (), (), "optional", "version", {"g": 1}, {"g": 1})
PREPARED = PreparedJob(Path("x"), SHAPE, "another spec", {"us": {}, "eu": {}})


class Client:
    def __init__(self, name: str) -> None:
        self.name = name
        self.purged: list[str] = []

    def stop_job(self, job_id: str, *, purge: bool = False) -> None:
        if job_id in self.purged:
            raise NotFoundInRegion("gone", region=self.name)
        assert purge
        self.purged.append(job_id)


class App:
    """An index and a home store with these open runs."""

    def __init__(self, *manifests: Manifest, without: str = "") -> None:
        self.home = MemoryStore()
        for one in manifests:
            self.home.put(RunKeys(one.run).manifest, one.to_json())
        rows = [SimpleNamespace(run=one.run, expected_keys=one.expected_keys, committed=2) for one in manifests]
        rows += [SimpleNamespace(run=without, expected_keys=1, committed=0)] if without else []
        self.index = SimpleNamespace(runs=lambda job, state: rows if (job, state) == (MANIFEST.job, "open") else [])
        self.clients = {name: Client(name) for name in MANIFEST.regions}

    def client(self, name: str) -> Client:
        return self.clients[name]


def way(app: Any, *changing: str, prepared: PreparedJob = PREPARED, **how: bool) -> list[str]:
    told: list[str] = []
    make_way(app, prepared, changing, told.append, **({"wait": False, "force": False} | how))
    return told


def test_a_run_is_in_the_way_where_its_job_would_be_another() -> None:
    app: Any = App(MANIFEST, without="crashed-before-its-manifest")
    (found,) = runs_in_the_way(app, PREPARED, ["us", "mars"])
    assert found.regions == ("us",)
    assert f"run {MANIFEST.run} of {MANIFEST.author}" in str(found)
    assert f"{MANIFEST.expected_keys - 2} of {MANIFEST.expected_keys} results are missing" in str(found)
    assert runs_in_the_way(app, PREPARED, ["mars"]) == []
    assert runs_in_the_way(app, replace(PREPARED, spec_hash=MANIFEST.spec_hash), ["us"]) == []
    assert runs_in_the_way(app, replace(PREPARED, parent="train-12345678"), ["us"]) == []


def test_it_is_refused_or_not_heeded() -> None:
    app = App(MANIFEST, replace(MANIFEST, run="second"))
    with pytest.raises(RunInTheWay, match=r"would change under another run's open slots: run .*; and 1 more") as caught:
        way(app, "us")
    assert all(flag in caught.value.hint for flag in ("--wait", "--isolate", "--force", "fedml runs cancel"))
    assert [line.split(": ")[0] for line in way(app, "us", force=True)] == ["Ignored (--force)", "Ignored (--force)"]
    assert way(app) == []


def test_a_run_that_is_waited_for_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.workflows.deploy_conflicts.WAIT_S", 0.0)
    app = App(MANIFEST)
    answers = [app.index.runs(MANIFEST.job, "open")] * 2
    app.index = SimpleNamespace(runs=lambda job, state: answers.pop() if answers else [])
    assert [line.split(": ")[0] for line in way(app, "us", wait=True)] == ["Waiting"]


def test_an_isolated_runs_job_is_removed_by_the_last_run_that_has_it() -> None:
    alone = replace(MANIFEST, parent="train-5ec5ec5e")
    app: Any = App(alone, replace(alone, run="second"))
    end_isolation(app, alone, alone.regions)
    assert [one.purged for one in app.clients.values()] == [[], [], []]
    app = App(alone, replace(MANIFEST, run="second"))
    end_isolation(app, alone, alone.regions)
    end_isolation(app, MANIFEST, MANIFEST.regions)
    assert [one.purged for one in app.clients.values()] == [["train-5ec5ec5e"]] * 3
