"""Whose work a registered job is, and where two of them differ."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.nomad_json.drift import (
    MARK_KEY,
    Standing,
    as_marked,
    change_of,
    differences,
    file_differences,
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


def test_a_job_is_changed_by_the_place_and_by_what_fedml_adds_too() -> None:
    there = registered(JOB)
    assert change_of(JOB, there, "None") == "None"
    assert change_of(JOB, there, "Edited") == "None"  # what the server's diff says of scaling, or after an upgrade
    stores = {**JOB["TaskGroups"][0]["Tasks"][0], "Env": {"A": "1", "FEDML_REGION": "eu"}}
    moved = edited(TaskGroups=[{**JOB["TaskGroups"][0], "Tasks": [stores]}])
    assert change_of(moved, there, "Edited") == "Edited"
    assert change_of(edited(Datacenters=["us-2"]), there, "Edited") == "Edited"
    assert change_of(edited(Meta={"team": "ml", "fedml_spec": "another"}), there, "Edited") == "Edited"
    spread = edited(Spreads=[{"Attribute": "${node.datacenter}"}])
    assert change_of(spread, there, "None") == "Edited"  # which the server's diff leaves out


BUILT_IN = {"Name": "default", "Audience": ["nomadproject.io"], "Env": False, "File": False, "TTL": 0}


def with_task(**fields: Any) -> dict[str, Any]:
    return edited(TaskGroups=[{**JOB["TaskGroups"][0], "Tasks": [{**JOB["TaskGroups"][0]["Tasks"][0], **fields}]}])


@pytest.mark.parametrize(
    ("file", "there", "told"),
    [
        (JOB, with_task(Identity=BUILT_IN), []),
        (with_task(Identity={"Env": True}), with_task(Identity=BUILT_IN), ["TaskGroups[g].Tasks[t].Identity"]),
        (JOB, with_task(Identity=BUILT_IN | {"File": True}), ["TaskGroups[g].Tasks[t].Identity"]),
        (with_task(KillSignal="SIGUSR1"), with_task(KillSignal=""), ["TaskGroups[g].Tasks[t].KillSignal"]),
        (
            with_task(Config={"auth": {"user": "a"}}),
            with_task(Config={"auth": {"user": "a", "server": "b"}}),
            ["Config.auth"],
        ),
        (with_task(Env={"A": ""}), with_task(Env={}), ["TaskGroups[g].Tasks[t].Env.A"]),
        (with_task(Templates=[{"Uid": 0}]), with_task(Templates=[{"Uid": None}]), ["Templates[0].Uid"]),
        (
            with_task(Vault={}, Identities=None),
            with_task(Vault={}, Identities=[{"Name": "vault_default", "Audience": ["vault.io"]}], Consul=None),
            [],
        ),
        (
            with_task(Vault={}, Identities=[{"Name": "vault_default", "Audience": ["mine"]}]),
            with_task(Vault={}, Identities=None, Consul=None),
            ["Identities"],
        ),
    ],
)
def test_what_a_server_adds_is_no_difference_and_what_a_person_writes_is(
    file: dict[str, Any], there: dict[str, Any], told: list[str]
) -> None:
    found = [one.path for one in file_differences(file, there)]
    assert bool(found) == bool(told), found
    for path in told:
        assert any(path in one for one in found), found


def test_job_level_policies_are_merged_into_the_groups_that_set_less() -> None:
    policy = {"Attempts": 0, "Unlimited": False}
    merged = [{**JOB["TaskGroups"][0], "ReschedulePolicy": {**policy, "Delay": 5 * 10**9, "Interval": 86400 * 10**9}}]
    assert file_differences(edited(Type="batch", Reschedule=policy), edited(Type="batch", TaskGroups=merged)) == []
    own = [{**JOB["TaskGroups"][0], "ReschedulePolicy": {"Attempts": 2}}]
    found = file_differences(
        edited(Type="batch", Reschedule=policy, TaskGroups=own), edited(Type="batch", TaskGroups=merged)
    )
    assert [str(one) for one in found] == ["TaskGroups[g].ReschedulePolicy.Attempts: 2 => 0"]
