"""Lists: filter expressions, pages and order."""

from __future__ import annotations

import json
import re

import pytest

from regions.local.nomad_version import UNDATED


@pytest.fixture
def jobs(us, new_id, new_job):
    """Three parameterized jobs whose IDs begin alike."""
    prefix = new_id("list")
    made = []
    for number in range(3):
        job = new_job(ParameterizedJob={}, Meta={"number": str(number)}, Priority=50 + number)
        job["ID"] = job["Name"] = f"{prefix}-{number}"
        us.register(job, enforce_index=0)
        made.append(job["ID"])
    return prefix, made


FILTERS = [
    ('Meta.number == "1"', [1]),
    ('Meta["number"] == "1"', [1]),
    ('"/Meta/number" == "1"', [1]),
    ('Meta.number != "1"', [0, 2]),
    ('Meta.nothing == "1"', []),
    ('Meta.nothing != "1"', [0, 1, 2]),
    ("Meta.nothing is empty", [0, 1, 2]),
    ("Meta.nothing is not empty", []),
    ('"number" in Meta', [0, 1, 2]),
    ("number not in Meta", []),
    ('Meta contains "number"', [0, 1, 2]),
    ('Datacenters contains "us-east-1"', [0, 1, 2]),
    ('"mars" not in Datacenters', [0, 1, 2]),
    ('Datacenters not contains "us-east-1"', []),
    ("Priority == 51", [1]),
    ("Priority != 51", [0, 2]),
    ("Status == running and not Stop == true", [0, 1, 2]),
    ("Stop == false", [0, 1, 2]),
    ('ID matches "-[02]$"', [0, 2]),
    ("ID not matches `-[02]$`", [1]),
    ("Priority == 50 or Priority == 51 and Status == pending", [0]),
    ("(Priority == 50 or Priority == 51) and Status == running", [0, 1]),
    ("not (Priority == 50)", [1, 2]),
    ("not not Priority == 50", [0]),
    ("TaskGroups.0.Name == g", [0, 1, 2]),
    ('"list-" in ID', [0, 1, 2]),
    ("Payload is empty", [0, 1, 2]),
]


@pytest.mark.parametrize(("expression", "expected"), FILTERS)
def test_filters(federation, jobs, expression, expected):
    prefix, made = jobs
    found = federation.get("/v1/jobs", prefix=prefix, filter=expression)
    assert [one["ID"] for one in found] == [made[number] for number in expected]


_PAGE = "failed to read result page:"
_NO_FIELD = 'couldn\'t find key: struct field with name "Nothing"'


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("Status ==", "failed to create result paginator: failed to read filter expression: "),
        ("Status = running", "failed to create result paginator: failed to read filter expression: "),
        ("(Status == running", "failed to create result paginator: failed to read filter expression: "),
        (
            "Nothing == 1",
            f"{_PAGE} error finding value in datum: /Nothing at part 0: {_NO_FIELD}",
        ),
        (
            "Priority == high",
            f'{_PAGE} error getting match value in expression: strconv.ParseInt: parsing "high": invalid syntax',
        ),
        ('Priority contains "5"', "failed to read result page: Cannot perform in/contains operations on type int"),
        ('Priority matches "5"', "failed to read result page: Value of type int is not convertible to []byte"),
    ],
)
def test_filters_that_mean_nothing(federation, jobs, expression, words):
    if federation.answers_as >= UNDATED:
        words = re.sub(": (Cannot|Value)", lambda match: match[0].lower(), words)
    status, _, text = federation.raw("GET", "/v1/jobs", prefix=jobs[0], filter=expression)
    assert (status, text[: len(words)]) == (400, words)


@pytest.mark.parametrize("kind", ["jobs", "allocations", "evaluations"])
def test_pages(us, federation, new_job, in_states, kind):
    job = new_job(count=3)
    us.register(job, enforce_index=0)
    federation.wait_for_allocations(job["ID"], in_states("complete"))
    # Of one job, so that all have one index: real Nomad goes astray where the index gains a digit.
    own = {"filter": f'{"ID" if kind == "jobs" else "JobID"} == "{job["ID"]}"'}
    everything = federation.get(f"/v1/{kind}", **own)
    token, found = "", []
    while True:
        status, headers, text = federation.raw("GET", f"/v1/{kind}", per_page=1, next_token=token, **own)
        assert status == 200
        page = json.loads(text)
        found += [one["ID"] for one in page]
        token = headers.get("X-Nomad-NextToken", "")
        assert len(page) == 1
        if not token:
            break
    assert found == [one["ID"] for one in everything]
    _, headers, _ = federation.raw("GET", f"/v1/{kind}", per_page=len(everything), **own)
    assert "X-Nomad-NextToken" not in headers


def test_allocations_come_in_the_order_of_their_age(us, federation, new_job, in_states):
    made = []
    for _ in range(3):
        job = new_job()
        us.register(job, enforce_index=0)
        made += [one["ID"] for one in federation.wait_for_allocations(job["ID"], in_states("complete"))]
    expression = " or ".join(f'ID == "{one}"' for one in made)
    found = [one["ID"] for one in federation.get("/v1/allocations", filter=expression) if one["ID"] in made]
    assert found == made
    backwards = [
        one["ID"] for one in federation.get("/v1/allocations", filter=expression, reverse="true") if one["ID"] in made
    ]
    assert backwards == made[::-1]


