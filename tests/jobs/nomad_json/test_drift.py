"""Whose work a registered job is, and where two of them differ."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.nomad_json.drift import (
    MARK_KEY,
    Standing,
    as_marked,
    differences,
    marked,
    spec_of,
    standing_of,
    version_of,
)

JOB: dict[str, Any] = {
    "ID": "train",
    "Region": "us",
    "Datacenters": ["us-1"],
    "Meta": {"team": "ml", "fedml_spec": "5ec"},
    "Priority": 50,
    "TaskGroups": [
        {
            "Name": "g",
            "Count": 1,
            "Tasks": [{"Name": "t", "Env": {"A": "1", "FEDML_REGION": "us"}, "Resources": {"CPU": 100}}],
        }
    ],
}


def registered(job: dict[str, Any], over: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """What the server then has."""
    return {**marked(job, over), "Version": version_of(over) + 1, **fields}


def test_what_fedml_registered_is_its_own_until_somebody_makes_another_version() -> None:
    first = registered(JOB)
    second = registered(JOB, first)
    assert [standing_of(one) for one in (first, second)] == [Standing.OWN, Standing.OWN]
    assert (version_of(None), version_of(first), version_of(second)) == (-1, 0, 1)
    # the UI sends the whole job back, meta and all; `nomad job stop` and `job revert` make versions too
    assert standing_of({**second, "Version": 2, "Priority": 90}) is Standing.CHANGED
    assert standing_of({**second, "Version": 2, "Stop": True}) is Standing.STOPPED
    assert standing_of({**first, "Version": 2}) is Standing.CHANGED
    assert standing_of({**JOB, "Version": 3}) is Standing.FOREIGN
    assert standing_of({"Version": 0, "Meta": None}) is Standing.FOREIGN
    assert standing_of(None) is Standing.ABSENT
    assert [one.is_drift for one in Standing] == [False, False, True, True, True]


def test_the_mark_is_no_difference_when_compared() -> None:
    there = registered(JOB)
    assert as_marked(JOB, there)["Meta"] == there["Meta"]
    assert as_marked(JOB, JOB) == as_marked(JOB, None) == JOB
    assert spec_of(there) == "5ec"
    assert spec_of(None) == spec_of({"Meta": None}) == ""
    assert MARK_KEY not in JOB["Meta"]


def edited(**changes: Any) -> dict[str, Any]:
    return {**JOB, **changes}


def test_places_and_what_the_server_writes_are_no_difference() -> None:
    eu = edited(Region="eu", Datacenters=["eu-1"], Version=7, JobModifyIndex=99, Status="running")
    eu["Meta"] = {"team": "ml", "fedml_spec": "other", MARK_KEY: "7"}
    eu["TaskGroups"] = [
        {
            "Name": "g",
            "Count": 1,
            "Tasks": [{"Name": "t", "Env": {"A": "1", "FEDML_REGION": "eu"}, "Resources": {"CPU": 100}}],
        }
    ]
    assert differences(JOB, eu) == []


def test_absent_null_and_empty_are_the_same_and_a_field_that_an_older_nomad_lacks_is_no_difference() -> None:
    assert differences(edited(Constraints=None), edited(Constraints=[])) == []
    assert differences(edited(NodePool="default"), JOB) == []
    newer = edited(TaskGroups=[{**JOB["TaskGroups"][0], "Disconnect": {"Replace": True}}])
    assert differences(JOB, newer) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (edited(Priority=90), ["Priority: 50 => 90"]),
        (edited(Meta={"team": "ops", "new": "1"}), ["Meta.new: nothing => '1'", "Meta.team: 'ml' => 'ops'"]),
        (edited(TaskGroups=[{**JOB["TaskGroups"][0], "Count": 3}]), ["TaskGroups[g].Count: 1 => 3"]),
        (edited(TaskGroups=[]), ["TaskGroups[g]: 'there' => nothing"]),
        (
            edited(TaskGroups=[{"Name": "g", "Count": 1, "Tasks": [{**JOB["TaskGroups"][0]["Tasks"][0], "Env": {}}]}]),
            ["TaskGroups[g].Tasks[t].Env.A: '1' => nothing"],
        ),
    ],
)
def test_differences_are_told_by_their_path(changed: dict[str, Any], told: list[str]) -> None:
    assert [str(one) for one in differences(JOB, changed)] == told
