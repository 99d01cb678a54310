"""The job as one region gets it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from jobs.errors import InvalidSpec
from jobs.render import Place, matching_datacenters, probe, render
from jobs.spec import shape_of

JOB: dict[str, Any] = {
    "ID": "train",
    "Name": "train",
    "Region": "somewhere",
    "Type": "batch",
    "Datacenters": ["us-*"],
    "Meta": {"team": "ml"},
    "Multiregion": {"Regions": []},
    "ParameterizedJob": {"MetaRequired": ["model_version"], "MetaOptional": ["epochs"]},
    "TaskGroups": [
        {"Name": "g", "Count": 2, "Tasks": [{"Name": "t", "Env": {"A": "1"}, "DispatchPayload": {"File": "x"}}]}
    ],
}
PLACE = Place("us", "global", "ml", {"us-1": "s3://us-1", "us-2": "s3://us-2", "eu-1": "s3://eu-1"})


def test_what_the_renderer_adds() -> None:
    before = copy.deepcopy(JOB)
    job = render(JOB, shape_of(JOB), PLACE, spec_hash="5ec")
    assert before == JOB
    assert (job["Region"], job["Namespace"], job["Datacenters"]) == ("global", "ml", ["us-1", "us-2"])
    assert job["Meta"] == {"team": "ml", "fedml_spec": "5ec"}
    assert job["ParameterizedJob"]["MetaOptional"] == ["epochs", "fedml_run", "fedml_slot", "fedml_attempt"]
    assert "Multiregion" not in job
    environment = job["TaskGroups"][0]["Tasks"][0]["Env"]
    assert json.loads(environment["FEDML_STORES"]) == {"us-1": "s3://us-1", "us-2": "s3://us-2"}
    assert (environment["FEDML_REGION"], environment["FEDML_VERSION_KEY"]) == ("us", "model_version")
    assert environment["A"] == "1"


def test_tasks_get_the_names_of_meta_keys_whose_variable_has_another_name() -> None:
    job = JOB | {"ParameterizedJob": {"MetaOptional": ["learning-rate", "data.path", "epochs"]}}
    environment = render(job, shape_of(job), PLACE, spec_hash="5ec")["TaskGroups"][0]["Tasks"][0]["Env"]
    assert json.loads(environment["FEDML_META"]) == {"data_path": "data.path", "learning_rate": "learning-rate"}
    assert "FEDML_META" not in render(JOB, shape_of(JOB), PLACE, spec_hash="5ec")["TaskGroups"][0]["Tasks"][0]["Env"]


def test_rendering_twice_changes_nothing() -> None:
    job = render(JOB, shape_of(JOB), PLACE, spec_hash="5ec")
    assert render(job, shape_of(JOB), PLACE, spec_hash="5ec") == job


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [(None, ["us-1", "us-2", "eu-1"]), (["*"], ["us-1", "us-2", "eu-1"]), (["eu-1", "nowhere"], ["eu-1"])],
)
def test_datacenters_are_intersected(patterns: list[str] | None, expected: list[str]) -> None:
    assert matching_datacenters(patterns, PLACE) == expected


def test_no_common_datacenter() -> None:
    with pytest.raises(InvalidSpec, match="asks for datacenters ap-1; region us has us-1, us-2, eu-1"):
        matching_datacenters(["ap-1"], PLACE)


def test_the_probe_is_an_ordinary_job_under_its_own_name() -> None:
    job = probe(render(JOB, shape_of(JOB), PLACE, spec_hash="5ec"), {"g": 1000}, probe_id="p")
    assert (job["ID"], job["ParameterizedJob"], job["TaskGroups"][0]["Count"]) == ("p", None, 1000)
    assert job["TaskGroups"][0]["Tasks"][0]["DispatchPayload"] is None
