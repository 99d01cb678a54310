"""Nomad's ACL policies: their text, what it grants, and what the API then refuses."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regions.local.http.rights import InvalidPolicy, Rights, read_policy
from tests.regions.local.http.served import TOKEN, Api, serve
from tests.regions.local.http.test_jobs import parameterized
from tests.regions.local.state.builders import config

READER = 'namespace "default" { policy = "read" }\nnode { policy = "read" }'
SCIENTIST = 'namespace "default" { capabilities = ["list-jobs", "read-job", "dispatch-job"] }'
OTHER = '{"namespace": {"other": {"policy": "write"}}, "agent": {"policy": "read"}}'


def rights(*texts: str) -> Rights:
    return Rights([read_policy(text, f"p{number}") for number, text in enumerate(texts)])


def test_policies_in_hcl_and_json_grant_the_same() -> None:
    hcl = rights('namespace "a" {\n  policy = "read"\n  capabilities = ["submit-job"]\n}\nnode { policy = "write" }')
    as_json = rights(
        '{"namespace": {"a": {"policy": "read", "capabilities": ["submit-job"]}}, "node": {"policy": "write"}}'
    )
    for each in (hcl, as_json):
        assert each.may("a", "read-job")
        assert each.may("a", "submit-job")
        assert not each.may("a", "dispatch-job")
        assert not each.may("b", "read-job")
        assert each.may("*", "read-job")
        assert each.may_read("node")
        assert each.may_write("node")
        assert not each.may_read("agent")


def test_deny_wins_within_a_namespace() -> None:
    found = rights('namespace "a" { policy = "write" }', 'namespace "a" { policy = "deny" }')
    assert not found.may("a", "read-job")
    assert not found.may_any("a")


def test_the_closest_glob_counts_and_an_exact_name_more() -> None:
    found = rights(
        'namespace "*" { policy = "read" }\nnamespace "prod-*" { policy = "deny" }\nnamespace "prod-ml" { policy = "write" }'
    )
    assert found.may("dev", "read-job")
    assert not found.may("prod-web", "read-job")
    assert found.may("prod-ml", "submit-job")


def test_variables_by_path() -> None:
    found = rights('namespace "a" {\nvariables {\npath "nomad/jobs/*" { capabilities = ["read"] }\n}\n}')
    assert found.may_variable("a", "nomad/jobs/train", "read")
    assert found.may_variable("a", "nomad/jobs/train", "list")
    assert not found.may_variable("a", "nomad/jobs/train", "write")
    assert not found.may_variable("a", "other", "read")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('namespace "a" {', "p"),
        ("[", "p"),
        ('namespace "a" { policy = "all" }', "has no policy 'all'"),
        ('namespace "a" { capabilities = ["fly"] }', "no capability 'fly'"),
        ('node { policy = "maybe" }', "has no policy 'maybe'"),
        ('moon { policy = "read" }', "no rules for 'moon'"),
        ('namespace "a" { policy = upper("read") }', "only strings"),
    ],
)
def test_texts_that_are_no_policy(text: str, problem: str) -> None:
    with pytest.raises(InvalidPolicy, match=problem):
        read_policy(text, "p")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Api]:
    tokens = []
    for name, text in {"reader": READER, "scientist": SCIENTIST, "other": OTHER}.items():
        (tmp_path / name).write_text(f"{name}-secret")
        tokens.append({"name": name, "file": str(tmp_path / name), "policies": {name: text}})
    with serve(config(tmp_path, tokens=tokens, namespaces={"other": ""})) as served:
        served.put("/v1/jobs", {"Job": parameterized()})
        served.put("/v1/jobs", {"Job": parameterized(Namespace="other")})
        yield served


def asked(api: Api, name: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    return api.ask(method, path, body, token=f"{name}-secret")


def test_what_each_may(guarded: Api) -> None:
    job = {"Job": parameterized()}
    child = guarded.put("/v1/job/train/dispatch", {"Meta": {"slot": "1"}})
    guarded.finished(child["EvalID"])
    (alloc,) = guarded.get("/v1/allocations")
    node = guarded.get("/v1/nodes")[0]["ID"]
    cases = {
        ("GET", "/v1/jobs"): "reader scientist",
        ("GET", "/v1/job/train"): "reader scientist",
        ("GET", "/v1/job/train/allocations"): "reader scientist",
        ("GET", "/v1/allocations"): "reader scientist",
        ("GET", f"/v1/allocation/{alloc['ID']}"): "reader scientist",
        ("GET", "/v1/evaluations"): "reader scientist",
        ("GET", f"/v1/evaluation/{child['EvalID']}"): "reader scientist",
        ("GET", "/v1/nodes"): "reader",
        ("GET", f"/v1/node/{node}"): "reader",
        ("GET", "/v1/client/stats"): "reader",
        ("GET", "/v1/agent/self"): "other",
        ("GET", "/v1/fedml/hurt"): "",
        ("GET", f"/v1/client/fs/ls/{alloc['ID']}?path=/"): "",
        ("PUT", f"/v1/node/{node}/eligibility"): "",
        ("PUT", "/v1/system/gc"): "",
        ("PUT", "/v1/jobs"): "",
        ("PUT", "/v1/job/train/plan"): "",
        ("DELETE", "/v1/job/train"): "",
        ("PUT", f"/v1/allocation/{alloc['ID']}/stop"): "",
        ("PUT", "/v1/validate/job"): "reader scientist",
        ("PUT", "/v1/job/train/dispatch"): "scientist",
        ("GET", "/v1/jobs?namespace=other"): "other",
        ("PUT", "/v1/job/train/plan?namespace=other"): "other",
        ("GET", "/v1/status/leader"): "reader scientist other",
    }
    for (method, path), allowed in cases.items():
        for name in ("reader", "scientist", "other"):
            body = job if "plan" in path or path in ("/v1/jobs", "/v1/validate/job") else {"Meta": {"slot": "1"}}
            status, answer = asked(guarded, name, method, path, None if method in ("GET", "DELETE") else body)
            is_refused = (status, answer) == (403, "Permission denied")
            assert is_refused != (name in allowed.split()), (method, path, name, status, answer)


def test_lists_of_all_namespaces_hold_what_the_token_may_see(guarded: Api) -> None:
    def seen(name: str) -> set[str]:
        return {job["Namespace"] for job in asked(guarded, name, "GET", "/v1/jobs?namespace=*")[1]}

    assert seen("reader") == {"default"}
    assert seen("other") == {"other"}
    assert {one["Name"] for one in asked(guarded, "other", "GET", "/v1/namespaces")[1]} == {"other"}
    assert asked(guarded, "other", "GET", "/v1/namespace/default") == (403, "Permission denied")


def test_a_job_for_another_namespace_than_the_querys_default(guarded: Api) -> None:
    job = {"Job": parameterized(Namespace="default", ID="x", Name="x")}
    assert asked(guarded, "other", "PUT", "/v1/jobs", job) == (403, "Permission denied")
    assert asked(guarded, "other", "PUT", "/v1/jobs", {"Job": job["Job"] | {"Namespace": "other"}})[0] == 200


def test_each_topic_of_the_event_stream_needs_its_right(guarded: Api) -> None:
    def status(name: str, query: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=30)
        connection.request("GET", f"/v1/event/stream{query}", headers={"X-Nomad-Token": f"{name}-secret"})
        found = connection.getresponse().status
        connection.close()
        return found

    assert status("scientist", "?topic=Job&topic=Allocation") == 200
    assert status("scientist", "?topic=Job&topic=Node") == 500  # Nomad has begun to answer
    assert status("reader", "?topic=Job&topic=Node") == 200
    assert status("reader", "") == 500


def test_the_tokens_own_record(guarded: Api) -> None:
    record = asked(guarded, "reader", "GET", "/v1/acl/token/self")[1]
    assert (record["Name"], record["Type"], record["Policies"]) == ("reader", "client", ["reader"])
    assert guarded.get("/v1/acl/token/self")["Type"] == "management"
    assert json.dumps(record).count(TOKEN) == 0
