"""How registered jobs differ from a file and from one another; what can't be asked is told from Nomad's defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation.deploy.job_diff import JobDiff, diff_of, diff_registered
from federation.deploy.prepare import PreparedJob
from jobs.errors import InvalidSpec
from jobs.nomad_json.drift import Standing, marked
from jobs.spec import shape_of
from regions.errors import NotFound, PermissionDenied, RegionUnreachable
from regions.model import DryRun

FILE: dict[str, Any] = {
    "ID": "train",
    "Type": "batch",
    "Datacenters": ["dc1"],
    "Priority": 50,
    "Meta": {"fedml_spec": "5ec"},
    "ParameterizedJob": {"MetaOptional": ["epochs"]},
    "TaskGroups": [{"Name": "g", "Count": 1, "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}],
}


class Region:
    """A region with that job, which may be asked for a dry run or not."""

    def __init__(self, name: str, there: dict[str, Any] | None, *, may_plan: bool = True) -> None:
        self.name, self.there, self.may_plan = name, there, may_plan

    def job(self, job_id: str) -> dict[str, Any]:
        if self.there is None:
            raise NotFound(f"no job {job_id}", region=self.name)
        if "silent" in self.there:
            raise RegionUnreachable("no answer", region=self.name)
        return self.there

    def plan_job(self, job: dict[str, Any], *, diff: bool = False) -> DryRun:
        if not self.may_plan:
            raise PermissionDenied("Permission denied", region=self.name)
        is_same = self.there is not None and self.there["Priority"] == job["Priority"]
        return DryRun(7, "None" if is_same else "Edited", {}, diff={"Fields": []})


def own(**fields: Any) -> dict[str, Any]:
    return {**marked(FILE, None), "Version": 0, **fields}


def compared(*regions: Region, **options: Any) -> JobDiff:
    rendered = {region.name: FILE for region in regions}
    return diff_of(PreparedJob(Path("train.hcl"), shape_of(FILE), "5ec", rendered, **options), regions)


def test_all_as_the_file_says_is_no_drift() -> None:
    found = compared(Region("us", own()), Region("eu", own(Region="eu")))
    assert found.is_same
    assert [one.standing for one in found.regions] == [Standing.OWN, Standing.OWN]
    assert (found.between, found.problems) == ({}, [])


def test_what_somebody_changed_what_is_missing_and_what_cannot_be_read() -> None:
    silent = Region("ap", {"silent": True})
    found = compared(Region("us", own()), Region("eu", own(Version=1, Priority=90)), Region("uk", None), silent)
    assert not found.is_same
    assert [one.change for one in found.regions] == ["None", "Edited", "Added", ""]
    assert found.regions[1].standing is Standing.CHANGED
    assert [str(one) for one in found.between["eu"]] == ["Priority: 50 => 90"]
    assert [str(one) for one in found.problems] == ["region ap: no answer"]


def test_without_the_right_to_plan_the_difference_is_told_from_what_is_registered() -> None:
    """Nomad has filled in its defaults there; those are no difference."""
    there = own(Priority=70, NodePool="default", AllAtOnce=False)
    found = compared(Region("us", there, may_plan=False), Region("eu", own(), may_plan=False))
    assert [(one.path, one.left, one.right) for one in found.regions[0].differences] == [("Priority", 70, 50)]
    assert [one.change for one in found.regions] == ["Edited", "None"]


def test_what_the_file_itself_says_differently_is_no_drift_between_regions() -> None:
    theirs = {**FILE, "Priority": 60}
    rendered = {"us": FILE, "eu": theirs}
    clients = [Region("us", own()), Region("eu", own(Priority=60))]
    prepared = PreparedJob(Path("train.hcl"), shape_of(FILE), "5ec", rendered)
    found = diff_of(prepared, clients)
    assert found.between == {}
    assert found.is_same


def test_a_region_that_the_file_cannot_be_rendered_for_is_a_problem_of_its_own() -> None:
    prepared = PreparedJob(Path("x"), shape_of(FILE), "5ec", {"us": InvalidSpec("no datacenter fits")})
    assert [str(one) for one in diff_of(prepared, [Region("us", own())]).problems] == ["no datacenter fits"]


def test_registered_jobs_are_compared_with_one_another_only() -> None:
    jobs = {"us": own(), "eu": own(Priority=60)}
    found = diff_registered("train", [Region(name, job) for name, job in jobs.items()])
    assert (found.spec_hash, found.first) == ("", "us")
    assert [one.change for one in found.regions] == ["", ""]
    assert list(found.between) == ["eu"]
    assert not found.is_same


def test_registered_jobs_of_different_specs_groups_and_kinds_are_compared() -> None:
    other = {**FILE, "Meta": {"fedml_spec": "0ther"}, "Priority": 60}
    service = {**FILE, "ParameterizedJob": None, "TaskGroups": [{**FILE["TaskGroups"][0], "Count": 3}]}
    regions = [Region("us", own()), Region("eu", {**marked(other, None), "Version": 4}), Region("ap", service)]
    found = diff_registered("train", [*regions, Region("uk", None), Region("za", {"silent": True})])
    assert [one.spec_hash for one in found.regions] == ["5ec", "0ther", "5ec", "", ""]
    assert "Priority: 50 => 60" in [str(one) for one in found.between["eu"]]
    assert any(one.path.endswith("Count") for one in found.between["ap"])
    assert [str(one) for one in found.problems] == ["region za: no answer"]
    assert not found.is_same


def test_jobs_that_differ_in_their_spec_only_are_not_the_same() -> None:
    other = {**FILE, "Meta": {"fedml_spec": "0ther"}}
    found = diff_registered("train", [Region("us", own()), Region("eu", {**marked(other, None), "Version": 0})])
    assert not found.is_same


def test_a_job_that_no_region_has_or_could_be_asked_for_is_an_error() -> None:
    with pytest.raises(InvalidSpec, match="no job 'train' is registered in us, eu"):
        diff_registered("train", [Region("us", None), Region("eu", None)])
    with pytest.raises(RegionUnreachable, match="no answer"):
        diff_registered("train", [Region("us", None), Region("eu", {"silent": True})])
