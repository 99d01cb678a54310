from __future__ import annotations

import pytest

from regions.local.state.canonical import WrongType, canonical_job
from regions.local.state.job_rules import duration, joined, problems, unsupported
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


def test_problems_nest_as_nomads_errors_do() -> None:
    wrong = job(cpu=0, memory_mb=5)
    assert joined(problems(wrong, ("default",))) == (
        "1 error occurred:\n\t* Task group g validation failed: 1 error occurred:\n\t* Task t validation failed:"
        " 1 error occurred:\n\t* 1 error occurred:\n\t* 2 errors occurred:\n\t* minimum CPU value is 1; got 0\n\t*"
        " minimum MemoryMB value is 10; got 5\n\n\n\n\n\n\n\n\n\n"
    )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"TaskGroups": None}, "Missing job task groups"),
        ({"Type": "foo"}, 'Invalid job type: "foo"'),
        ({"Priority": 500}, "job priority must be between [1, 100]"),
        ({"Namespace": "other"}, 'job "train" is in nonexistent namespace "other"'),
        ({"Multiregion": {"Regions": [{"Name": "us"}]}}, "Multiregion jobs are unlicensed."),
    ],
)
def test_a_problem_has_nomads_sentence(fields: dict[str, object], sentence: str) -> None:
    assert problems({**job(), **fields}, ("default",)) == [sentence]


def test_what_the_engine_does_not_do_is_named() -> None:
    assert unsupported(job()) is None
    assert unsupported({**job(), "Type": "service"}) == "job type service"
    assert unsupported({**job(), "Periodic": {"Spec": "* * * * *"}}) == "periodic jobs"
    served = job()
    served["TaskGroups"][0]["Services"] = [{"Name": "web"}]
    assert unsupported(served) == "services"


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (1_500_000, "1.5ms"),
        (90_000_000_000, "1m30s"),
        (86_400 * 10**9, "24h0m0s"),
    ],
)
def test_durations_are_written_as_go_writes_them(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text
