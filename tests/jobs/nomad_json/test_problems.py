from __future__ import annotations

import pytest

from jobs.nomad_json.problems import joined, problems, sentences
from tests.regions.local.state.builders import job


def test_problems_nest_as_nomads_errors_do() -> None:
    wrong = job(cpu=0, memory_mb=5)
    assert joined(problems(wrong)) == (
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
        ({"Multiregion": {"Regions": [{"Name": "us"}]}}, "Multiregion jobs are unlicensed."),
    ],
)
def test_a_problem_has_nomads_sentence(fields: dict[str, object], sentence: str) -> None:
    assert problems({**job(), **fields}) == [sentence]


def test_for_people_each_is_a_sentence_after_its_place() -> None:
    assert sentences(problems(job(cpu=0, memory_mb=5))) == [
        "Task group g validation failed:",
        "Task t validation failed:",
        "minimum CPU value is 1; got 0",
        "minimum MemoryMB value is 10; got 5",
    ]
