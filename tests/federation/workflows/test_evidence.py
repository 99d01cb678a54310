"""What `sync` and `rebuild` believe of records in the stores: by manifest, run log, fedml.toml, the index and Nomad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from federation.app import App
from federation.config.load import load
from federation.home import RunKeys
from federation.index.maintenance.rebuild import plan_rebuild
from federation.index.maintenance.sync import apply_sync, plan_sync
from federation.index.stores import Stores
from federation.log import Log
from federation.result import Key, ResultFile, ResultRecord, manifest_sha256
from federation.workflows.evidence import Evidence
from federation.workflows.index_rebuild import logged_end
from regions.errors import NotFound, RegionUnreachable
from regions.model import Allocation, Region
from tests.federation.run.brain.world import MANIFEST

TOML = """
[federation]
home = "file://./home"
[regions.us]
addresses = ["http://127.0.0.1:9"]
datacenters.a = { store = "file://./us" }
[regions.eu]
addresses = ["http://127.0.0.1:9"]
datacenters.a = { store = "file://./eu" }
"""
RUN = replace(MANIFEST, run="0193-run", slots=2, groups={"model": 1}, regions=("us",), meta={"lr": "0.1"})
CHILD = "train/dispatch-1"


class World:
    """A project, its home and stores, and what Nomad says of children (None: it doesn't answer)."""

    def __init__(self, root: Path) -> None:
        (root / "fedml.toml").write_text(TOML)
        self.app = App(load(root / "fedml.toml"))
        self.stores = Stores(self.app.config.regions)
        self.children: dict[str, Mapping[str, Any]] | None = None
        self.allocations: list[Allocation] = []
        self.asked = 0

    def open(self, *, has_manifest: bool = True) -> None:
        self.app.index.open_run(RUN.run, RUN.job, RUN.version, RUN.spec_hash, RUN.slots, RUN.expected_keys)
        self.app.index.close_run(RUN.run, "failed")
        if has_manifest:
            self.app.home.put(RunKeys(RUN.run).manifest, RUN.to_json())
            changes = [
                {"type": "bind", "slot": 0, "attempt": 1, "region": "us"},
                {"type": "ack", "slot": 0, "attempt": 1, "job_id": CHILD},
                {"type": "bind", "slot": 1, "attempt": 1, "region": "us"},
            ]
            Log(self.app.home, f"runs/{RUN.run}/log/", author="ann").append(changes)

    def publish(self, *, into: str = "us", **changes: Any) -> ResultRecord:
        data = b"model"
        files = (ResultFile("model.bin", len(data), "a" * 64),)
        store = self.app.store(self.app.config.regions[into].datacenters["a"].store)
        fields: dict[str, Any] = {
            "key": Key(RUN.run, 0, "model", 0), "attempt": 1, "job": "train", "version": "4", "spec_hash": "5ec",
            "region": "us", "datacenter": "a", "node": "n-1", "alloc_id": "alloc-1", "job_id": CHILD,
            "store": self.app.config.regions["us"].datacenters["a"].store.url, "manifest_sha256": manifest_sha256(files),
            "files": files, "created": "2026-01-01T00:00:00Z", "params": {"lr": "0.1"},
        }  # fmt: skip
        record = ResultRecord(**(fields | changes))
        if record.prefix is None:
            store.put(record.artifact_prefix + "model.bin", data)
        store.put(record.key.record_key(record.alloc_id), record.to_json())
        return record

    def plain(self, **changes: Any) -> ResultRecord:
        """A record of a child that plain Nomad started."""
        return self.publish(key=Key("nomad:us:train~2Fdispatch-1", 0, "model", 0), **changes)

    def sync(self) -> Any:
        return plan_sync(
            self.app.index, self.stores.of, self.stores.names, Evidence(self.app, self.app.index.runs()).refusal
        )

    def rebuild(self) -> Any:
        for info in list(self.app.home.list("index/")):
            self.app.home.delete(info.key)
        return plan_rebuild(
            self.app.home,
            self.app.config.root / "nowhere",
            self.stores.of,
            self.stores.names,
            partial(logged_end, self.app.home),
            Evidence(self.app).refusal,
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path)

    class Nomad:
        def __init__(self, region: Region, **_: object) -> None:
            self.region = region

        def job(self, job_id: str) -> Mapping[str, Any]:
            made.asked += 1
            if made.children is None:
                raise RegionUnreachable("silent", region=self.region.name)
            if job_id not in made.children:
                raise NotFound("gone", region=self.region.name)
            return made.children[job_id]

        def allocations(self, *, job_id: str) -> tuple[list[Allocation], int]:
            return [one for one in made.allocations if one.job_id == job_id], 1

        def close(self) -> None: ...

    monkeypatch.setattr("regions.nomad.client.NomadRegion", Nomad)
    yield made
    made.app.close()


def only_problem(plan: Any) -> str:
    assert (getattr(plan, "commit", []), getattr(plan, "results", 0)) == ([], 0)
    found = plan.problems if hasattr(plan, "problems") else plan.found.problems
    (problem,) = found
    assert problem.kind == "record-differs"
    return str(problem.what)


@pytest.mark.parametrize("way", ["sync", "rebuild"])
def test_a_record_that_the_run_refused_is_not_taken_afterwards(world: World, way: str) -> None:
    world.open()
    world.publish(node="another")
    reason = "NoResult: its record says node 'another'; Nomad has 'n-1'"
    failed = {"type": "fail", "slot": 0, "attempt": 1, "cause": "no result", "reason": reason}
    Log(world.app.home, f"runs/{RUN.run}/log/", author="ann").append([failed])
    assert reason in only_problem(getattr(world, way)())


@pytest.mark.parametrize("remedy", ["", "; end the task with  fedml publish DIR"])
def test_a_record_of_an_attempt_that_seemed_to_publish_nothing_is_taken(world: World, remedy: str) -> None:
    world.open()
    record = world.publish()
    reason = f"NoResult: it completed and published nothing{remedy}"
    failed = {"type": "fail", "slot": 0, "attempt": 1, "cause": "no result", "reason": reason}
    odd = [{"type": "bind", "slot": [], "attempt": 1}, {"type": "fail", "slot": 0, "attempt": 1}, {"type": "ack"}]
    Log(world.app.home, f"runs/{RUN.run}/log/", author="ann").append([*odd, failed])
    assert [one.alloc_id for one in world.sync().commit] == [record.alloc_id]


LIES: list[tuple[dict[str, Any], str]] = [
    ({"job": "sales", "version": "99"}, "says job 'sales'; run 0193-run has 'train'"),
    ({"version": "9999999999999999999"}, "says version '9999999999999999999'"),
    ({"spec_hash": "another"}, "says spec hash 'another'"),
    ({"region": "eu"}, "says store "),
    ({"datacenter": "z"}, "says datacenter 'z'"),
    ({"key": Key(RUN.run, 7, "model", 0)}, "says slot 7"),
    ({"key": Key(RUN.run, 0, "other", 0)}, "says group 'other'"),
    ({"key": Key(RUN.run, 0, "model", 7)}, "says index 7; the manifest has 1 of group 'model'"),
    ({"attempt": 40}, "says attempt 40; the run log has 1"),
    ({"job_id": "train/dispatch-9"}, "says child 'train/dispatch-9'; the run log has 'train/dispatch-1'"),
    ({"params": {"lr": "7"}}, "says parameter lr '7'; the dispatch gave '0.1'"),
    ({"prefix": "results/"}, "says prefix 'results/'"),
    ({"store": "file:///elsewhere", "prefix": "x/"}, "says store 'file:///elsewhere'"),
    ({"into": "eu"}, "it was found in "),
]


def test_an_honest_record_is_taken_by_sync_and_by_rebuild(world: World) -> None:
    world.open()
    record = world.publish()
    plan = world.sync()
    assert (plan.commit, plan.problems) == ([record], [])
    assert apply_sync(world.app.index, world.stores.of, plan) == {"alloc-1": "added"}
    rebuilt = world.rebuild()
    assert (rebuilt.results, rebuilt.found.problems) == (1, [])


@pytest.mark.parametrize("how", ["sync", "rebuild"])
@pytest.mark.parametrize(("lie", "told"), LIES)
def test_a_lie_is_listed_as_a_problem_and_not_taken(world: World, how: str, lie: dict[str, Any], told: str) -> None:
    world.open()
    world.publish(**lie)
    assert told in only_problem(getattr(world, how)())


def test_the_store_that_a_refused_record_names_is_not_opened(world: World) -> None:
    world.open()
    world.publish(store="file:///elsewhere", prefix="x/")
    opened: list[str] = []

    def open_store(url: str, _result: object = None) -> Any:
        opened.append(url)
        return world.stores.of(url)

    plan_sync(world.app.index, open_store, world.stores.names, Evidence(world.app, world.app.index.runs()).refusal)
    assert sorted(opened) == world.stores.names


def test_a_copy_in_another_store_is_one_only_of_the_same_record(world: World) -> None:
    world.open()
    record = world.publish()
    world.publish(into="eu")
    plan = world.sync()
    assert plan.commit == [record]
    assert [name for _, name in plan.locate] == [world.stores.names[0]]
    world.publish(into="eu", metrics={"auc": 1.0})
    plan = world.sync()
    assert (plan.commit, plan.locate) == ([record], [])


def test_a_child_that_the_log_names_not_is_asked_of_nomad(world: World) -> None:
    world.open()
    record = world.publish(job_id="train/dispatch-2")
    world.children = {"train/dispatch-2": {"Meta": RUN.own_meta(0, 1)}}
    assert world.sync().commit == [record]
    world.children = {"train/dispatch-2": {"Meta": RUN.own_meta(1, 1)}}
    assert "the run log has 'train/dispatch-1'" in only_problem(world.sync())


def test_a_run_without_a_manifest_is_held_against_what_the_index_reserved(world: World) -> None:
    world.open(has_manifest=False)
    record = world.publish()
    assert world.sync().commit == [record]
    world.publish(version="5")
    assert "says version '5'; run 0193-run has '4'" in only_problem(world.sync())
    world.publish(job="sales", job_id="sales/dispatch-1")
    assert "says job 'sales'; run 0193-run has 'train'" in only_problem(world.sync())


def test_sync_takes_nothing_of_a_run_that_nobody_knows(world: World) -> None:
    world.open()
    world.publish(key=Key("invented", 0, "model", 0), version="99")
    assert "says run 'invented', which neither the index nor a manifest knows" in only_problem(world.sync())


def test_rebuild_takes_a_run_whose_manifest_is_lost_by_its_place_and_childs_name(world: World) -> None:
    world.publish()
    assert world.rebuild().results == 1
    world.publish(job="sales")
    assert "says job 'sales'; its child is of job 'train'" in only_problem(world.rebuild())
    world.publish(datacenter="z")
    assert "says datacenter 'z'" in only_problem(world.rebuild())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"region": "eu"}, "says store "),
        ({"into": "eu"}, "it was found in "),
        ({"job_id": "train/dispatch-2"}, "its region and child make it 'nomad:us:train~2Fdispatch-2'"),
        ({"job": "sales"}, "says job 'sales'; its child is of job 'train'"),
        ({"spec_hash": "another"}, "says spec hash 'another'; the runs of train version 4 have '5ec'"),
        ({"attempt": 2}, "says attempt 2; a run of plain Nomad has attempt 1"),
    ],
)
@pytest.mark.parametrize("how", ["sync", "rebuild"])
def test_a_plain_nomad_record_that_lies_is_refused(world: World, how: str, changes: dict[str, Any], told: str) -> None:
    world.open()
    world.plain(**changes)
    assert told in only_problem(getattr(world, how)())