def test_what_lists_tell_when_asked(us, federation, jobs, new_job, in_states):
    job = new_job()
    us.register(job, enforce_index=0)
    federation.wait_for_allocations(job["ID"], in_states("complete"))
    for path, query, name in (
        ("/v1/nodes", "resources", "NodeResources"),
        ("/v1/nodes", "resources", "ReservedResources"),
        ("/v1/allocations", "resources", "AllocatedResources"),
    ):
        assert all(name in one for one in federation.get(path, **{query: "true"}))
        assert not any(name in one for one in federation.get(path))
    stubs = federation.get("/v1/jobs", prefix=jobs[0], meta="true")
    assert [one.get("Meta") for one in stubs] == [{"number": str(n)} for n in range(3)]
    assert not any("Meta" in one for one in federation.get("/v1/jobs", prefix=jobs[0]))
    states = federation.get("/v1/allocations", task_states="false")
    assert {one["TaskStates"] is None for one in states} == {True}


def test_the_reverse_of_jobs(federation, jobs):
    prefix, made = jobs
    is_known = federation.answers_as >= UNDATED
    found = [one["ID"] for one in federation.get("/v1/jobs", prefix=prefix, reverse="true")]
    assert found == (made[::-1] if is_known else made)
    if not is_known:  # pages begin anywhere
        return
    pages = {"prefix": prefix, "reverse": "true", "per_page": 2}
    _, headers, text = federation.raw("GET", "/v1/jobs", **pages)
    token = headers["X-Nomad-NextToken"]
    rest = federation.get("/v1/jobs", next_token=token, **pages)
    assert [one["ID"] for one in [*json.loads(text), *rest]] == found


@pytest.mark.parametrize(
    ("expression", "is_met"),
    [("Meta is nil", False), ("Multiregion is nil", True), ("Payload is not nil", False), ("Priority is nil", None)],
)
def test_what_is_nil(federation, jobs, expression, is_met):
    status, _, text = federation.raw("GET", "/v1/jobs", prefix=jobs[0], filter=expression)
    if federation.answers_as < UNDATED:
        assert (status, text[:66]) == (400, "failed to create result paginator: failed to read filter expressio")
    elif is_met is None:
        assert (status, text[:71]) == (400, "failed to read result page: cannot perform is-nil operations on type in")
    else:
        assert (status, len(json.loads(text))) == (200, 3 if is_met else 0)


def test_headers_and_stale_reads(federation, jobs):
    for query in ({}, {"stale": ""}, {"consistent": ""}):
        status, headers, _ = federation.raw("GET", "/v1/jobs", prefix=jobs[0], **query)
        assert status == 200
        assert int(headers["X-Nomad-Index"]) > 0
        assert headers["X-Nomad-KnownLeader"] == "true"
        assert headers["X-Nomad-LastContact"].isdigit()
    status, headers, text = federation.raw("GET", f"/v1/job/{jobs[1][0]}", pretty="")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert text.startswith("{\n    ")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"index": "x"}, (400, "Invalid index")),
        ({"wait": "x"}, (400, "Invalid wait time")),
        ({"resources": "perhaps"}, None),
        ({"prefix": "zz"}, None),
        ({"prefix": "abc"}, None),
    ],
)
def test_parameters_that_mean_nothing(federation, query, expected):
    status, _, text = federation.raw("GET", "/v1/allocations", **query)
    no_bool = 'strconv.ParseBool: parsing "perhaps": invalid syntax'
    wrong = {
        "resources": f'Failed to parse value of "resources" (perhaps) as a bool: {no_bool}',
        "zz": "alloc lookup failed: index error: Invalid UUID: encoding/hex: invalid byte: U+007A 'z'",
        "abc": "alloc lookup failed: index error: Input (without hyphens) must be even length",
    }
    assert (status, text) == (expected or (500, wrong[query.get("prefix", "resources")]))


def test_filters_of_other_lists(us, federation, new_job, in_states):
    job = new_job()
    us.register(job, enforce_index=0)
    (alloc,) = federation.wait_for_allocations(job["ID"], in_states("complete"))
    of_job = f'JobID == "{job["ID"]}"'
    for kind, expression, name in (
        ("allocations", f"{of_job} and ClientStatus == complete", alloc["ID"]),
        ("allocations", f"{of_job} and NextAllocation is empty and Job.Priority == 50", alloc["ID"]),
        ("evaluations", f'{of_job} and BlockedEval == "" and TriggeredBy == "job-register"', alloc["EvalID"]),
        ("nodes", 'Attributes["kernel.name"] == "linux" and Status == ready', alloc["NodeID"]),
        ("nodes", '"raw_exec" in Drivers and Meta.x is empty', alloc["NodeID"]),
    ):
        found = [one["ID"] for one in federation.get(f"/v1/{kind}", filter=expression)]
        assert found == [name]


def test_a_filter_beside_the_older_parameters(federation):
    status, _, text = federation.raw("GET", "/v1/evaluations", filter='JobID == "x"', job="x")
    assert (status, text) == (400, "Filter expression cannot be used with other filter parameters")
