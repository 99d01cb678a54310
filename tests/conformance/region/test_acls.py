"""What tokens may do where ACLs are on: the rights that each role needs, and how a refusal is told."""

from __future__ import annotations

import json
import threading
import time

import pytest

from federation.check import Outcome
from federation.checks.doctor.permissions import Permissions
from regions.credentials import SecretRef
from regions.errors import NotFound, PermissionDenied
from regions.local.nomad_version import FINER_RIGHTS, LOGS_FORBIDDEN, SILENT_STREAM, UNDATED
from regions.model import Datacenter, Region, StoreConfig
from regions.nomad.client import NomadRegion
from tests.conformance.conftest import DEPLOYER, DISPATCHER, PLANNER, Federation

REFUSED_WITH = {"cat": 200, "readat": 200}
"""Nomad has begun to answer when it asks the client that has the files; 403 elsewhere."""
UNKNOWN = "5613431a-779e-761b-9083-101c1cd7c992"
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
        made.append(NomadRegion(Region("us", (guarded.address,), {}, token=secret), deadline_s=60))
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


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        (DEPLOYER, {"list-jobs", "read-job", "submit-job"}),
        (DISPATCHER, {"list-jobs", "read-job", "dispatch-job"}),
        (PLANNER, {"read-job", "plan-job"}),
    ],
)
def test_what_a_token_may_do_is_found_out_without_a_change(guarded, client_with, rules, allowed):
    if rules == PLANNER and guarded.answers_as < FINER_RIGHTS:
        return
    region = Region("us", (guarded.address,), {"us-east-1": Datacenter("us-east-1", StoreConfig("file:///x"))})
    checks = Permissions("us", region, client_with(rules), "fedml-doctor-x").of_jobs()
    assert {check.name.removeprefix("may ") for check in checks if check.outcome is Outcome.OK} == allowed
    with pytest.raises(NotFound):
        client_with(DEPLOYER).job("fedml-doctor-x")


@pytest.mark.parametrize("token", [None, UNKNOWN, "no-uuid"])
def test_tokens_that_nobody_knows(guarded, client_with, token):
    client = client_with(token=token)
    calls = [client.jobs, client.version, client.nodes, lambda: client.dispatch("train", meta={})]
    if token or guarded.answers_as < UNDATED:  # later it tells of the anonymous token
        calls.append(client.acl_self)
    for call in calls:
        with pytest.raises(PermissionDenied):
            call()
    with pytest.raises(PermissionDenied):
        next(client.events(topics=["Job"], index=0, stop=threading.Event()))


_DENIED = (403, "Permission denied")
_NO_ID = (500, "acl token lookup failed: index error: UUID must be 36 characters")
_NO_JWT = (500, "failed to parse signed token: go-jose/go-jose: compact JWS format must have three parts")
_NO_BASE64 = (500, "failed to parse signed token: illegal base64 data at input byte 0")


def _of_agent(answer, prefix):
    return answer[0], prefix + answer[1]


_TOLD = {
    "": ((500, "acl token lookup failed: missing secret id"), None),
    UNKNOWN: ((404, "ACL token not found"), _DENIED),
    "no-uuid": (_NO_ID, _NO_JWT),
    "a.b.c": (_NO_ID, _NO_BASE64),
}
"""What `acl/token/self` answers to a token that nobody knows: before and since."""
_TOLD_BY_AGENT = {
    "": (_DENIED, _DENIED),
    UNKNOWN: ((403, "ACL token not found"), _DENIED),
    **{
        token: (
            _of_agent(_NO_ID, "failed to resolve ACL token: "),
            _of_agent(now, "ACL token not found or invalid workload identity: "),
        )
        for token, now in (("no-uuid", _NO_JWT), ("a.b.c", _NO_BASE64))
    },
}


@pytest.mark.parametrize("token", ["", UNKNOWN, "no-uuid", "a.b.c"])
def test_the_words_for_an_unknown_token(guarded, token):
    there = Federation("", {}, {"us": guarded.address}, guarded.token)
    since = int(guarded.answers_as >= UNDATED)

    def ask(path, **query):
        return there.raw("GET", path, token=token, **query)[::2]

    for path in ("/v1/jobs", "/v1/nodes", "/v1/agent/members", "/v1/var/a", "/v1/job/none/allocations"):
        assert ask(path) == _DENIED
    for path in ("/v1/vars", "/v1/namespaces"):  # nobody's lists are empty
        assert ask(path) == (_DENIED if token else (200, "[]"))
    for path in ("/v1/status/leader", "/v1/regions", "/v1/agent/health"):
        assert ask(path)[0] == 200
    assert ask("/v1/agent/self") == _TOLD_BY_AGENT[token][since]
    told, expected = ask("/v1/acl/token/self"), _TOLD[token][since]
    assert told == expected if expected else json.loads(told[1])["Name"] == "Anonymous Token"
    assert ask("/v1/jobs", region="mars") == (500, "No path to region")


@pytest.mark.parametrize(
    ("token", "query", "before"),
    [
        ("", {}, (500, "Permission denied")),
        (UNKNOWN, {}, _DENIED),
        ("no-uuid", {}, _DENIED),
        (DISPATCHER, {"topic": "Node"}, (500, "Permission denied")),
        (DEPLOYER, {"topic": "*"}, (500, "Permission denied")),
        (DISPATCHER, {"region": "mars"}, (500, "No path to region")),
    ],
)
def test_how_an_event_stream_is_refused(guarded, token, query, before):
    secret = guarded.token_with(token) if "{" in token else token
    there = Federation("", {}, {"us": guarded.address}, secret)
    # Real Nomad may leave the connection open, without a heartbeat, until its garbage collector closes it.
    answer = there.begins("/v1/event/stream", token=secret, **query)
    assert answer == ((200, "") if guarded.answers_as >= SILENT_STREAM else before)
    assert there.begins("/v1/event/stream", token=guarded.token, topic="Job")[0] == 200


def test_a_token_that_may_plan_and_not_register(guarded, client_with):
    if guarded.answers_as < FINER_RIGHTS:
        with pytest.raises((AssertionError, KeyError)):  # no policy may have it, so no token has
            guarded.token_with(PLANNER)
        return
    planner = client_with(PLANNER)
    assert planner.plan_job(JOB | {"ID": "planned"}).job_modify_index == 0
    with pytest.raises(PermissionDenied):
        planner.register(JOB | {"ID": "planned"}, enforce_index=None)


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
    refused_with = REFUSED_WITH | {"logs": 403 if guarded.answers_as >= LOGS_FORBIDDEN else 500}
    wrong = []
    for (method, path), allowed in cases.items():
        for name, rules in (("dispatcher", DISPATCHER), ("deployer", DEPLOYER)):
            there = Federation("", {}, {"us": guarded.address}, guarded.token_with(rules))
            status, _, text = there.raw(method, path, body=body if method == "PUT" else None)
            refusal = (refused_with.get(path.split("/")[4] if "/fs/" in path else "", 403), "Permission denied")
            if ((status, text) == refusal) is (name in allowed.split()) or (status == 403 and text != refusal[1]):
                wrong.append((method, path, name, status, text))
    assert wrong == []
    assert index
