"""Jobs written as JSON, with what `nomad job run -json -output` of 1.6.3 and 2.0.5 says to the same text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.errors import InvalidSpec
from jobs.nomad_json.decode import decode_job

GOLDEN = sorted((Path(__file__).parents[1] / "hcl" / "golden").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_what_nomad_prints_is_read_as_it_is(path):
    job = json.loads(path.read_text(encoding="utf-8"))
    assert decode_job(json.dumps({"Job": job}), path.name) == job
    assert decode_job(json.dumps(job), path.name) == job


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ('{"job": {"id": "x", "taskgroups": [{"name": "g"}]}}', {"ID": "x", "TaskGroups": [{"Name": "g"}]}),
        ('{"iD": "x", "META": {"Key": "1"}}', {"ID": "x", "Meta": {"Key": "1"}}),
        ('{"ID": "x", "\u017ftop": true}', {"ID": "x", "Stop": True}),
        ('{"Job": null, "ID": "x"}', {"ID": "x"}),
        ('{"Job": {"ID": "in"}, "ID": "out"}', {"ID": "in"}),
        ('{"JOB": {"ID": "x"}, "job": {"Type": "batch"}}', {"ID": "x", "Type": "batch"}),
        ('{"ID": "x", "ID": "y", "Meta": {"a": "1"}, "meta": {"b": "2"}}', {"ID": "y", "Meta": {"a": "1", "b": "2"}}),
        ('{"ID": "x", "Type": null, "Meta": {"a": null}}', {"ID": "x", "Type": None, "Meta": {"a": ""}}),
        ('{"ID": "x", "Datacenters": [null, "a"]}', {"ID": "x", "Datacenters": ["", "a"]}),
        ('{"ID": "x", "Constraints": [{"LTarget": null}]}', {"ID": "x", "Constraints": [{}]}),
        ('{"ID": "x"} and more', {"ID": "x"}),
        (' \n{"ID": "\\ud800"}', {"ID": "\ufffd"}),
        ('{"ID": "x", "OfAnotherVersion": [1.0]}', {"ID": "x", "OfAnotherVersion": [1]}),
    ],
)
def test_is_read_as_go_reads_it(text, job):
    assert decode_job(text, "job.json") == job


def test_numbers_in_a_config_are_floats():
    config = '{"a": 1.0, "b": 12345678901234567890, "c": 1.5, "d": [null, 3]}'
    job = decode_job(f'{{"ID": "x", "TaskGroups": [{{"Tasks": [{{"Config": {config}}}]}}]}}', "job.json")
    found = job["TaskGroups"][0]["Tasks"][0]["Config"]
    assert found == {"a": 1, "b": 12345678901234567168, "c": 1.5, "d": [None, 3]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"Job": {"ID": "x", "Priority": "50"}}', "Job.Priority is a string, not an integer"),
        ('{"Job": {"ID": "x", "Priority": 50.0}}', "Job.Priority is the number 50.0, not an integer"),
        ('{"Job": {"ID": "x", "Priority": 1e2}}', "Job.Priority is the number 1e2, not an integer"),
        (
            '{"ID": "x", "priority": 99999999999999999999}',
            "Priority is the number 99999999999999999999, not an integer",
        ),
        ('{"Job": {"ID": "x", "TaskGroups": {"Name": "g"}}}', "Job.TaskGroups is an object, not a list"),
        ('{"Job": {"ID": "x", "TaskGroups": [null]}}', r"Job.TaskGroups\[0\] is null, not an object"),
        (
            '{"Job": {"ID": "x", "TaskGroups": [{}, {"RestartPolicy": {"Delay": "15s"}}]}}',
            r"Job.TaskGroups\[1\].RestartPolicy.Delay is a string, not a duration.*nanoseconds",
        ),
        ('{"Job": {"ID": "x", "AllAtOnce": 1}}', "Job.AllAtOnce is the number 1, not true or false"),
        ('{"Job": {"ID": "x", "Stop": "true"}}', "Job.Stop is a string, not true or false"),
        ('{"Job": {"ID": "x", "Status": 1}}', "Job.Status is the number 1, not a string"),
        ('{"Job": {"ID": 5}}', "Job.ID is the number 5, not a string"),
        ('{"Job": {"ID": "x", "Meta": {"a": 1}}}', "Job.Meta.a is the number 1, not a string"),
        ('{"Job": {"ID": "x", "Meta": ["a"]}}', "Job.Meta is a list, not an object"),
        ('{"Job": {"ID": "x", "Datacenters": "dc1"}}', "Job.Datacenters is a string, not a list"),
        ('{"ID": "x", "TaskGroups": [{"Tasks": [{"Config": {"a": 1e400}}]}]}', "Config.a is the number 1e400, not"),
        ('{"Job": 5}', "Job is the number 5, not an object"),
        ('{"job": {"t": {"type": "batch"}}}', "is HCL in JSON syntax, which fedml doesn't read"),
        ('{"Job": {}}', "holds no Nomad job"),
        ('["x"]', "it is a list, not an object"),
        ("", r"job\.json:1:1: broken JSON"),
        ('{"ID": "x",}', r"job\.json:1:12: broken JSON"),
        ('{"ID": NaN}', "NaN is not a JSON number"),
        ('\ufeff{"ID": "x"}', "byte order mark"),
    ],
)
def test_what_go_refuses_is_refused_with_its_place(text, problem):
    with pytest.raises(InvalidSpec, match=problem) as caught:
        decode_job(text, "job.json")
    assert str(caught.value).startswith("job.json")
