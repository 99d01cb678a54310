"""What tokens may do where ACLs are on: the rights that each role needs, and how a refusal is told."""

from __future__ import annotations

import threading
import time

import pytest

from regions.credentials import SecretRef
from regions.errors import NotFound, PermissionDenied
from regions.model import Region
from regions.nomad.client import NomadRegion
from tests.conformance.conftest import DEPLOYER, DISPATCHER, Federation

REFUSED_WITH = {"logs": 500, "cat": 200, "readat": 200}
"""Nomad has begun to answer when it asks the client that has the files; 403 elsewhere."""
JOB = {
    "ID": "train",
    "Name": "train",
    "Type": "batch",
    "Datacenters": ["us-east-1"],
    "ParameterizedJob": {},
    "TaskGroups": [
        {"Name": "g", "Tasks": [{"Name": "main", "Driver": "raw_exec", "Config": {"command": "/bin/pwd"}}]},
    ],
}


@pytest.fixture
def client_with(guarded, tmp_path):
    """Makes a client whose token has that policy (HCL), or is that token."""
    made = []

    def make(rules="", *, token=None):
        if rules:
            token = guarded.token_with(rules)
        path = tmp_path / f"token-{len(made)}"
        path.write_text(token or "")
        secret = SecretRef(file=path) if token else None
        made.append(NomadRegion(Region("us", (guarded.address,), {}, token=secret), deadline_s=5))
        return made[-1]

    yield make
    for client in made:
        client.close()


