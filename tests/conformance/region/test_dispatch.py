"""Dispatching: what a parent takes, what a child is, and tokens."""

from __future__ import annotations

import base64
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from regions.errors import InvalidJob
from regions.local.nomad_version import DISPATCH_PRIORITY


@pytest.fixture
def parent(us, new_job):
    job = new_job(
        'echo "$NOMAD_META_a $NOMAD_META_b"',
        ParameterizedJob={"Payload": "optional", "MetaRequired": ["a"], "MetaOptional": ["b", "c"]},
        Meta={"b": "default", "fedml_spec": "hash"},
    )
    us.register(job, enforce_index=0)
    return job["ID"]


@pytest.mark.parametrize(
    ("meta", "payload", "sentence"),
    [
        ({}, b"", "Dispatch did not provide required meta keys: [a]"),
        ({"a": "1", "z": "2"}, b"", "Dispatch request included unpermitted metadata keys: [z]"),
        ({"z": "2"}, b"", "Dispatch request included unpermitted metadata keys: [z]"),
        ({"a": "1", "fedml_spec": "x"}, b"", "Dispatch request included unpermitted metadata keys: [fedml_spec]"),
        ({"a": "1"}, b"x" * 16385, "Payload exceeds maximum size; 16385 > 16384"),
    ],
)
def test_what_is_refused(us, federation, parent, meta, payload, sentence):
    with pytest.raises(InvalidJob, match=re.escape(sentence) + "$"):
        us.dispatch(parent, meta=meta, payload=payload)
    body = {"Meta": meta, "Payload": base64.b64encode(payload).decode()}
    assert federation.raw("PUT", f"/v1/job/{parent}/dispatch", body=body)[::2] == (500, sentence)
    assert us.jobs(parent + "/") == []


@pytest.mark.parametrize(
    ("rule", "payload", "sentence"),
    [
        ("required", b"", "Payload is not provided but required by parameterized job"),
        ("forbidden", b"x", "Payload provided but forbidden by parameterized job"),
    ],
)
def test_payload_rules(us, new_job, rule, payload, sentence):
    job = new_job(ParameterizedJob={"Payload": rule})
    us.register(job, enforce_index=0)
    with pytest.raises(InvalidJob, match=sentence):
        us.dispatch(job["ID"], meta={}, payload=payload)


def test_a_job_that_is_not_parameterized(us, new_job):
    job = new_job()
    us.register(job, enforce_index=0)
    with pytest.raises(InvalidJob, match=f'Specified job "{job["ID"]}" is not a parameterized job'):
        us.dispatch(job["ID"], meta={})


def test_the_childs_fields(us, federation, parent):
    before = int(time.time())
    dispatched = us.dispatch(parent, meta={"a": "1", "c": ""}, payload=b"x" * 16384)
    found = re.fullmatch(re.escape(parent) + r"/dispatch-(\d+)-[0-9a-f]{8}", dispatched.job_id)
    assert found
    assert before <= int(found.group(1)) <= time.time()
    child = us.job(dispatched.job_id)
    assert child["Meta"] == {"a": "1", "b": "default", "c": "", "fedml_spec": "hash"}
    assert (child["ParentID"], child["Name"], child["Dispatched"]) == (parent, dispatched.job_id, True)
    assert child["ParameterizedJob"] is not None
    assert (child["Type"], child["Version"], child["Stop"]) == ("batch", 0, False)
    assert child["Payload"]

    alloc = federation.finished(dispatched.job_id)
    assert (alloc.client_status, alloc.group, alloc.index) == ("complete", "g", 0)
    assert us.logs(alloc.id, "main") == b"1 default\n"
    federation.wait(f"/v1/job/{parent}/summary", lambda summary: summary["Children"]["Dead"] == 1)
    assert us.summary(parent)["Children"] == {"Pending": 0, "Running": 0, "Dead": 1}
    (evaluation,) = us.evaluations(dispatched.job_id)
    assert evaluation["ID"] == dispatched.eval_id
    assert (evaluation["TriggeredBy"], evaluation["Status"]) == ("job-register", "complete")


def test_a_payload_reaches_its_file(us, federation, new_job, task):
    main = task("main", "cat $NOMAD_TASK_DIR/in.bin", DispatchPayload={"File": "in.bin"})
    job = new_job(ParameterizedJob={"Payload": "required"}, tasks=[main])
    us.register(job, enforce_index=0)
    alloc = federation.finished(us.dispatch(job["ID"], meta={}, payload=b"\x00\xffhello").job_id)
    assert us.logs(alloc.id, "main") == b"\x00\xffhello"


