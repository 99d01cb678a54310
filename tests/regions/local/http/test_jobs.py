from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote

import pytest

from tests.regions.local.http.served import Api


def job(job_id: str = "train", *, cpu: int = 500, **fields: Any) -> dict[str, Any]:
    """A job as a client sends it."""
    task = {"Name": "t", "Driver": "raw_exec", "Config": {"command": "/bin/true"}, "Resources": {"CPU": cpu}}
    group = {"Name": "g", "Tasks": [task]}
    return {"ID": job_id, "Type": "batch", "Datacenters": ["dc1"], "TaskGroups": [group], **fields}


def parameterized(**fields: Any) -> dict[str, Any]:
    return job(ParameterizedJob={"MetaRequired": ["slot"], "MetaOptional": ["note"]}, Meta={"kept": "1"}, **fields)


def test_a_child_copies_its_parent_and_is_placed(api: Api) -> None:
    api.put("/v1/jobs", {"Job": parameterized()})
    done = api.put("/v1/job/train/dispatch", {"Meta": {"slot": "7"}, "Payload": b64encode(b"data").decode()})
    child_id = done["DispatchedJobID"]
    assert child_id.startswith("train/dispatch-")
    assert api.finished(done["EvalID"])["Status"] == "complete"
    for written in (child_id, quote(child_id, safe="")):
        child = api.get(f"/v1/job/{written}")
        assert (child["ParentID"], child["Dispatched"], child["Meta"]) == ("train", True, {"kept": "1", "slot": "7"})
        assert child["Payload"] == b64encode(b"data").decode()
        assert [alloc["Name"] for alloc in api.get(f"/v1/job/{written}/allocations")] == [f"{child_id}.g[0]"]
        assert len(api.get(f"/v1/job/{written}/evaluations")) == 1
    assert api.get("/v1/job/train/summary")["Children"] == {"Dead": 0, "Pending": 0, "Running": 1}
    listed = {one["ID"]: one["ParameterizedJob"] for one in api.get("/v1/jobs?prefix=train")}
    assert listed == {"train": True, child_id: False}


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({}, 500, "Dispatch did not provide required meta keys: [slot]"),
        ({"Meta": {"slot": "1", "q": "2"}}, 500, "Dispatch request included unpermitted metadata keys: [q]"),
        ({"Meta": {"slot": "1"}, "Payload": "%%"}, 400, "illegal base64 data at input byte 0"),
        (
            {"Meta": {"slot": "1"}, "Payload": b64encode(b"x" * 16385).decode()},
            500,
            "Payload exceeds maximum size; 16385 > 16384",
        ),
        ({"JobID": "other"}, 400, "Job ID does not match"),
        (b"", 400, "Request body is empty"),
    ],
)
def test_a_dispatch_is_refused_in_nomads_words(api: Api, body: Any, status: int, sentence: str) -> None:
    api.put("/v1/jobs", {"Job": parameterized()})
    assert api.ask("PUT", "/v1/job/train/dispatch", body) == (status, sentence)
    assert len(api.get("/v1/jobs")) == 1


def test_payloads_are_required_or_forbidden(api: Api) -> None:
    for rule, body, sentence in (
        ("required", {}, "Payload is not provided but required by parameterized job"),
        ("forbidden", {"Payload": "eA=="}, "Payload provided but forbidden by parameterized job"),
    ):
        api.put("/v1/jobs", {"Job": job(rule, ParameterizedJob={"Payload": rule})})
        assert api.ask("PUT", f"/v1/job/{rule}/dispatch", body) == (500, sentence)


def test_an_idempotency_token_counts_in_the_query_only(api: Api) -> None:
    api.put("/v1/jobs", {"Job": parameterized()})
    body = {"Meta": {"slot": "1"}, "idempotency_token": "same"}
    plain = [api.put("/v1/job/train/dispatch", body)["DispatchedJobID"] for _ in range(2)]
    assert plain[0] != plain[1]
    first, second = (api.put("/v1/job/train/dispatch?idempotency_token=x", body) for _ in range(2))
    assert (first["DispatchedJobID"], second["EvalID"]) == (second["DispatchedJobID"], "")