def test_a_dispatcher_may_dispatch_and_watch_and_nothing_else(guarded, client_with):
    deployer, dispatcher = client_with(DEPLOYER), client_with(DISPATCHER)
    index = deployer.register(JOB, enforce_index=None).job_modify_index
    assert deployer.plan_job(JOB).job_modify_index == index

    stream = dispatcher.events(topics=["Allocation", "Evaluation", "Job"], index=0, stop=threading.Event())
    assert next(stream) == []
    child = dispatcher.dispatch("train", meta={}, idempotency_token="t").job_id
    for events in stream:
        ended = [event.payload["ID"] for event in events if event.payload.get("ClientStatus") == "complete"]
        if ended:
            break
    stream.close()
    assert dispatcher.logs(ended[0], "main")
    assert [alloc.id for alloc in dispatcher.allocations(job_id=child)[0]] == ended
    assert dispatcher.job(child)["ParentID"] == "train"
    assert {one["JobID"] for one in dispatcher.evaluations()} == {child}
    record = dispatcher.acl_self()
    assert record is not None
    assert record["Type"] == "client"
    assert "SecretID" not in record

    for refused in (
        dispatcher.version,
        dispatcher.nodes,
        lambda: dispatcher.plan_job(JOB),
        lambda: dispatcher.register(JOB, enforce_index=None),
        lambda: dispatcher.stop_job(child),
        lambda: dispatcher.read_file(ended[0], "alloc/logs/main.stdout.0"),
        lambda: next(dispatcher.events(topics=["Node"], index=0, stop=threading.Event())),
        lambda: deployer.dispatch("train", meta={}),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    # Needs no right at all.
    assert dispatcher.leader()
    assert dispatcher.federation_regions() == ["us"]


@pytest.mark.parametrize("token", [None, "5613431a-779e-761b-9083-101c1cd7c992", "no-uuid"])
def test_tokens_that_nobody_knows(client_with, token):
    client = client_with(token=token)
    for call in (client.jobs, client.acl_self, client.version, client.nodes, lambda: client.dispatch("train", meta={})):
        with pytest.raises(PermissionDenied):
            call()
    with pytest.raises(PermissionDenied):
        next(client.events(topics=["Job"], index=0, stop=threading.Event()))


def test_the_words_for_an_unknown_token(guarded, client_with):
    unknown = client_with(token="5613431a-779e-761b-9083-101c1cd7c992")
    with pytest.raises(PermissionDenied, match="Permission denied"):
        unknown.jobs()


def test_a_token_is_read_anew_when_it_was_replaced(client_with):
    client = client_with(DISPATCHER)
    other = client_with(DISPATCHER)
    assert client.jobs() is not None
    path = client.region.token.file
    path.write_text("5613431a-779e-761b-9083-101c1cd7c992")
    assert client.jobs() is not None  # the old one still works, so nothing is read

    stale = NomadRegion(client.region)
    with pytest.raises(PermissionDenied):
        stale.jobs()
    path.write_text(other.region.token.read())
    with pytest.raises(NotFound):
        stale.job("nope")
    stale.close()


def test_each_endpoint_asks_for_its_own_right(guarded, client_with):
    deployer, dispatcher = client_with(DEPLOYER), client_with(DISPATCHER)
    index = deployer.register(JOB, enforce_index=None).job_modify_index
    child = dispatcher.dispatch("train", meta={}).job_id
    while not (allocs := dispatcher.allocations(job_id=child)[0]) or allocs[0].client_status not in (
        "complete",
        "failed",
    ):
        time.sleep(0.1)
    alloc, evaluation = allocs[0].id, dispatcher.evaluations()[0]["ID"]
    node = deployer.nodes()[0].id
    body = {"Job": JOB, "JobID": "train", "Prefix": "tr", "Context": "jobs", "JobHCL": "job x {}"}
    cases = {
        ("GET", "/v1/jobs"): "dispatcher deployer",
        ("GET", "/v1/job/train"): "dispatcher deployer",
        ("GET", "/v1/job/train/summary"): "dispatcher deployer",
        ("GET", "/v1/job/train/versions"): "dispatcher deployer",
        ("GET", "/v1/job/train/evaluations"): "dispatcher deployer",
        ("GET", "/v1/allocations"): "dispatcher deployer",
        ("GET", f"/v1/allocation/{alloc}"): "dispatcher deployer",
        ("GET", "/v1/evaluations"): "dispatcher deployer",
        ("GET", f"/v1/evaluation/{evaluation}"): "dispatcher deployer",
        ("GET", f"/v1/client/fs/logs/{alloc}?task=main&type=stdout&plain=true"): "dispatcher",
        ("GET", f"/v1/client/fs/ls/{alloc}?path=/"): "",
        ("GET", f"/v1/client/fs/cat/{alloc}?path=alloc/logs/main.stdout.0"): "",
        ("GET", f"/v1/client/fs/readat/{alloc}?path=alloc/logs/main.stdout.0&offset=0&limit=1"): "",
        ("GET", f"/v1/client/allocation/{alloc}/stats"): "dispatcher deployer",
        ("GET", "/v1/nodes"): "deployer",
        ("GET", f"/v1/node/{node}"): "deployer",
        ("GET", f"/v1/node/{node}/allocations"): "deployer",
        ("GET", "/v1/agent/members"): "deployer",
        ("GET", "/v1/agent/self"): "",
        ("GET", "/v1/namespaces"): "dispatcher deployer",
        ("GET", "/v1/namespace/default"): "dispatcher deployer",
        ("GET", "/v1/acl/token/self"): "dispatcher deployer",
        ("PUT", "/v1/validate/job"): "dispatcher deployer",
        ("PUT", "/v1/job/train/plan"): "deployer",
        ("PUT", f"/v1/allocation/{alloc}/stop"): "",
        ("PUT", f"/v1/node/{node}/eligibility"): "",
        ("PUT", "/v1/system/gc"): "",
        ("PUT", f"/v1/node/{node}/drain"): "",
        ("PUT", f"/v1/client/allocation/{alloc}/restart"): "",
        ("PUT", "/v1/job/train/dispatch"): "dispatcher",
        ("PUT", "/v1/job/train/evaluate"): "deployer",
        ("PUT", "/v1/search"): "dispatcher deployer",
        ("PUT", "/v1/jobs/parse"): "deployer",
        ("GET", "/v1/job/train/allocations"): "dispatcher deployer",
        ("GET", "/v1/job/train/deployments"): "dispatcher deployer",
        ("GET", f"/v1/evaluation/{evaluation}/allocations"): "dispatcher deployer",
        ("GET", f"/v1/client/fs/stat/{alloc}?path=/"): "",
        ("GET", "/v1/deployments"): "dispatcher deployer",
        ("GET", "/v1/status/leader"): "dispatcher deployer",
        ("GET", "/v1/status/peers"): "dispatcher deployer",
        ("GET", "/v1/regions"): "dispatcher deployer",
        ("PUT", "/v1/jobs"): "deployer",
        ("DELETE", "/v1/job/none"): "deployer",
    }
    wrong = []
    for (method, path), allowed in cases.items():
        for name, rules in (("dispatcher", DISPATCHER), ("deployer", DEPLOYER)):
            there = Federation("", {}, {"us": guarded.address}, guarded.token_with(rules))
            status, _, text = there.raw(method, path, body=body if method == "PUT" else None)
            refusal = (REFUSED_WITH.get(path.split("/")[4] if "/fs/" in path else "", 403), "Permission denied")
            if ((status, text) == refusal) is (name in allowed.split()) or (status == 403 and text != refusal[1]):
                wrong.append((method, path, name, status, text))
    assert wrong == []
    assert index
