"""What tokens may do on a real agent with ACLs: the rights that each role needs, and how a refusal is told.

The embedded region has one token that may do all, so it isn't asked here.
"""

from __future__ import annotations

import threading
import uuid

import pytest

from regions.credentials import SecretRef
from regions.errors import NotFound, PermissionDenied
from regions.model import Region
from regions.nomad import NomadRegion

DISPATCHER = 'namespace "default" { capabilities = ["dispatch-job", "read-job", "list-jobs", "read-logs"] }'
DEPLOYER = 'namespace "default" { capabilities = ["submit-job", "read-job", "list-jobs"] }\nnode { policy = "read" }'
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
            name = f"p-{uuid.uuid4().hex[:8]}"
            guarded.post(f"/v1/acl/policy/{name}", {"Name": name, "Rules": rules})
            token = guarded.post("/v1/acl/token", {"Name": name, "Type": "client", "Policies": [name]})["SecretID"]
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


def test_a_dispatcher_learns_by_the_jobs_fields_whether_tokens_count(client_with):
    deployer, dispatcher = client_with(DEPLOYER), client_with(DISPATCHER)
    deployer.register(JOB, enforce_index=None)
    assert dispatcher.honours_tokens("train") is deployer.honours_tokens("train")


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
    version = client_with(DEPLOYER).version()
    with pytest.raises(PermissionDenied, match="ACL token not found" if version == "1.1.2" else "Permission denied"):
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