def test_idempotency_tokens(us, parent):
    assert us.job(parent)["DispatchIdempotencyToken"] == ""
    first = us.dispatch(parent, meta={"a": "1"}, idempotency_token="run-0-1")
    again = us.dispatch(parent, meta={"a": "other"}, idempotency_token="run-0-1")
    other = us.dispatch(parent, meta={"a": "1"}, idempotency_token="run-0-2")
    assert first.eval_id
    assert other.job_id != first.job_id
    assert (again.job_id, again.eval_id) == (first.job_id, "")
    assert us.job(first.job_id)["DispatchIdempotencyToken"] == "run-0-1"


def test_a_token_in_the_body_does_not_count(us, federation, parent):
    body = {"Meta": {"a": "1"}, "idempotency_token": "t"}  # where python-nomad puts it
    for _ in range(2):
        status, _, text = federation.raw("PUT", f"/v1/job/{parent}/dispatch", body=body)
        assert status == 200, text
    assert len(us.jobs(parent + "/")) == 2


def test_nomads_own_name_in_the_body_counts(us, federation, parent):
    body = {"Meta": {"a": "1"}, "IdempotencyToken": "t"}
    for _ in range(2):
        status, _, text = federation.raw("PUT", f"/v1/job/{parent}/dispatch", body=body)
        assert status == 200, text
    assert len(us.jobs(parent + "/")) == 1


def test_a_childs_id_begins_as_asked(us, federation, parent):
    body = {"Meta": {"a": "1"}, "IdPrefixTemplate": "mine", "Priority": 70}
    status, _, text = federation.raw("PUT", f"/v1/job/{parent}/dispatch", body=body)
    assert status == 200, text
    child = json.loads(text)["DispatchedJobID"]
    assert re.fullmatch(re.escape(f"{parent}/dispatch-mine-") + r"\d+-[0-9a-f]{8}", child)
    assert us.job(child)["Priority"] == (70 if federation.answers_as >= DISPATCH_PRIORITY else 50)


def test_a_child_keeps_the_parents_version_of_its_time(us, federation, new_job):
    job = new_job("echo one", ParameterizedJob={})
    us.register(job, enforce_index=0)
    first = us.dispatch(job["ID"], meta={})
    job["TaskGroups"][0]["Tasks"][0]["Config"]["args"] = ["-c", "echo two"]
    us.register(job, enforce_index=None)
    second = us.dispatch(job["ID"], meta={})
    assert us.logs(federation.finished(first.job_id).id, "main") == b"one\n"
    assert us.logs(federation.finished(second.job_id).id, "main") == b"two\n"


def test_count_two_gives_a_child_two_allocations(us, federation, new_job, in_states):
    job = new_job(count=2, ParameterizedJob={})
    us.register(job, enforce_index=0)
    child = us.dispatch(job["ID"], meta={}).job_id
    federation.wait_for_allocations(child, in_states("complete"))
    allocations, index = us.allocations(job_id=child)
    assert sorted(one.index for one in allocations) == [0, 1]
    assert {one.job_id for one in allocations} == {child}
    assert index >= max(one.modify_index for one in allocations)
    assert {one.id for one in us.allocations()[0]} >= {one.id for one in allocations}


def test_a_child_without_room_is_blocked_and_placed_when_there_is(us, federation, new_job, task, in_states):
    big = {"CPU": 3000, "MemoryMB": 10}
    job = new_job(ParameterizedJob={"MetaRequired": ["s"]}, tasks=[task("main", "sleep $NOMAD_META_s", Resources=big)])
    us.register(job, enforce_index=0)
    first = us.dispatch(job["ID"], meta={"s": "300"}).job_id
    federation.wait_for_allocations(first, in_states("running"))
    second = us.dispatch(job["ID"], meta={"s": "0"}).job_id
    federation.wait(
        "/v1/evaluations", lambda evals: [e for e in evals if e["JobID"] == second and e["Status"] == "blocked"]
    )
    assert {one["JobID"] for one in us.evaluations(status="blocked")} == {second}
    assert us.summary(second)["Summary"]["g"]["Queued"] == 1
    assert us.job(second)["Status"] == "pending"

    us.stop_job(first)
    assert federation.finished(second).client_status == "complete"
    assert us.evaluations(status="blocked") == []


def test_many_at_once(us, federation, parent):
    with ThreadPoolExecutor(6) as pool:
        tokens = [f"many-{number}" for number in range(12)]
        children = list(pool.map(lambda token: us.dispatch(parent, meta={"a": token}, idempotency_token=token), tokens))
    assert len({child.job_id for child in children}) == 12
    for child, token in zip(children, tokens, strict=True):
        alloc = federation.finished(child.job_id)
        assert us.logs(alloc.id, "main").decode() == f"{token} default\n"
    assert {stub["ID"] for stub in us.jobs(parent + "/")} == {child.job_id for child in children}
