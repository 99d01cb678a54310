"""What jobs wrote themselves becomes records: during a run, and afterwards from what lies in the stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from federation.app import App
from federation.config.adopted_places import AdoptedPlace
from federation.config.load import load
from federation.deploy.prepare import PreparedJob
from federation.errors import StoreRefused, UsageError
from federation.index import checked_record
from federation.index.maintenance.sync import SyncPlan
from federation.log import Log
from federation.manifest import Manifest
from federation.publish.adopt_pattern import parse
from federation.result import Key
from federation.workflows.adopt import AdoptedPlaces, check_adoption, find
from federation.workflows.adopt_backfill import ADOPTED_GROUP, add_old, find_old
from regions.errors import NotFound
from regions.model import Allocation, Datacenter, Node, StoreConfig, TaskState
from regions.storage import open_store
from regions.storage.errors import PermissionDenied
from regions.storage.store import Create, Store

RUN = "01a21003-4714-7af6-b6b1-1b21c846953c"
ALLOC, OTHER = "7d1c7a2e-6c3f-4bb6-9d2a-1f6f2f9a0b11", "11111111-6c3f-4bb6-9d2a-1f6f2f9a0b11"
TOML = """
[federation]
home = "file://./home"
results = "adopt"
adopt = "{save_path}_v{version}_{alloc_id}.json"
[regions.us]
addresses = ["http://127.0.0.1:9"]
[regions.us.datacenters.a]
store = "file://./a"
[regions.us.datacenters.b]
store = "file://./b"
"""
META = {"save_path": "models/close", "model_version": "4", "gcp_creds": "hidden", "fedml_run": RUN}


class Client:
    """A region that knows these children and allocations."""

    def __init__(self, jobs: Mapping[str, Mapping[str, str]], allocations: list[Allocation]) -> None:
        self._jobs, self._allocations = jobs, allocations

    def job(self, job_id: str) -> dict[str, Any]:
        if job_id not in self._jobs:
            raise NotFound("gone", region="us", operation="job")
        return {"ID": job_id, "Meta": dict(self._jobs[job_id])}

    def nodes(self) -> list[Node]:
        return [cast("Node", SimpleNamespace(id="node-b", datacenter="b"))]

    def allocations(self, *, job_id: str | None = None) -> tuple[list[Allocation], int]:
        return [one for one in self._allocations if job_id in (None, one.job_id)], 1

    def close(self) -> None:
        pass


def allocation(alloc_id: str = ALLOC, job_id: str = "train/dispatch-1-a") -> Allocation:
    ended = {"t": TaskState("dead", False, exit_code=0)}
    return Allocation(alloc_id, job_id, "pipeline", 1, "node-b", "b-1", "complete", "run", tasks=ended)


def manifest(**changes: Any) -> Manifest:
    given: dict[str, Any] = {
        "run": RUN,
        "job": "train",
        "job_file": "train.nomad.hcl",
        "spec_hash": "5pec",
        "version": "4",
        "slots": 2,
        "groups": {"pipeline": 2},
        "regions": ("us",),
        "one_each": False,
        "meta": {"save_path": "models/close", "model_version": "4"},
        "payload": b"",
        "policy": "spread",
        "results": "adopt",
        "max_attempts": 3,
        "author": "ann",
        "created": "2026-11-25T00:00:00Z",
    }
    return Manifest(**(given | changes))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    (tmp_path / "fedml.toml").write_text(TOML)
    made = App(load(tmp_path))
    meta = {**META, "fedml_slot": "0", "fedml_attempt": "2"}
    made._clients["us"] = cast("Any", Client({"train/dispatch-1-a": meta}, [allocation()]))
    yield made
    made.close()


def store(app: App, datacenter: str) -> Store:
    return open_store(app.config.regions["us"].datacenters[datacenter].store)


def places(app: App) -> AdoptedPlaces:
    return AdoptedPlaces(
        app, manifest(), cast("PreparedJob", SimpleNamespace(shape=SimpleNamespace(version_key="model_version")))
    )


def test_an_object_of_an_allocation_is_recorded_where_it_lies(app: App) -> None:
    key = Key(RUN, 0, "pipeline", 1)
    assert places(app).read("us", key, allocation()) is None
    sent = store(app, "b").put(f"models/close_v4_{ALLOC}.json", b'{"weights": []}')
    store(app, "a").put(f"models/close_v4_{OTHER}.json", b"another's")
    record = places(app).read("us", key, allocation())
    assert record is not None
    checked_record(record)
    assert (record.key, record.attempt, record.alloc_id, record.spec_hash) == (key, 2, ALLOC, "5pec")
    assert (record.region, record.datacenter, record.node, record.job_id) == ("us", "b", "b-1", "train/dispatch-1-a")
    assert (record.prefix, [file.path for file in record.files]) == ("models/", [f"close_v4_{ALLOC}.json"])
    assert (record.files[0].size_bytes, record.files[0].etag, record.files[0].sha256) == (15, sent.etag, sent.sha256)
    assert record.environment == {"adopted": "{save_path}_v{version}_{alloc_id}.json"}
    assert record.is_adopted
    assert record.params == {"save_path": "models/close"}
    assert record == type(record).from_json(record.to_json())


def test_a_job_that_declares_nothing_of_fedml_is_known_by_its_token(app: App) -> None:
    child = {"ID": "train/dispatch-1-a", "Meta": {"save_path": "other"}, "DispatchIdempotencyToken": f"fedml-{RUN}-0-3"}
    app._clients["us"] = cast("Any", SimpleNamespace(job=lambda _: child, nodes=list, close=lambda: None))
    store(app, "a").put(f"models/close_v4_{ALLOC}.json", b"{}")
    record = places(app).read("us", Key(RUN, 0, "pipeline", 1), allocation())
    assert record is not None
    assert record.attempt == 3


def test_a_slot_is_searched_for_by_what_the_run_log_maps(app: App) -> None:
    log = Log(app.home, f"runs/{RUN}/log/", author="ann")
    changes = [
        {"type": "bind", "slot": 1, "attempt": 1, "region": "us"},
        {"type": "alloc", "slot": 1, "attempt": 1, "alloc_id": OTHER, "group": "pipeline", "index": 0},
        {"type": "alloc", "slot": 0, "attempt": 1, "alloc_id": ALLOC, "group": "pipeline", "index": 0},
    ]
    log.append(changes, reason="run")
    store(app, "a").put(f"models/close_v4_{OTHER}.json", b"{}")
    here = places(app)
    assert [record.key for record in here.search("us", 1)] == [Key(RUN, 1, "pipeline", 0)]
    assert here.search("us", 0) == []
    store(app, "a").put(f"models/close_v4_{ALLOC}.json", b"{}")
    assert [record.alloc_id for record in here.search("us", 0)] == [ALLOC]


def test_a_folder_tells_its_metrics(app: App) -> None:
    def place(pattern: str) -> AdoptedPlace:
        return AdoptedPlace(parse(pattern), "us", app.config.regions["us"].datacenters["a"], ())

    for path, data in {"model.bin": b"w", "sub/more.bin": b"m", "metrics.json": b'{"auc": NaN}'}.items():
        store(app, "a").put(f"out/{ALLOC}/{path}", data)
    objects = find(place("out/{alloc_id}/"), {"alloc_id": ALLOC}, open_store)
    assert objects is not None
    assert (objects.prefix, [info.key for info in objects.infos]) == (
        f"out/{ALLOC}/",
        [f"out/{ALLOC}/{path}" for path in ("metrics.json", "model.bin", "sub/more.bin")],
    )
    assert find(place("out/{alloc_id}/"), {"alloc_id": OTHER}, open_store) is None
    assert find(place("{save_path}/{alloc_id}"), {"alloc_id": ALLOC, "save_path": "no//key"}, open_store) is None


@pytest.mark.parametrize(
    ("own", "pattern", "text", "store_url", "key"),
    [
        ("s3://us-models/models", "{alloc_id}", "x/y", "s3://us-models/models", "x/y"),
        (
            "s3://us-models/models",
            "s3://us-models/models/{alloc_id}",
            "s3://us-models/models/x/y",
            "s3://us-models/models",
            "x/y",
        ),
        (
            "s3://us-models/models",
            "s3://us-models/other/{alloc_id}",
            "s3://us-models/other/x",
            "s3://us-models",
            "other/x",
        ),
        ("s3://us-models/models", "{save_path}/{alloc_id}", "gs://further/other/x", "gs://further", "other/x"),
        ("az://acc/box", "az://acc/other/{alloc_id}", "az://acc/other/a/b", "az://acc/other", "a/b"),
        (
            "s3://us-models",
            "file:///mnt/models/{save_path}/{alloc_id}",
            "file:///mnt/models/a/b",
            "file:///mnt/models",
            "a/b",
        ),
    ],
)
def test_where_a_name_lies(own: str, pattern: str, text: str, store_url: str, key: str) -> None:
    config = StoreConfig(url=own, endpoint=None if own.startswith("file") else "http://127.0.0.1:1")
    place = AdoptedPlace(parse(pattern), "us", Datacenter("a", config), (StoreConfig("gs://further"),))
    found, name = place.located(text)
    assert (found.url, name) == (store_url, key)
    is_alike = own.partition(":")[0] == store_url.partition(":")[0]
    assert (found.endpoint is not None) is is_alike


def test_a_pattern_that_no_dispatch_fills_is_refused(app: App) -> None:
    shape = SimpleNamespace(id="train", declared_meta=("model_version", "save_path"))
    prepared = cast("PreparedJob", SimpleNamespace(shape=shape, rendered={"us": {"Meta": {"bucket": "b"}}}))
    config = replace(app.config, adopt={"us": parse("{bucket}/{save_path}/{alloc_id}")})
    check_adoption(config, prepared, {"save_path": "x"})
    with pytest.raises(UsageError, match=r"finds results by \{save_path\}") as caught:
        check_adoption(config, prepared, {})
    assert "-meta save_path=" in caught.value.hint
    with pytest.raises(StoreRefused, match="in s3://elsewhere/x for us/a"):
        check_adoption(
            replace(app.config, adopt={"us": parse("{save_path}/{alloc_id}")}),
            prepared,
            {"save_path": "s3://elsewhere/x"},
        )


def test_old_results_are_ad_hoc_runs_and_those_of_a_run_are_its_own(app: App) -> None:
    unknown, mapped = "22222222-6c3f-4bb6-9d2a-1f6f2f9a0b11", OTHER
    for alloc_id, version in ((ALLOC, "4"), (mapped, "4"), (unknown, "3")):
        store(app, "b").put(f"models/close_v{version}_{alloc_id}.json", alloc_id.encode())
    store(app, "b").put("models/close_v3_nobody.json", b"")
    app.index.open_run(RUN, "train", "4", "5pec", 2, 4)
    app.home.put(f"runs/{RUN}/manifest.json", manifest().to_json(), Create())
    change = {"type": "alloc", "slot": 1, "attempt": 2, "alloc_id": mapped, "group": "pipeline", "index": 0}
    Log(app.home, f"runs/{RUN}/log/", author="ann").append([change], reason="run")
    found = find_old(app, "train", known=())
    assert (found.in_flight, found.problems) == (1, [])
    app.index.close_run(RUN, "failed")
    found = find_old(app, "train", known=())
    by_id = {record.alloc_id: record for record in found.records}
    assert by_id[mapped].key == Key(RUN, 1, "pipeline", 0)
    assert (by_id[mapped].attempt, by_id[mapped].spec_hash) == (2, "5pec")
    assert by_id[ALLOC].key == Key("nomad:us:train~2Fdispatch-1-a", 0, "pipeline", 1)
    assert by_id[unknown].key == Key(f"nomad:us:{unknown}", 0, ADOPTED_GROUP, 0)
    assert (by_id[unknown].version, by_id[unknown].job, by_id[unknown].datacenter) == ("3", "train", "b")
    assert by_id[unknown].params == {"save_path": "models/close"}
    app._clients["us"] = cast("Any", Client({}, [replace(allocation(), client_status="running")]))
    writing = find_old(app, "train", known=())
    assert (writing.in_flight, {record.alloc_id for record in writing.records}) == (1, {mapped, unknown})
    assert {record.alloc_id: record for record in writing.records}[mapped].key == Key(RUN, 1, "pipeline", 0)
    killed = replace(allocation(), tasks={"t": TaskState("dead", False, exit_code=143, is_killed=True)})
    app._clients["us"] = cast("Any", Client({}, [killed]))
    half_written = find_old(app, "train", known=())
    assert {record.alloc_id for record in half_written.records} == {mapped, unknown}
    assert [what for _, what, _ in half_written.problems] == [
        f"allocation {ALLOC} didn't end well (task t: killed by Nomad): what it wrote may be half-written"
    ]
    outcomes = app.index.commit(found.records)
    assert set(outcomes.values()) == {"added"}
    assert find_old(app, "train", known=set(outcomes)).records == []


def test_a_store_that_cannot_be_listed_is_a_problem_and_the_others_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fedml.toml").write_text(TOML.replace("{save_path}", "{job}"))
    app = App(load(tmp_path))
    app._clients["us"] = cast("Any", Client({}, []))
    opened = app.store

    def store_of(config: StoreConfig) -> Store:
        if config.url.endswith("/a"):
            raise PermissionDenied("it may not be listed", hint="allow it")
        return opened(config)

    monkeypatch.setattr(app, "store", store_of)
    store(app, "b").put(f"close_v4_{ALLOC}.json", b"{}")
    plan = SyncPlan()
    add_old(plan, app, "")
    assert [record.job for record in plan.commit] == ["close"]
    assert [(problem.kind, problem.where) for problem in plan.problems] == [("adopt-unreadable", "us/a")]
    (tmp_path / "fedml.toml").write_text(TOML.replace('results = "adopt"', "").replace("adopt =", "#"))
    with pytest.raises(UsageError, match="doesn't say where"):
        add_old(plan, App(load(tmp_path)), "")


@pytest.mark.parametrize(
    ("pattern", "name", "told"),
    [
        ("{job}/{alloc_id}", f"sales/{ALLOC}", "its record says job 'sales'; its child is of job 'train'"),
        ("{alloc_index}/{version}_{alloc_id}", f"{'9' * 40}/4_{OTHER}", "key.index is 9"),
    ],
)
def test_a_name_that_cannot_be_true_is_a_problem_and_the_others_are_adopted(
    app: App, tmp_path: Path, pattern: str, name: str, told: str
) -> None:
    """Whoever writes an object chooses its name: what Nomad knows of the allocation wins, one lie costs the others nothing."""
    third = "33333333-6c3f-4bb6-9d2a-1f6f2f9a0b11"
    (tmp_path / "fedml.toml").write_text(TOML.replace("{save_path}_v{version}_{alloc_id}.json", pattern))
    lying = App(load(tmp_path))
    lying._clients["us"] = app._clients["us"]
    store(lying, "b").put(name, b"{}")
    honest = {"job": "train", "alloc_index": "0", "version": "4", "alloc_id": third}
    store(lying, "b").put(str(parse(pattern).name(honest)), b"{}")
    found = find_old(lying, "train", known=())
    assert [record.alloc_id for record in found.records] == [third]
    ((where, what, _),) = found.problems
    assert where == "us/b"
    assert told in what
    assert set(lying.index.commit(found.records).values()) == {"added"}


def test_a_version_in_an_objects_name_moves_the_next_one_only_so_far(app: App) -> None:
    store(app, "b").put(f"models/close_v999999999_{OTHER}.json", b"{}")
    app.index.commit(find_old(app, "train", known=()).records)
    assert app.index.open_run("next", "train", None, "5pec", 1, 1).version == "1"
