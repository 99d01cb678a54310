from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.regions.local.http.served import TOKEN, Api, serve
from tests.regions.local.http.test_jobs import job, parameterized
from tests.regions.local.state.builders import config, ended

_UNKNOWN = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize(
    ("path", "token", "expected"),
    [
        ("/v1/jobs", None, (403, "Permission denied")),
        ("/v1/jobs", _UNKNOWN, (403, "Permission denied")),
        ("/v1/agent/self", None, (403, "Permission denied")),
        ("/v1/agent/self", _UNKNOWN, (403, "ACL token not found")),
        ("/v1/acl/token/self", _UNKNOWN, (404, "ACL token not found")),
        ("/v1/regions", None, (200, ["us"])),
    ],
)
def test_tokens(api: Api, path: str, token: str | None, expected: tuple[int, Any]) -> None:
    assert api.ask("GET", path, token=token) == expected


def test_a_bearer_token_does_too(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        request = (
            f"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(request.encode())
        assert connection.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/job/nope", (404, "job not found")),
        ("GET", "/v1/job/nope/summary", (404, "job not found")),
        ("GET", "/v1/job/nope/versions", (404, "job versions not found")),
        ("GET", "/v1/job/nope/allocations", (200, [])),
        ("GET", f"/v1/allocation/{_UNKNOWN}", (404, "alloc not found")),
        ("GET", "/v1/allocation/x", (500, "alloc lookup failed: index error: UUID must be 36 characters")),
        ("PUT", f"/v1/allocation/{_UNKNOWN}/stop", (404, "allocation not found")),
        ("GET", f"/v1/evaluation/{_UNKNOWN}", (404, "eval not found")),
        ("GET", f"/v1/node/{_UNKNOWN}", (404, "node not found")),
        (
            "GET",
            "/v1/allocations?prefix=abc",
            (500, "alloc lookup failed: index error: Input (without hyphens) must be even length"),
        ),
        ("GET", "/v1/jobs?region=mars", (500, "No path to region")),
        ("GET", "/v1/jobs?index=x", (400, "Invalid index")),
        ("GET", "/v1/jobs?wait=x", (400, "Invalid wait time")),
        ("PATCH", "/v1/jobs", (405, "Invalid method")),
        ("GET", "/v1/nope", (404, "")),
        ("GET", f"/v1/client/fs/ls/{_UNKNOWN}", (404, f'Unknown allocation "{_UNKNOWN}"')),
        ("GET", f"/v1/client/fs/logs/{_UNKNOWN}?type=stdout", (400, "must provide task name")),
        ("GET", "/v1/event/stream?topic=Job:a:b", None),
    ],
)
def test_errors_are_nomads(api: Api, method: str, path: str, expected: tuple[int, Any] | None) -> None:
    answer = api.ask(method, path)
    if expected is None:
        expected = (400, "Invalid topic query: error parsing topics: Invalid key value pair for topic, topic: Job:a:b")
    assert answer == expected


@pytest.mark.parametrize("path", ["/v1/acl/policies", "/v1/metrics", "/v1/job/x/scale"])
def test_unsupported_endpoints_are_never_a_wrong_200(api: Api, path: str) -> None:
    assert api.ask("GET", path)[0] == 501


def test_a_blocking_query_answers_when_something_changed(api: Api) -> None:
    api.get("/v1/jobs")
    index = api.headers["X-Nomad-Index"]
    assert api.headers["X-Nomad-KnownLeader"] == "true"
    answers = []
    asking = Api(api.port, api.store, api.worker, api.client, api.context)
    thread = threading.Thread(target=lambda: answers.append(asking.get(f"/v1/jobs?index={index}&wait=60s")))
    thread.start()
    api.put("/v1/jobs", {"Job": parameterized()})
    thread.join(30)
    assert [[one["ID"] for one in answer] for answer in answers] == [["train"]]
    assert int(asking.headers["X-Nomad-Index"]) > int(index)
    assert asking.get("/v1/jobs?index=999999&wait=10ms")
    asking.close()


