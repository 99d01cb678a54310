from __future__ import annotations

import pytest

from jobs.nomad_json.canonical import WrongType, canonical_job
from tests.regions.local.state.builders import job


def test_defaults_are_those_that_a_server_answers() -> None:
    made = job()
    group, task = made["TaskGroups"][0], made["TaskGroups"][0]["Tasks"][0]
    assert group["RestartPolicy"] == {
        "Attempts": 3,
        "Delay": 15_000_000_000,
        "Interval": 86_400_000_000_000,
        "Mode": "fail",
        "RenderTemplates": False,
    }
    assert group["ReschedulePolicy"]["Attempts"] == 1
    assert task["KillTimeout"] == 5_000_000_000
    assert task["LogConfig"] == {"Disabled": False, "MaxFileSizeMB": 10, "MaxFiles": 10}
    assert task["RestartPolicy"] == group["RestartPolicy"]
    assert made["Priority"] == 50
    assert made["Region"] == "us"
    assert canonical_job({"ID": "x", "Type": "batch"}, "us")["Datacenters"] == ["*"]


def test_names_are_read_whatever_their_case_and_unknown_ones_dropped() -> None:
    made = canonical_job({"id": "x", "TYPE": "batch", "NotAField": 1}, "us")
    assert made["ID"] == "x"
    assert made["Type"] == "batch"
    assert "NotAField" not in made


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"ID": 3}, "json: cannot unmarshal number into Go struct field Job.Job.ID of type string"),
        (
            {"ID": "x", "Priority": "high"},
            "json: cannot unmarshal string into Go struct field Job.Job.Priority of type int",
        ),
        (
            {"ID": "x", "Meta": {"a": 1}},
            "json: cannot unmarshal number into Go struct field Job.Job.Meta of type string",
        ),
    ],
)
def test_a_wrong_type_is_refused_in_nomads_words(raw: dict[str, object], sentence: str) -> None:
    with pytest.raises(WrongType) as caught:
        canonical_job(raw, "us")
    assert str(caught.value) == sentence
