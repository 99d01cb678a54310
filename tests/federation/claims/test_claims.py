"""Every field of a record that something else tells: a record that agrees is believed, one that differs is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federation.claims import (
    Bound,
    Expected,
    Site,
    of_allocation,
    of_attempt,
    of_child_name,
    of_opened,
    of_params,
    of_place,
    of_plain_child,
    of_run,
    refusal,
    sites_of,
)
from federation.manifest import RunCode
from federation.result import Key, ResultFile, ResultRecord, manifest_sha256
from regions.model import Allocation, Datacenter, Node, Region, StoreConfig
from tests.federation.run.brain.world import MANIFEST

FILES = (ResultFile("model.bin", 5, "a" * 64),)
SITES = {
    "us": Site(("us", "us-nomad"), {"a": "s3://us-a", "b": "s3://us-b?endpoint=https://s3.example"}),
    "eu": Site(("eu",), {"a": "s3://eu-a"}),
}
CODE = RunCode("c0de" * 16, ("python", "train.py"), "none", "")
RUN = replace(MANIFEST, slots=3, groups={"model": 2}, code=CODE)
ALLOCATION = Allocation("alloc-1", "train/dispatch-1-a", "model", 1, "node-id", "us-1", "complete", "run")
NODE = Node("node-id", "us-1", "b", is_ready=True, cpu_mhz=1, memory_mb=1)
HONEST = ResultRecord(
    key=Key(RUN.run, 2, "model", 1),
    attempt=2,
    job="train",
    version="4",
    spec_hash="5ec",
    region="us",
    datacenter="b",
    node="us-1",
    alloc_id="alloc-1",
    job_id="train/dispatch-1-a",
    store="s3://us-b?endpoint=https://s3.example",
    manifest_sha256=manifest_sha256(FILES),
    files=FILES,
    created="2026-01-01T00:00:00Z",
    params={"lr": "0.1", "learning_rate": "3", "note": "the job's own meta"},
    environment={"code_sha256": CODE.sha256},
)


def key(**changes: Any) -> dict[str, Any]:
    return {"key": replace(HONEST.key, **changes)}


def everything(record: ResultRecord) -> list[Expected]:
    bound = [Bound(1, "eu", "train/dispatch-0"), Bound(2, "us", "train/dispatch-1-a")]
    return [
        of_run(RUN, record),
        of_attempt(bound, record, SITES),
        of_allocation(ALLOCATION, NODE),
        of_place(SITES, record, "s3://us-b"),
        of_params({"lr": "0.1", "learning-rate": "3", "fedml_run": RUN.run, "host": "${node.unique.name}"}),
    ]


def test_a_record_that_agrees_with_all_is_believed() -> None:
    assert refusal(HONEST, *everything(HONEST)) == ""


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (key(run="another-run"), "run 'another-run'; it was looked for as run '0193-run'"),
        (key(slot=3), "slot 3; run 0193-run has slots 0 to 2"),
        (key(group="other"), "group 'other'; the manifest has 'model'"),
        (key(index=7), "index 7; the manifest has 2 of group 'model', from 0"),
        (key(index=0), "index 0; Nomad has 1"),
        ({"attempt": 40}, "attempt 40; the run log has 1 or 2"),
        ({"attempt": 1}, "child 'train/dispatch-1-a'; the run log has 'train/dispatch-0'"),
        ({"job": "sales"}, "job 'sales'; run 0193-run has 'train'"),
        ({"version": "99"}, "version '99'; run 0193-run has '4'"),
        ({"version": "9999999999999999999"}, "version '9999999999999999999'; run 0193-run has '4'"),
        ({"spec_hash": "another"}, "spec hash 'another'; run 0193-run has '5ec'"),
        ({"region": "eu"}, "region 'eu'; the run log has it in 'us' or 'us-nomad'"),
        ({"region": "mars"}, "region 'mars'; the run log has it in 'us' or 'us-nomad'"),
        ({"datacenter": "a"}, "datacenter 'a'; Nomad has 'b'"),
        ({"node": "us-2"}, "node 'us-2'; Nomad has 'us-1'"),
        ({"alloc_id": "alloc-2"}, "allocation 'alloc-2'; Nomad has 'alloc-1'"),
        ({"job_id": "train/dispatch-9"}, "child 'train/dispatch-9'; the run log has 'train/dispatch-1-a'"),
        ({"store": "s3://eu-a"}, "store 's3://eu-a'; fedml.toml has for us/b 's3://us-b'"),
        ({"store": "s3://us-b?endpoint=http://stranger"}, "endpoint 'http://stranger'; fedml.toml has https://s3.example"),
        ({"environment": {}}, f"code ''; the manifest has '{CODE.sha256}'"),
        ({"environment": {"code_sha256": "other"}}, "code 'other'; the manifest has"),
        ({"params": {"lr": "0.2"}}, "parameter lr '0.2'; the dispatch gave '0.1'"),
        ({"params": {"learning_rate": "4"}}, "parameter learning_rate '4'; the dispatch gave '3'"),
        ({"manifest_sha256": "0" * 64}, "don't have the record's manifest hash"),
        ({"files": (ResultFile(5, 5, "a" * 64),), "prefix": "x/"}, "by something else than a text"),  # type: ignore[arg-type]
        ({"environment": {"code_sha256": CODE.sha256, "adopted": "x"}}, "adopted, which only the index may say"),
        ({"prefix": "artifacts/"}, "prefix 'artifacts/'; what lies there is fedml's own"),
        ({"prefix": "artifacts/another-run/000000000/model/0/alloc-9/"}, "fedml's own, not this result's"),
        ({"prefix": "index/log/"}, "fedml's own"),
        ({"prefix": "mine/../runs/"}, "can leave its folder"),
        ({"prefix": "/etc/"}, "can leave its folder"),
        ({"prefix": "mine"}, "doesn't end with '/'"),
    ],
)  # fmt: skip
def test_a_lie_is_refused_with_the_field_what_it_says_and_what_is_known(lie: dict[str, Any], told: str) -> None:
    record = replace(HONEST, **lie)
    assert told in refusal(record, *everything(record))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([("../../etc/cron.d/x", "a" * 64)], "names a file that would leave its folder"),
        ([("/etc/passwd", "a" * 64)], "names a file that would leave its folder"),
        ([("a/../../b", "a" * 64)], "names a file that would leave its folder"),
        ([("", "a" * 64)], "names a file that would leave its folder"),
        ([("a\\..\\b", "a" * 64)], "names a file that would leave its folder"),
        ([("a\x1b[2J", "a" * 64)], "names a file that would leave its folder"),
        ([("model.bin", "")], "with sha256 '', which isn't 64 hexadecimal digits"),
        ([("model.bin", "../" * 20)], "isn't 64 hexadecimal digits"),
        ([("model.bin", "A" * 64)], "isn't 64 hexadecimal digits"),
        ([("model.bin", "a" * 64 + "\n")], "isn't 64 hexadecimal digits"),
        ([("model.bin", "\u0661" * 64)], "isn't 64 hexadecimal digits"),
        ([("model.bin", "a" * 64), ("model.bin", "b" * 64)], "names the file 'model.bin' twice"),
        ([("model", "a" * 64), ("model/x", "b" * 64)], "names 'model/x' inside another file"),
    ],
)
@pytest.mark.parametrize("prefix", [None, "mine/"])
def test_files_that_cannot_lie_in_one_folder_are_refused(
    files: list[tuple[str, str]], told: str, prefix: str | None
) -> None:
    named = tuple(ResultFile(path, 5, sha256) for path, sha256 in files)
    record = replace(HONEST, files=named, manifest_sha256=manifest_sha256(named), prefix=prefix)
    assert told in refusal(record, *everything(record))


def test_fields_are_compared_with_fedml_toml_where_nomad_tells_nothing() -> None:
    told = {
        "region": "region 'mars'; fedml.toml has 'us' or 'eu'",
        "datacenter": "datacenter 'mars'; fedml.toml has for region us 'a' or 'b'",
    }
    for field, sentence in told.items():
        record = replace(HONEST, **{field: "mars"})  # type: ignore[arg-type]
        assert sentence in refusal(record, of_place(SITES, record))


def test_a_record_that_lies_only_in_anothers_store_is_refused() -> None:
    assert "it was found in s3://eu-a" in refusal(HONEST, of_place(SITES, HONEST, "s3://eu-a"))


@pytest.mark.parametrize("prefix", ["", "models/run-7/", f"artifacts/{HONEST.key.path}/alloc-1/x/"])
def test_what_a_job_wrote_itself_may_lie_anywhere_in_its_datacenters_store(prefix: str) -> None:
    record = replace(HONEST, prefix=prefix)
    assert refusal(record, *everything(record)) == ""


def test_no_root_object_of_fedmls_own_is_an_artifact() -> None:
    files = (ResultFile("runs/another/manifest.json", 5, "a" * 64),)
    record = replace(HONEST, prefix="", files=files, manifest_sha256=manifest_sha256(files))
    assert "fedml's own" in refusal(record)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"key": Key("nomad:eu:train~2Fdispatch-1-a", 0, "model", 1)}, "its region and child make it 'nomad:us:train"),
        ({"region": "eu"}, "its region and child make it 'nomad:eu:train~2Fdispatch-1-a'"),
        ({"job_id": "train/dispatch-2"}, "its region and child make it 'nomad:us:train~2Fdispatch-2'"),
        ({"key": Key("nomad:us:train~2Fdispatch-1-a", 1, "model", 1)}, "slot 1; a run of plain Nomad has slot 0"),
        ({"attempt": 2}, "attempt 2; a run of plain Nomad has attempt 1"),
        ({"job": "sales"}, "job 'sales'; its child is of job 'train'"),
    ],
)  # fmt: skip
def test_a_run_of_plain_nomad_is_what_its_name_says(lie: dict[str, Any], told: str) -> None:
    plain = replace(HONEST, key=Key("nomad:us:train~2Fdispatch-1-a", 0, "model", 1), attempt=1)
    assert refusal(plain, of_plain_child(plain)) == ""
    record = replace(plain, **lie)
    assert told in refusal(record, of_plain_child(record))


def test_a_childs_name_tells_the_job_of_a_run_that_nobody_knows() -> None:
    assert refusal(HONEST, of_child_name(HONEST)) == ""
    isolated = replace(HONEST, job_id="train-5ec/dispatch-1")
    assert refusal(isolated, of_child_name(isolated)) == ""
    other = replace(HONEST, job="sales")
    assert "job 'sales'; its child is of job 'train'" in refusal(other, of_child_name(other))


def test_a_job_that_fedml_never_registered_may_know_no_version() -> None:
    foreign = replace(RUN, spec_hash="")
    unversioned = replace(HONEST, spec_hash="", version="unversioned")
    assert refusal(unversioned, of_opened(foreign, unversioned)) == ""
    assert "version 'unversioned'" in refusal(replace(HONEST, version="unversioned"), of_opened(RUN, HONEST))
    lie = replace(unversioned, version="99")
    assert "version '99'; run 0193-run has '4' or 'unversioned'" in refusal(lie, of_opened(foreign, lie))


def test_nomads_name_of_a_region_counts_unless_another_region_has_it() -> None:
    store = {"dc1": Datacenter("dc1", StoreConfig("file:///x"))}
    regions = {
        "us": Region("us", ("http://x",), store, nomad_region="global"),
        "eu": Region("eu", ("http://x",), store, nomad_region="us"),
    }
    assert {name: site.names for name, site in sites_of(regions).items()} == {"us": ("us", "global"), "eu": ("eu",)}


def test_development_servers_may_move_to_another_port() -> None:
    sites = {"us": Site(("us",), {"b": "s3://us-b?endpoint=http://127.0.0.1:4000"})}
    record = replace(HONEST, store="s3://us-b?endpoint=http://localhost:5000")
    assert refusal(record, of_place(sites, record)) == ""
    record = replace(HONEST, store="s3://us-b?endpoint=http://10.0.0.1:5000")
    assert "endpoint 'http://10.0.0.1:5000'" in refusal(record, of_place(sites, record))