def test_lists_come_in_pages(api: Api) -> None:
    for number in range(5):
        api.put("/v1/jobs", {"Job": {**parameterized(), "ID": f"job-{number}"}})
    sizes, names, token = [], [], ""
    while not sizes or token:
        page = api.get(f"/v1/jobs?per_page=2&next_token={token}")
        sizes.append(len(page))
        names += [one["ID"] for one in page]
        token = api.headers.get("X-Nomad-NextToken", "")
    assert sizes == [2, 2, 1]
    assert names == [f"job-{number}" for number in range(5)]


def _events(port: int, query: str, count: int) -> list[dict[str, Any]]:
    """The first events of a stream, past its opening heartbeat."""
    found: list[dict[str, Any]] = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(
            f"GET /v1/event/stream?{query} HTTP/1.1\r\nHost: localhost\r\nX-Nomad-Token: {TOKEN}\r\n\r\n".encode()
        )
        for line in connection.makefile("rb"):
            if line.startswith(b"{"):
                found += json.loads(line).get("Events", [])
            if len(found) >= count:
                return found
    return found


def test_the_event_stream_tells_a_dispatch_as_nomad_does(api: Api) -> None:
    api.put("/v1/jobs", {"Job": parameterized()})
    start = api.store.snapshot.index + 1
    done = api.put("/v1/job/train/dispatch", {"Meta": {"slot": "1"}})
    api.finished(done["EvalID"])
    [alloc_id] = api.client.started
    api.worker.on_update([ended(alloc_id)])
    events = _events(api.port, f"index={start}", 8)
    told = [(one["Topic"], one["Type"], one["Key"]) for one in events]
    child, evaluation = done["DispatchedJobID"], done["EvalID"]
    assert told == [
        ("Job", "JobRegistered", child),
        ("Evaluation", "EvaluationUpdated", evaluation),
        ("Evaluation", "PlanResult", evaluation),
        ("Allocation", "PlanResult", alloc_id),
        ("Job", "PlanResult", child),
        ("Evaluation", "EvaluationUpdated", evaluation),
        ("Allocation", "AllocationUpdated", alloc_id),
        ("Job", "AllocationUpdated", child),
    ]
    allocation = events[3]
    assert allocation["FilterKeys"] == [child, ""]
    assert "Job" not in allocation["Payload"]["Allocation"]
    assert [one["Key"] for one in _events(api.port, f"topic=Job:{child}", 3)] == [child] * 3
    assert _events(api.port, f"topic=Allocation:{child}", 1)[0]["Key"] == alloc_id


def test_requests_for_another_region_are_sent_on(tmp_path: Path) -> None:
    with serve(config(tmp_path / "eu")) as eu:
        peers = {"eu": f"http://127.0.0.1:{eu.port}"}
        with serve(config(tmp_path / "us", peers=peers)) as us:
            assert us.get("/v1/regions") == ["eu", "us"]
            members = {one["Name"]: one["Status"] for one in us.get("/v1/agent/members")["Members"]}
            assert members == {"eu-server.eu": "alive", "us-server.us": "alive"}
    dead = {"eu": peers["eu"]}
    with serve(config(tmp_path / "us", peers=dead)) as us:
        status, sentence = us.ask("GET", "/v1/jobs?region=eu")
        assert (status, sentence[:38]) == (500, "rpc error: failed to get conn: dial tc")


def test_a_job_goes_to_the_region_it_names(tmp_path: Path) -> None:
    eu_config = config(tmp_path / "eu")
    eu_config.region = "eu"
    with (
        serve(eu_config) as eu,
        serve(config(tmp_path / "us", peers={"eu": f"http://127.0.0.1:{eu.port}"})) as us,
    ):
        assert us.ask("PUT", "/v1/jobs", {"Job": {**parameterized(), "Region": "eu"}})[0] == 200
        assert us.put("/v1/job/train/plan", {"Job": {**parameterized(), "Region": "eu"}})["JobModifyIndex"] > 0
        assert (
            us.put("/v1/job/train/plan?region=us", {"Job": {**parameterized(), "Region": "eu"}})["JobModifyIndex"] == 0
        )
        assert us.get("/v1/jobs") == []
        assert [one["ID"] for one in us.get("/v1/jobs?region=eu")] == ["train"]
        assert len(eu.store.snapshot.jobs) == 1