def test_a_plain_nomad_record_may_add_to_a_version_of_its_own_jobspec(world: World) -> None:
    world.open()
    record = world.plain()
    assert world.sync().commit == [record]


def test_a_plain_nomad_record_is_compared_with_its_child_while_nomad_knows_it(world: World) -> None:
    world.open()
    meta = {"fedml_spec": "5ec", "model_version": "4", "lr": "0.1"}
    world.children = {CHILD: {"ParentID": "train", "Meta": meta}}
    world.allocations = [Allocation("alloc-1", CHILD, "model", 0, "node", "n-1", "complete", "run")]
    record = world.plain()
    assert world.sync().commit == [record]
    for changes, told in (
        ({"version": "99"}, "says version '99'; the child's meta has"),
        ({"node": "n-2"}, "says node 'n-2'; Nomad has 'n-1'"),
        ({"params": {"lr": "7"}}, "says parameter lr '7'"),
    ):
        world.plain(**changes)
        assert told in only_problem(world.sync())
    world.children = {CHILD: {"ParentID": "other", "Meta": meta}}
    world.plain()
    assert "says job 'train'; Nomad has 'other'" in only_problem(world.sync())


def test_a_region_that_does_not_answer_is_asked_once(world: World) -> None:
    world.open()
    for number in range(3):
        child = f"train/dispatch-{number}"
        world.publish(
            key=Key(f"nomad:us:train~2Fdispatch-{number}", 0, "model", 0), job_id=child, alloc_id=f"a-{number}"
        )
    assert len(world.sync().commit) == 3
    assert world.asked == 1
