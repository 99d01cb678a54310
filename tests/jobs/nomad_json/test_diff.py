from __future__ import annotations

from typing import Any

from jobs.nomad_json.diff import job_diff
from tests.regions.local.state.builders import job


def _edited(**fields: Any) -> dict[str, Any]:
    return job_diff(job(), job(**fields), {"g": {"Ignore": 1}})


def test_no_change_is_none_and_names_every_task() -> None:
    diff = _edited()
    assert diff["Type"] == "None"
    assert diff["Fields"] is None
    assert diff["TaskGroups"] == [
        {
            "Fields": None,
            "Name": "g",
            "Objects": None,
            "Tasks": [{"Annotations": None, "Fields": None, "Name": "t", "Objects": None, "Type": "None"}],
            "Type": "None",
            "Updates": {"ignore": 1},
        }
    ]


def test_an_edit_names_the_field_and_what_it_forces() -> None:
    diff = _edited(cpu=600, Meta={"a": "b"})
    assert diff["Type"] == "Edited"
    assert diff["Fields"] == [{"Annotations": None, "Name": "Meta[a]", "New": "b", "Old": "", "Type": "Added"}]
    [task] = diff["TaskGroups"][0]["Tasks"]
    assert task["Annotations"] == ["forces create/destroy update"]
    [resources] = task["Objects"]
    assert resources["Name"] == "Resources"
    assert [(one["Name"], one["Old"], one["New"]) for one in resources["Fields"] if one["Type"] == "Edited"] == [
        ("CPU", "500", "600")
    ]


def test_a_new_job_is_added_whole() -> None:
    diff = job_diff(None, job(count=3), {"g": {"Place": 3}})
    assert diff["Type"] == "Added"
    group = diff["TaskGroups"][0]
    assert group["Updates"] == {"create": 3}
    assert group["Fields"] == [
        {"Annotations": ["forces create"], "Name": "Count", "New": "3", "Old": "", "Type": "Added"}
    ]
    assert [one["Name"] for one in group["Objects"]] == ["RestartPolicy", "ReschedulePolicy", "EphemeralDisk"]
    assert group["Tasks"][0]["Annotations"] == ["forces create"]


def test_lists_of_strings_are_sets() -> None:
    [datacenters] = _edited(Datacenters=["dc1", "dc2"])["Objects"]
    assert datacenters["Type"] == "Added"
    assert [(one["Old"], one["New"], one["Type"]) for one in datacenters["Fields"]] == [
        ("dc1", "dc1", "None"),
        ("", "dc2", "Added"),
    ]
