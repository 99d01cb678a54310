"""The job for each region: from a file by its multiregion block, or as it stands in the regions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from federation.deploy.prepare import JobRequest, is_job_id, isolated, prepare_registered, prepare_source, source_of
from federation.errors import UsageError
from jobs.errors import FedmlError, InvalidSpec
from jobs.multiregion import Strategy
from jobs.nomad_json.drift import marked
from regions.errors import NotFound, RegionUnreachable
from regions.model import Datacenter, Region, StoreConfig

JOB: dict[str, Any] = {
    "ID": "train",
    "Type": "batch",
    "Datacenters": ["*"],
    "ParameterizedJob": {"MetaOptional": ["model_version", "epochs"]},
    "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}],
}


def place(name: str, nomad_region: str = "") -> Region:
    return Region(
        name, ("http://127.0.0.1:1",), {"dc1": Datacenter("dc1", StoreConfig(f"file:///{name}"))}, nomad_region
    )


REGIONS = [place("us"), place("eu", "europe"), place("ap")]


def prepared(tmp_path: Path, *asked: str, **fields: Any) -> Any:
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"Job": {**JOB, **fields}}))
    chosen = [region for region in REGIONS if not asked or region.name in asked]
    request = JobRequest(regions=asked)
    return prepare_source(source_of(request, file), request, chosen, None)


def block(*regions: dict[str, Any], **strategy: Any) -> dict[str, Any]:
    return {"Regions": list(regions), "Strategy": strategy}


def test_without_a_block_all_regions_get_the_job(tmp_path: Path) -> None:
    found = prepared(tmp_path)
    assert list(found.rendered) == ["us", "eu", "ap"]
    assert found.strategy is None
    assert (found.job_id, found.declared_meta) == ("train", None)


def test_a_block_names_the_regions_by_nomads_names_in_its_order(tmp_path: Path) -> None:
    found = prepared(
        tmp_path, Multiregion=block({"Name": "europe"}, {"Name": "us"}, MaxParallel=1, OnFailure="fail_all")
    )
    assert list(found.rendered) == ["eu", "us"]
    assert found.strategy == Strategy(1, "fail_all")
    assert len({job["Meta"]["fedml_spec"] for job in found.rendered.values()}) == 1
    assert list(prepared(tmp_path, "us", Multiregion=block({"Name": "europe"}, {"Name": "us"})).rendered) == ["us"]


def test_a_region_that_the_other_side_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="names region 'mars'"):
        prepared(tmp_path, Multiregion=block({"Name": "mars"}))
    with pytest.raises(UsageError, match="its multiregion block has no region 'ap'"):
        prepared(tmp_path, "ap", Multiregion=block({"Name": "us"}))


def test_publishing_groups_have_the_same_count_everywhere_others_may_differ(tmp_path: Path) -> None:
    regions = block({"Name": "us", "Count": 1}, {"Name": "ap", "Count": 3})
    group = {**JOB["TaskGroups"][0], "Count": 0}
    with pytest.raises(
        InvalidSpec, match='group "g", which publishes, 3 allocations in region ap and 1 elsewhere'
    ) as caught:
        prepared(tmp_path, Multiregion=regions, TaskGroups=[group])
    assert "-n" in caught.value.hint
    silent = {**group, "Name": "h", "Meta": {"fedml_publish": "false"}}
    found = prepared(tmp_path, Multiregion=regions, TaskGroups=[JOB["TaskGroups"][0], silent])
    assert [job["TaskGroups"][1]["Count"] for job in found.rendered.values()] == [1, 3]
    assert found.shape.groups == {"g": 1}


def test_an_isolated_job_has_an_id_of_its_own_and_the_jobs_name_for_its_results(tmp_path: Path) -> None:
    found = prepared(tmp_path)
    alone = isolated(found)
    assert alone.job_id == f"train-{found.spec_hash[:8]}"
    assert {job["ID"] for job in alone.rendered.values()} == {alone.job_id}
    assert alone.rendered["us"]["TaskGroups"][0]["Tasks"][0]["Env"]["FEDML_JOB"] == "train"
    assert alone.shape.id == "train"


@pytest.mark.parametrize(
    ("name", "is_id"),
    [
        ("train", True),
        ("train.nomad.hcl", False),
        ("jobs/train", False),
        ("a.json", False),
        ("there", False),
        ("", False),
        ("t" * 5_000, True),
    ],
)
def test_a_registered_jobs_id_is_what_is_no_file(tmp_path: Path, name: str, is_id: bool) -> None:
    (tmp_path / "there").touch()
    assert is_job_id(name, tmp_path) is is_id


# ── as it stands in the regions ───────────────────────────────────────────────────────────────────────────────────────


class There:
    """A region that has that job, or raises that."""

    def __init__(self, name: str, job: dict[str, Any] | FedmlError) -> None:
        self.name, self._job = name, job

    def job(self, job_id: str) -> dict[str, Any]:
        if isinstance(self._job, FedmlError):
            raise self._job
        return self._job


def own(spec: str = "5ec", **fields: Any) -> dict[str, Any]:
    """As fedml registered it."""
    return {**marked({**JOB, "Meta": {"fedml_spec": spec}}, None), "Version": 0, "JobModifyIndex": 7, **fields}


def stands(*jobs: dict[str, Any] | FedmlError, allow_drift: bool = False) -> Any:
    clients = [There(name, job) for name, job in zip(("us", "eu", "ap"), jobs, strict=False)]
    return prepare_registered("train", clients, None, allow_drift=allow_drift)


def test_fedmls_own_job_keeps_its_spec_hash_and_its_meta() -> None:
    found = stands(own(), own())
    assert (found.spec_hash, found.registered_at, found.declared_meta) == ("5ec", {}, None)
    assert found.is_registered


def test_somebody_elses_job_is_known_by_its_index_and_gets_only_what_it_declares() -> None:
    theirs = {**JOB, "Version": 3, "JobModifyIndex": 9}
    found = stands(theirs, theirs)
    assert (found.spec_hash, found.registered_at) == ("", {"us": 9, "eu": 9})
    assert found.declared_meta == ("model_version", "epochs")


def test_a_region_that_lacks_it_or_is_silent_is_a_value() -> None:
    found = stands(own(), NotFound("no job", region="eu"), RegionUnreachable("no answer", region="ap"))
    assert isinstance(found.rendered["eu"], NotFound)
    assert isinstance(found.rendered["ap"], RegionUnreachable)


def test_a_job_that_is_nowhere_and_regions_that_are_all_silent() -> None:
    with pytest.raises(InvalidSpec, match="no job 'train' is registered in us, eu, and there is no such file"):
        stands(NotFound("x", region="us"), NotFound("x", region="eu"))
    with pytest.raises(RegionUnreachable):
        stands(NotFound("x", region="us"), RegionUnreachable("no answer", region="eu"))


def test_regions_must_agree_on_the_job() -> None:
    with pytest.raises(InvalidSpec, match="made from different specs: us 5ec, eu other"):
        stands(own(), own("other"), allow_drift=True)
    edited = own(Version=1, Priority=90)
    with pytest.raises(InvalidSpec, match="isn't the same in us and eu: Priority: 50 => 90"):
        stands(own(Priority=None), edited)
    found = stands(own(), edited, allow_drift=True)
    assert found.registered_at == {"us": 7, "eu": 7}
    more = own(TaskGroups=[{**JOB["TaskGroups"][0], "Count": 2}])
    with pytest.raises(InvalidSpec, match="has groups"):
        stands(own(), more, allow_drift=True)