def test_files_and_logs_of_an_allocation(api: Api) -> None:
    done = api.put("/v1/jobs", {"Job": job()})
    api.finished(done["EvalID"])
    [alloc_id] = api.client.started
    logs = api.client.alloc_dir(alloc_id) / "alloc" / "logs"
    secrets = api.client.alloc_dir(alloc_id) / "t" / "secrets"
    for folder in (logs, secrets):
        folder.mkdir(parents=True)
    (secrets / "key").write_text("hidden")
    (logs / "t.stdout.0").write_text("first\n")
    (logs / "t.stdout.1").write_text("second\n")
    state = {**ended(alloc_id)["TaskStates"]["t"], "StartedAt": "2026-01-01T00:00:00Z"}
    api.worker.on_update([{**ended(alloc_id), "TaskStates": {"t": state}}])
    fs = f"/v1/client/fs/{{}}/{alloc_id}"
    assert [one["Name"] for one in api.get(fs.format("ls") + "?path=/")] == ["alloc", "t"]
    assert api.get(fs.format("stat") + "?path=alloc/logs/t.stdout.0")["Size"] == 6
    assert api.get(fs.format("cat") + "?path=alloc/logs/t.stdout.0") == "first\n"
    assert api.get(fs.format("readat") + "?path=alloc/logs/t.stdout.0&offset=2&limit=3") == "rst"
    assert api.get(fs.format("logs") + "?task=t&type=stdout&plain=true") == "first\nsecond\n"
    assert api.get(fs.format("logs") + "?task=t&type=stdout&plain=true&origin=end&offset=3") == "nd\n"
    assert api.get(fs.format("logs") + "?task=t&type=stdout&plain=true&follow=true") == "first\nsecond\n"
    assert api.ask("GET", fs.format("logs") + "?task=x&type=stdout") == (400, 'unknown task name "x"')
    for path in ("t/secrets/key", "t/../t/secrets/key"):
        assert api.get(fs.format("stat") + f"?path={path}")["Size"] == 6
        for read in ("cat", "readat"):
            said = api.ask("GET", fs.format(read) + f"?path={path}&offset=0")
            assert said == (200, f"Reading secret file prohibited: {path}")
    hidden = logs / "hidden"
    hidden.symlink_to(secrets / "key")
    assert "prohibited" in api.ask("GET", fs.format("cat") + "?path=alloc/logs/hidden")[1]
    outside = api.client.alloc_dir(alloc_id) / "alloc" / "out"
    outside.symlink_to("/etc")
    assert api.ask("GET", fs.format("ls") + "?path=alloc/out") == (500, "Path escapes the alloc directory")
    assert api.ask("GET", fs.format("ls") + "?path=../../..") == (500, "Path escapes the alloc directory")


def test_stopping_and_restarting_an_allocation(api: Api) -> None:
    api.finished(api.put("/v1/jobs", {"Job": job()})["EvalID"])
    [alloc_id] = api.client.started
    api.put(f"/v1/client/allocation/{alloc_id}/restart", {"TaskName": "t"})
    assert api.client.restarted == [(alloc_id, "t")]
    assert api.ask("PUT", f"/v1/client/allocation/{alloc_id}/restart", {"TaskName": "missing"})[0] == 500
    api.finished(api.put(f"/v1/allocation/{alloc_id}/stop")["EvalID"])
    stopped = api.get(f"/v1/allocation/{alloc_id}")
    assert (stopped["DesiredStatus"], stopped["DesiredDescription"]) == ("stop", "alloc is being migrated")
    assert api.get(f"/v1/allocation/{stopped['NextAllocation']}")["PreviousAllocation"] == alloc_id


