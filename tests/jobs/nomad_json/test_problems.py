from __future__ import annotations

import json
import os
import re

import pytest

from jobs.nomad_json.canonical import canonical_job
from jobs.nomad_json.problems import NEWEST, OLDEST, impossible_names, problems
from jobs.nomad_json.validation.problem import joined, place_text
from tests.jobs.nomad_json.refused import CASES, RECORDED, answers_of, comparable
from tests.regions.local.state.builders import job

ANSWERS: dict[str, dict[str, list[str] | str]] = json.loads(RECORDED.read_text(encoding="utf-8"))
OF_THE_REGION = re.compile(r'Vault( "\w+")? not enabled but used in the job')
"""What a server refuses for what it lacks itself."""


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", CASES)
def test_a_job_is_refused_as_real_servers_refuse_it(name: str, version: str) -> None:
    canonical = canonical_job(CASES[name].job, "global", version)
    found = [problem.message for problem in (*impossible_names(canonical), *problems(canonical, version))]

    answer = ANSWERS[name][version]
    if isinstance(answer, str):
        assert comparable(answer)[0] in found
    else:
        assert comparable(found) == comparable([error for error in answer if not OF_THE_REGION.fullmatch(error)])


def test_enough_jobs_of_every_kind_were_asked() -> None:
    assert set(ANSWERS) == set(CASES)
    refused = [name for name, answers in ANSWERS.items() if any(answers.values())]
    accepted = [name for name, answers in ANSWERS.items() if not any(answers.values())]
    assert len(refused) > 300
    assert {name for name in CASES if name.startswith("ok-")} <= set(accepted)


@pytest.mark.skipif("NOMAD_BIN" not in os.environ, reason="no Nomad binary: name some in NOMAD_BIN")
def test_the_recorded_answers_are_those_of_this_nomad() -> None:
    for version, answers in map(answers_of, os.environ["NOMAD_BIN"].split(os.pathsep)):
        recorded = {name: comparable(each[version]) for name, each in ANSWERS.items()}
        assert {name: comparable(answer) for name, answer in answers.items()} == recorded


def test_problems_nest_as_nomads_errors_do() -> None:
    wrong = job(cpu=0, memory_mb=5)
    assert joined(problems(wrong, OLDEST)) == (
        "1 error occurred:\n\t* Task group g validation failed: 1 error occurred:\n\t* Task t validation failed:"
        " 1 error occurred:\n\t* 1 error occurred:\n\t* 2 errors occurred:\n\t* minimum CPU value is 1; got 0\n\t*"
        " minimum MemoryMB value is 10; got 5\n\n\n\n\n\n\n\n\n\n"
    )


def test_for_people_each_is_a_sentence_with_its_place() -> None:
    found = [sentence for problem in problems(job(cpu=0, memory_mb=5)) for sentence in problem.sentences()]
    assert [(place_text(one.place), one.text) for one in found] == [
        ('group "g" / task "t" / resources / cpu', "minimum CPU value is 1; got 0"),
        ('group "g" / task "t" / resources / memory', "minimum MemoryMB value is 10; got 5"),
    ]
