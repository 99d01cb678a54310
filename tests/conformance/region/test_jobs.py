"""Registering, reading, listing, parsing, stopping and forgetting jobs."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from regions.errors import Conflict, InvalidJob, NotFound
from regions.local.nomad_version import JOB_MAX_COUNT, LIFECYCLE_HOOK, UNDATED
from regions.nomad.versions import parse_version

HCL = """
job "parsed" {
  datacenters = ["us-east-1"]
  type        = "batch"
  group "g" {
    task "main" {
      driver = "raw_exec"
      config {
        command = "/bin/true"
      }
    }
  }
}
"""


def test_enforce_index(us, new_job):
    job = new_job(Type="batch", ParameterizedJob={"Payload": "optional"})
    with pytest.raises(Conflict, match=r"Enforcing job modify index 3: job does not exist$"):
        us.register(job, enforce_index=3)
    first = us.register(job, enforce_index=0)
    assert first.eval_id == ""
    with pytest.raises(Conflict, match=r"Enforcing job modify index 0: job already exists$"):
        us.register(job, enforce_index=0)

    second = us.register(job | {"Priority": 60}, enforce_index=first.job_modify_index)
    assert second.job_modify_index > first.job_modify_index
    index = second.job_modify_index
    message = (
        f"Enforcing job modify index {first.job_modify_index}: job exists with conflicting job modify index: {index}$"
    )
    with pytest.raises(Conflict, match=message):
        us.register(job, enforce_index=first.job_modify_index)
    registered = us.job(job["ID"])
    assert (registered["JobModifyIndex"], registered["Priority"], registered["Version"]) == (index, 60, 1)


def test_registering_the_same_again_is_no_new_version(us, new_job):
    job = new_job(ParameterizedJob={})
    first = us.register(job, enforce_index=None)
    again = us.register(job, enforce_index=None)
    assert us.job(job["ID"])["Version"] == 0
    assert again.job_modify_index == first.job_modify_index


def test_a_registered_job_is_canonical(us, new_job):
    job = new_job(ParameterizedJob={"MetaRequired": ["a"]}, Meta={"fedml_spec": "x"})
    us.register(job, enforce_index=None)
    registered = us.job(job["ID"])
    assert registered["Status"] == "running"
    assert registered["Meta"] == {"fedml_spec": "x"}
    assert registered["Priority"] == 50
    assert registered["Namespace"] == "default"
    assert registered["Dispatched"] is False
    assert registered["ParentID"] == ""
    assert registered["Stop"] is False
    assert registered["ParameterizedJob"] == {"Payload": "optional", "MetaRequired": ["a"], "MetaOptional": None}
    (group,) = registered["TaskGroups"]
    assert group["Count"] == 1
    assert group["Tasks"][0]["Resources"]["CPU"] == 20
    assert group["Tasks"][0]["KillTimeout"] == 5 * 10**9


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"Type": "foo"}, 'Invalid job type: "foo"'),
        ({"TaskGroups": []}, "Missing job task groups"),
        ({"ID": "with space"}, "Job ID contains a space"),
        ({"Priority": 101}, r"[Jj]ob priority must be between \[1, 100\]"),
        ({"Type": "service", "ParameterizedJob": {}}, 'Parameterized job can only be used with "batch"'),
    ],
)
def test_what_nomad_refuses(us, new_job, change, sentence):
    job = new_job() | change
    with pytest.raises(InvalidJob, match=sentence):
        us.register(job, enforce_index=None)
    with pytest.raises(InvalidJob, match=sentence):
        us.plan_job(job)
    with pytest.raises(NotFound):
        us.job(job["ID"])


def test_not_found_texts(us, federation):
    for path in ("", "/summary"):
        status, _, text = federation.raw("GET", f"/v1/job/nope{path}")
        assert (status, text) == (404, "job not found")
    assert federation.raw("PUT", "/v1/job/nope/dispatch", body={})[::2] == (500, "parameterized job not found")
    unknown = "5613431a-779e-761b-9083-101c1cd7c992"
    assert federation.raw("GET", f"/v1/allocation/{unknown}")[::2] == (404, "alloc not found")
    assert federation.raw("GET", f"/v1/evaluation/{unknown}")[::2] == (404, "eval not found")
    assert federation.raw("GET", f"/v1/node/{unknown}")[::2] == (404, "node not found")
    status, _, text = federation.raw("GET", f"/v1/client/fs/logs/{unknown}", task="t", type="stdout")
    assert (status, text) == (404, f'Unknown allocation "{unknown}"')
    with pytest.raises(NotFound):
        us.job("nope")
    with pytest.raises(NotFound):
        us.summary("nope")
    with pytest.raises(NotFound):
        us.evaluate("nope")
    with pytest.raises(NotFound):
        us.dispatch("nope", meta={})
    with pytest.raises(NotFound):
        us.allocation(unknown)
    with pytest.raises(NotFound):
        us.logs(unknown, "t")
    with pytest.raises(NotFound):
        us.read_file(unknown, "alloc/x")
    assert us.evaluations("nope") == []
    assert us.allocations(job_id="nope")[0] == []
    us.stop_job("nope")  # Nomad doesn't mind
    us.stop_job("nope", purge=True)


def test_lists_by_prefix(us, new_id, new_job):
    prefix = new_id("list")
    for suffix in ("-a", "-ab", "-b"):
        us.register(new_job(ParameterizedJob={}, Meta={"k": suffix}) | {"ID": prefix + suffix}, enforce_index=None)
    assert [stub["ID"] for stub in us.jobs(prefix + "-a")] == [prefix + "-a", prefix + "-ab"]
    assert {stub["ID"] for stub in us.jobs()} >= {prefix + "-a", prefix + "-ab", prefix + "-b"}
    assert us.jobs(prefix + "-c") == []
    stubs = us.jobs(prefix, meta=True)
    assert [stub["Meta"] for stub in stubs] == [{"k": "-a"}, {"k": "-ab"}, {"k": "-b"}]
    assert {(stub["Type"], stub["Status"], stub["ParameterizedJob"], stub["Stop"]) for stub in stubs} == {
        ("batch", "running", True, False)
    }


def test_pages(us, federation, new_id, new_job, monkeypatch):
    prefix = new_id("page")
    for number in range(5):
        us.register(new_job(ParameterizedJob={}) | {"ID": f"{prefix}-{number}"}, enforce_index=None)
    _, headers, text = federation.raw("GET", "/v1/jobs", prefix=prefix, per_page=2)
    assert len(json.loads(text)) == 2
    assert headers["X-Nomad-NextToken"]
    monkeypatch.setattr("regions.nomad.calls.PAGE_SIZE", 2)
    assert [stub["ID"] for stub in us.jobs(prefix)] == [f"{prefix}-{number}" for number in range(5)]


def test_parse(us, federation):
    status, _, text = federation.raw("PUT", "/v1/jobs/parse", body={"JobHCL": HCL, "Canonicalize": False})
    assert status == 200, text
    job = json.loads(text)
    assert (job["ID"], job["Type"], job["Datacenters"]) == ("parsed", "batch", ["us-east-1"])
    assert job["Priority"] is None
    assert job["TaskGroups"][0]["Tasks"][0]["Config"] == {"command": "/bin/true"}

    status, _, _ = federation.raw("PUT", "/v1/jobs/parse", body={"JobHCL": "job {"})
    assert status == 400


@pytest.mark.parametrize("body", ["", "      sidecar = true\n    "])
def test_a_lifecycle_without_a_hook(federation, body):
    text = HCL.replace(
        "    task ", f'    task "first" {{\n    driver = "raw_exec"\n    lifecycle {{\n{body}}}\n    }}\n    task '
    )
    status, _, answer = federation.raw("PUT", "/v1/jobs/parse", body={"JobHCL": text})
    if federation.answers_as < LIFECYCLE_HOOK:  # refused when it is registered
        assert (status, json.loads(answer)["TaskGroups"][0]["Tasks"][0]["Lifecycle"]["Hook"]) == (200, "")
        return
    missing = 'Missing required argument; The argument "hook" is required, but no definition was found.'
    assert (status, answer) == (400, f"Failed to parse job: input.hcl:8,15-15: {missing}")


def test_the_limit_of_a_jobs_counts(federation, new_job):
    job = new_job(count=30_000)
    job["TaskGroups"].append(job["TaskGroups"][0] | {"Name": "h", "Count": 20_001})
    path = f"/v1/job/{job['ID']}/plan"
    status, _, text = federation.raw("PUT", path, body={"Job": job})
    if federation.answers_as < JOB_MAX_COUNT:
        assert (status, json.loads(text)["Annotations"]["DesiredTGUpdates"]["h"]["Place"]) == (200, 20_001)
        return
    problem = "total count was greater than configured job_max_count: 50001 > 50000"
    assert (status, text) == (500, f"1 error occurred:\n\t* {problem}\n\n")
    assert federation.raw("PUT", "/v1/jobs", body={"Job": job})[::2] == (500, text)
    told = json.loads(federation.raw("PUT", "/v1/validate/job", body={"Job": job})[2])
    assert told["ValidationErrors"] == [problem]
    job["TaskGroups"][1]["Count"] = 20_000
    assert federation.raw("PUT", path, body={"Job": job})[0] == 200


def test_a_stopped_job_stays_and_a_purged_one_goes(us, new_job):
    job = new_job(ParameterizedJob={})
    us.register(job, enforce_index=None)
    us.stop_job(job["ID"])
    stopped = us.job(job["ID"])
    assert (stopped["Stop"], stopped["Status"]) == (True, "dead")
    with pytest.raises(InvalidJob, match=f'Specified job "{job["ID"]}" is stopped'):
        us.dispatch(job["ID"], meta={})

    us.register(job, enforce_index=None)
    assert us.job(job["ID"])["Stop"] is False
    us.stop_job(job["ID"], purge=True)
    with pytest.raises(NotFound):
        us.job(job["ID"])


def test_ids_with_a_slash_and_stranger_signs(us, federation, new_id, new_job):
    job_id = new_id("train") + "/a?b#c%25é"
    us.register(new_job(ParameterizedJob={}) | {"ID": job_id, "Name": "n"}, enforce_index=None)
    assert us.job(job_id)["ID"] == job_id
    assert us.summary(job_id)["JobID"] == job_id
    child = us.dispatch(job_id, meta={})
    assert child.job_id.startswith(job_id + "/dispatch-")
    assert us.job(child.job_id)["ParentID"] == job_id
    # Both forms of the slash reach it.
    for safe in ("", "/"):
        assert federation.get(f"/v1/job/{quote(child.job_id, safe=safe)}")["ID"] == child.job_id
    us.stop_job(child.job_id, purge=True)
    us.stop_job(job_id, purge=True)


def test_evaluate(us, new_job, federation):
    job = new_job()
    registered = us.register(job, enforce_index=None)
    assert registered.eval_id
    federation.finished(job["ID"])
    eval_id = us.evaluate(job["ID"])
    assert eval_id in {one["ID"] for one in us.evaluations(job["ID"])}
    assert eval_id in {one["ID"] for one in us.evaluations()}
    assert {one["TriggeredBy"] for one in us.evaluations(job["ID"])} == {"job-register"}

    parent = new_job(ParameterizedJob={})
    us.register(parent, enforce_index=None)
    with pytest.raises(InvalidJob, match="can't evaluate parameterized job"):
        us.evaluate(parent["ID"])


def test_agents_answers(us, federation):
    assert parse_version(us.version()) >= (1, 0, 0)
    assert us.leader().startswith("127.0.0.1:")
    assert us.agent_time() is not None
    status, _, _ = federation.raw("GET", "/v1/agent/health")
    assert status == 200
    me = federation.get("/v1/agent/self")
    assert (me["config"]["Region"], me["config"]["Datacenter"]) == ("us", "us-east-1")
    assert federation.get("/v1/status/peers") == [us.leader()]
    (node,) = us.nodes()
    assert (node.cpu_mhz, node.memory_mb, node.datacenter, node.name) == (4000, 2048, "us-east-1", "us-1")
    (stub,) = federation.get("/v1/nodes")
    assert "NodeResources" not in stub
    assert federation.get(f"/v1/node/{node.id}")["Attributes"]["nomad.version"] == us.version()


def test_acls(us, federation):
    if not federation.token:  # real agents run without ACLs here; test_acls.py has them with
        assert us.acl_self() is None
        answer = federation.raw("GET", "/v1/acl/token/self")
        if federation.answers_as >= UNDATED:
            assert (answer[0], json.loads(answer[2])["AccessorID"]) == (200, "acls-disabled")
        else:
            assert answer[::2] == (400, "ACL support disabled")
        return
    mine = us.acl_self()
    assert mine is not None
    assert mine["Type"] == "management"
    assert federation.raw("GET", "/v1/jobs", token="")[::2] == (403, "Permission denied")
    unknown = "5613431a-779e-761b-9083-101c1cd7c992"
    assert federation.raw("GET", "/v1/jobs", token=unknown)[::2] == (403, "Permission denied")