def test_nodes_are_shown_with_their_resources_and_can_be_made_ineligible(api: Api) -> None:
    [node] = api.get("/v1/nodes?resources=true")
    assert node["NodeResources"]["Cpu"]["CpuShares"] == 2000
    assert node["Drivers"]["raw_exec"]["Healthy"]
    whole = api.get(f"/v1/node/{node['ID']}")
    assert whole["Attributes"]["driver.raw_exec"] == "1"
    api.put(f"/v1/node/{node['ID']}/eligibility", {"Eligibility": "ineligible"})
    done = api.put("/v1/jobs", {"Job": job()})
    failed = api.finished(done["EvalID"])["FailedTGAllocs"]["g"]
    assert failed["NodesAvailable"] == {}
    api.put(f"/v1/node/{node['ID']}/eligibility", {"Eligibility": "eligible"})
    api.store.wait(lambda state: len(state.allocs), above=0, timeout_s=30)
    assert len(api.get(f"/v1/node/{node['ID']}/allocations")) == 1


def test_search_finds_by_prefix(api: Api) -> None:
    api.finished(api.put("/v1/jobs", {"Job": job()})["EvalID"])
    [alloc_id] = api.client.started
    found = api.put("/v1/search", {"Prefix": alloc_id[:8], "Context": "allocs"})
    assert found["Matches"] == {"allocs": [alloc_id]}
    assert api.put("/v1/search", {"Prefix": "tr", "Context": "all"})["Matches"]["jobs"] == ["train"]


def test_chunked_bodies_expectations_and_nonsense(api: Api) -> None:
    body = json.dumps({"Job": parameterized()}).encode()
    head = f"PUT /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Nomad-Token: {TOKEN}\r\n"
    head += "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as connection:
        answer = connection.makefile("rb")
        connection.sendall(head.encode())
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert answer.readline() == b"\r\n"
        for part in (body[:10], body[10:], b""):
            connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"
    assert [one["ID"] for one in api.get("/v1/jobs")] == ["train"]


def test_declared_namespaces_keep_jobs_apart(tmp_path: Path) -> None:
    with serve(config(tmp_path, namespaces={"ml": "Machine learning"})) as api:
        assert [(one["Name"], one["Description"]) for one in api.get("/v1/namespaces")] == [
            ("default", "Default shared namespace"),
            ("ml", "Machine learning"),
        ]
        assert api.get("/v1/namespace/ml")["Name"] == "ml"
        assert api.ask("GET", "/v1/namespace/other") == (404, "Namespace not found")
        api.put("/v1/jobs", {"Job": parameterized()})
        api.put("/v1/jobs", {"Job": {**parameterized(), "Namespace": "ml"}})
        assert [one["Namespace"] for one in api.get("/v1/jobs?namespace=*")] == ["default", "ml"]
        assert [one["Namespace"] for one in api.get("/v1/jobs?namespace=ml")] == ["ml"]
        found = api.put("/v1/search?namespace=ml", {"Prefix": "tr", "Context": "jobs"})
        assert found["Matches"] == {"jobs": ["train"]}
        status, text = api.ask("PUT", "/v1/jobs", {"Job": {**parameterized(), "Namespace": "other"}})
        assert status == 500
        assert 'is in nonexistent namespace "other"' in text


def test_variables_outlive_the_process(tmp_path: Path) -> None:
    made = config(tmp_path)
    with serve(made) as api:
        written = api.put("/v1/var/a/b", {"Items": {"key": "value"}})
        assert api.ask("PUT", "/v1/var/a/b?cas=1", {"Items": {"key": "other"}}) == (
            409,
            json.dumps(written, separators=(",", ":")),
        )
    with serve(made) as api:
        assert api.get("/v1/var/a/b") == written


def test_pages_go_on_where_the_index_gains_a_digit(api: Api) -> None:
    for number in range(60):
        api.finished(api.put("/v1/jobs", {"Job": job(f"job-{number}", cpu=1)})["EvalID"])
    everything = [one["ID"] for one in api.get("/v1/evaluations")]
    found: list[str] = []
    token = ""
    while token or not found:
        found += [one["ID"] for one in api.get(f"/v1/evaluations?per_page=7&next_token={token}")]
        token = api.headers.get("X-Nomad-NextToken", "")
    assert found == everything
    assert len(found) >= 60