def test_registering_enforces_the_index_and_makes_versions(api: Api) -> None:
    index = api.put("/v1/jobs", {"Job": job(), "EnforceIndex": True, "JobModifyIndex": 0})["JobModifyIndex"]
    conflicts = [
        ({"EnforceIndex": True}, "Enforcing job modify index 0: job already exists"),
        (
            {"EnforceIndex": True, "JobModifyIndex": 99},
            f"Enforcing job modify index 99: job exists with conflicting job modify index: {index}",
        ),
    ]
    for flags, sentence in conflicts:
        assert api.ask("PUT", "/v1/jobs", {"Job": job(), **flags}) == (500, sentence)
    assert api.put("/v1/jobs", {"Job": job()})["JobModifyIndex"] == index
    api.put("/v1/jobs", {"Job": job(Meta={"a": "b"}), "EnforceIndex": True, "JobModifyIndex": index})
    versions = api.get("/v1/job/train/versions?diffs=true")
    assert [one["Version"] for one in versions["Versions"]] == [1, 0]
    assert versions["Diffs"][0]["Fields"][0]["Name"] == "Meta[a]"


@pytest.mark.parametrize(
    ("wanted", "feature"),
    [
        ({"Type": "service"}, "job type service"),
        ({"Periodic": {"Spec": "@daily"}}, "periodic jobs"),
        ({"AllAtOnce": True}, "all_at_once"),
    ],
)
def test_what_is_not_done_is_refused_by_name(api: Api, wanted: dict[str, Any], feature: str) -> None:
    for path in ("/v1/jobs", "/v1/job/train/plan"):
        status, text = api.ask("PUT", path, {"Job": job(**wanted)})
        assert status == 501
        assert text.startswith(feature)
    assert api.get("/v1/jobs") == []


def test_a_plan_tells_the_shortfall_and_changes_nothing(api: Api) -> None:
    wanted = job()
    wanted["TaskGroups"][0]["Count"] = 10
    before = api.store.snapshot
    plan = api.put("/v1/job/train/plan", {"Job": wanted, "Diff": True})
    assert plan["FailedTGAllocs"]["g"]["CoalescedFailures"] == 5
    assert plan["Annotations"]["DesiredTGUpdates"]["g"]["Place"] == 10
    assert plan["Diff"]["Type"] == "Added"
    assert plan["JobModifyIndex"] == 0
    assert api.store.snapshot is before


def test_a_stopped_job_can_be_started_again_and_a_purged_one_is_gone(api: Api) -> None:
    done = api.put("/v1/jobs", {"Job": job()})
    api.finished(done["EvalID"])
    stopping = api.ask("DELETE", "/v1/job/train")[1]
    api.finished(stopping["EvalID"])
    stopped = api.get("/v1/job/train")
    assert (stopped["Stop"], stopped["Status"], stopped["Version"]) == (True, "dead", 1)
    assert api.client.stopped == api.client.started
    api.finished(api.put("/v1/jobs", {"Job": job()})["EvalID"])
    assert api.get("/v1/job/train")["Status"] == "running"
    assert api.ask("DELETE", "/v1/job/train?purge=true")[0] == 200
    assert api.ask("GET", "/v1/job/train") == (404, "job not found")


def test_parsing_reads_variables(api: Api) -> None:
    text = 'variable "dc" { default = "a" }\njob "x" { datacenters = [var.dc] }'
    assert api.put("/v1/jobs/parse", {"JobHCL": text, "Variables": 'dc = "b"'})["Datacenters"] == ["b"]
    assert api.ask("PUT", "/v1/jobs/parse", {"JobHCL": text, "Canonicalize": True})[0] == 501
    status, sentence = api.ask("PUT", "/v1/jobs/parse", {"JobHCL": 'job "x" {'})
    assert status == 400
    assert sentence.startswith("Failed to parse job: input.hcl:1")


def test_a_sysbatch_job_is_refused(api: Api) -> None:
    sentence = "job type sysbatch: not supported by this development engine, which runs batch jobs only"
    assert api.ask("PUT", "/v1/jobs", {"Job": job(ID="everywhere", Type="sysbatch")}) == (501, sentence)
    assert api.ask("GET", "/v1/job/everywhere")[0] == 404


def test_validation_lists_what_is_wrong(api: Api) -> None:
    answer = api.put("/v1/validate/job", {"Job": {"ID": "x", "Type": "batch"}})
    assert answer["ValidationErrors"] == ["Missing job task groups"]
    assert answer["Error"] == "1 error occurred:\n\t* Missing job task groups\n\n"
    assert api.put("/v1/validate/job", {"Job": job()})["ValidationErrors"] is None
