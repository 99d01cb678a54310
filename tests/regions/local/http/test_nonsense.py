"""Requests that mean nothing: each gets an answer in words, none a traceback."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from regions.local.http.routes import _TABLE
from tests.regions.local.http.served import TOKEN, Api, serve
from tests.regions.local.http.test_jobs import parameterized
from tests.regions.local.state.builders import config, job

FIELDS = (
    "Context", "Do", "DrainSpec", "Eligibility", "EnforceIndex", "EvalOptions", "EvalPriority", "ForgottenTokens",
    "IdPrefixTemplate", "IdempotencyToken", "Items", "Job", "JobHCL", "JobID", "JobModifyIndex", "LostEvaluations",
    "MarkEligible", "Meta", "Namespace", "Payload", "Prefix", "PreserveCounts", "Priority", "Region", "TaskName", "Variables",
)  # fmt: skip
PARAMETERS = (
    "cas", "filter", "index", "job", "limit", "meta", "namespace", "next_token", "node_id", "offset", "origin", "os", "path",
    "per_page", "plain", "prefix", "purge", "region", "resources", "reverse", "status", "task", "task_states", "topic", "type",
    "diffs", "pretty", "idempotency_token", "version",
)  # fmt: skip
VALUES = (None, True, 0, -1, 1.5, 2**70, "", "x", "é/../..", [], [1], {}, {"a": 1}, {"Deadline": "x"}, [{"Name": 1}])
TEXTS = (
    "",
    "x",
    "-1",
    "1.5",
    "9" * 30,
    "true",
    "é",
    "../../etc",
    "(",
    "1.x",
    "²",
    "٣",
    "a\0b",
    "\ufffd",
    "((((",
    "default",
    "*",
    "10ms",
    "stdout",
)
SEED = 20261125
TRIES = 300 if os.environ.get("SOAK") else 6


_NOMADS_OWN = re.compile(
    r"UUID must be 36 characters|must be even length|Invalid UUID|No path to region|as a bool: strconv"
    r"|error parsing \w+: strconv"
    r"|not found|missing (node|job|deployment|volume|plugin) ID|context must be one of|Permission denied"
    r"|alloc directory|can't seek|not a directory|not a regular file|prohibited|no match found|Unmatched parentheses"
    r"|errors? occurred"
    r"|did not provide required meta keys|Enforcing job modify index|is not a parameterized job|invalid scheduling eligibility"
)
"""Texts with which Nomad itself answers 500. `tests/conformance` compares them with recorded answers."""


def test_nonsense_is_answered_in_words(api: Api) -> None:
    chance = random.Random(SEED)
    api.put("/v1/jobs", {"Job": parameterized()})
    dispatched = api.put("/v1/job/train/dispatch", {"Meta": {"slot": "1"}})
    child = dispatched["DispatchedJobID"]
    api.finished(dispatched["EvalID"])
    node = api.get("/v1/nodes")[0]["ID"]
    names = ["train", quote(child, safe=""), node, api.get("/v1/allocations")[0]["ID"], "é", "a/b", ""]
    statuses = set()
    for pattern, ways in _TABLE.items():
        for method in () if pattern == "/v1/event/stream" else {*ways, "PATCH", "DELETE"}:
            for _ in range(TRIES):
                path = quote(pattern.replace("*", chance.choice(names)), safe="/%")
                query = "&".join(f"{name}={quote(chance.choice(TEXTS))}" for name in chance.sample(PARAMETERS, 3))
                query += "&follow=false&wait=1ms"
                body = None
                if method not in ("GET", "DELETE"):
                    body = {name: chance.choice(VALUES) for name in chance.sample(FIELDS, 5)}
                    if chance.random() < 0.5:
                        body["Job"] = parameterized() | {
                            chance.choice(["Meta", "TaskGroups", "Priority"]): chance.choice(VALUES)
                        }
                status, text = api.ask("PUT" if method == "*" else method, f"{path}?{query}", body)
                assert "internal error" not in str(text), (method, path, query, body, text)
                assert status != 500 or _NOMADS_OWN.search(str(text)), (method, path, query, body, text)
                statuses.add(status)
    assert {200, 400, 404, 500, 501} <= statuses


_CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (b"nonsense\r\n", b"", 400),
        (b"GET /v1/jobs HTTP/9.9\r\n", b"", 400),
        (b"get /v1/jobs HTTP/1.1\r\n", b"", 400),
        (b"GET /v1/jo\x00bs HTTP/1.1\r\n", b"", 400),
        (b"GET /v1/jobs HTTP/1.1\r\nno colon\r\n", b"", 400),
        (b"GET /v1/jobs HTTP/1.1\r\nA: b\nContent-Length: 5\r\n", b"", 400),
        (b"GET /v1/jobs HTTP/1.1\r\nA: b\x00\r\n", b"", 400),
        (b"GET /v1/jobs HTTP/1.1\r\nspace before : colon\r\n", b"", 400),
        (b"GET /v1/jobs HTTP/1.1\r\n : no name\r\n", b"", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\nContent-Length: -5\r\n", b"hello", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\nContent-Length: 1_0\r\n", b"0123456789", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\nContent-Length: \xb2\r\n", b"hello", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 2\r\n", b"hello", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\nContent-Length: 99999999999\r\n", b"", 413),
        (b"PUT /v1/jobs HTTP/1.1\r\nContent-Length: 3\r\n" + _CHUNKED, b"0\r\n\r\n", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\n" + _CHUNKED, b"zz\r\nhello\r\n0\r\n\r\n", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\n" + _CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\n" + _CHUNKED, b"\r\n\r\n", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\n" + _CHUNKED, b"2\r\nhello\r\n0\r\n\r\n", 400),
        (b"PUT /v1/jobs HTTP/1.1\r\n" + _CHUNKED, b"ffffffff\r\n", 413),
        (b"PUT /v1/jobs HTTP/1.1\r\n" + _CHUNKED, b"1" * 70_000, 400),
        (b"PUT /v1/jobs HTTP/1.1\r\nTransfer-Encoding: gzip\r\n", b"", 501),
        (b"GET /v1/jobs HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n", b"", 400),
        (b"PUT /v1/jobs/parse HTTP/1.1\r\n" + _CHUNKED, b'5;x=y\r\n{"a":\r\n2 \r\n1}\r\n0\r\nTrailer: x\r\n\r\n', 400),
    ],
)
def test_malformed_messages_are_answered_in_words(api: Api, head: bytes, body: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as connection:
        connection.sendall(head + f"Host: 127.0.0.1\r\nX-Nomad-Token: {TOKEN}\r\n\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert (b"Job spec is empty" in answer) is (b"Trailer" in body)
    assert b"Traceback" not in answer
    assert [one["ID"] for one in api.get("/v1/jobs")] == []


def _exchange(api: Api, message: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as connection:
        connection.sendall(message)
        return connection.makefile("rb").read()


@pytest.mark.parametrize(
    ("framing", "part", "parts"),
    [
        (b"Content-Length: 60000000\r\n", b"x" * 65536, 900),
        (_CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n", 900),
        (b"Content-Length: 10\r\nExpect: 100-continue\r\n", b"", 0),
    ],
)
@pytest.mark.parametrize("token", ["", "X-Nomad-Token: 11111111-1111-1111-1111-111111111111\r\n"])
def test_a_body_without_a_known_token_is_not_read(
    api: Api, framing: bytes, part: bytes, parts: int, token: str
) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as connection:
        connection.sendall(b"PUT /v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + token.encode() + framing + b"\r\n")
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 403 "), answer
        assert b"Connection: close" in answer
        with pytest.raises(OSError) if parts else contextlib.nullcontext():
            for _ in range(parts):
                connection.sendall(part)
            if parts:
                raise OSError("the whole body was taken")
    assert [one["ID"] for one in api.get("/v1/jobs")] == []


def test_a_short_body_that_nobody_reads_is_skipped(api: Api) -> None:
    """The next request of the connection is understood."""
    refused = b"PUT /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nGET / HTT"
    asked = b"GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = _exchange(api, refused + asked)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"403", b"200"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"1;" + b"x" * 5000 + b"\r\n{\r\n0\r\n\r\n", 400),
        ((b"1;" + b"x" * 4000 + b"\r\n \r\n") * 5, 400),
        (b"0\r\n" + b"A: b\r\n" * 12_000, 400),
        (b"0\r\nA: " + b"b" * 70_000, 400),
        (b"2\r\n{}" + b"x" * 5000, 400),
        (b"4000000\r\n", 403),
        (b"4000001\r\n", 413),
        (b"ffffffffffffffff\r\n", 400),
        (b"+5\r\nhello\r\n0\r\n\r\n", 400),
        (b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        (b"5 5\r\nhello\r\n0\r\n\r\n", 400),
        (b"1\r\n \r\n" * 20_000 + b"0\r\n\r\n", 400),
    ],
)
def test_chunks_are_bounded(api: Api, body: bytes, status: int) -> None:
    head = b"PUT /v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + _CHUNKED
    if status != 403:
        head += f"X-Nomad-Token: {TOKEN}\r\n".encode()
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as connection:
        connection.sendall(head + b"\r\n" + body)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert [one["ID"] for one in api.get("/v1/jobs")] == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST.:4646", 200),
        ("127.0.0.1:4646", 200),
        ("127.8.8.8", 200),
        ("[::1]:4646", 200),
        ("own.example:4646", 200),
        ("evil.example", 421),
        ("evil.example:4646", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("1270.0.1", 421),
        ("[::1].evil.example", 421),
        ("localhost:4646@evil.example", 421),
        ("10.0.0.1", 421),
        ("", 400),
    ],
)
def test_only_names_of_this_machine_are_answered(tmp_path: Path, host: str, status: int) -> None:
    """A web page whose own name leads to 127.0.0.1 (DNS rebinding) sends its own name."""
    made = config(tmp_path)
    made.hosts = ["Own.example"]
    with serve(made) as api:
        for path in ("/v1/status/leader", "/v1/fedml/hurt", "/v1/jobs"):
            head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Nomad-Token: {TOKEN}\r\nConnection: close\r\n\r\n"
            assert _exchange(api, head.encode()).startswith(b"HTTP/1.1 %d " % status)
        twice = b"GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
        assert _exchange(api, twice).startswith(b"HTTP/1.1 400 ")
        assert _exchange(api, b"GET /v1/status/leader HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert _exchange(api, b"GET /v1/status/leader HTTP/1.0\r\nConnection: close\r\n\r\n").startswith(
            b"HTTP/1.1 200 "
        )


def test_the_head_of_an_answer_is_all_that_head_gets(api: Api) -> None:
    head = f"HEAD /v1/client/fs/ls/x HTTP/1.1\r\nHost: localhost\r\nX-Nomad-Token: {TOKEN}\r\n\r\n".encode()
    end = b"GET /v1/status/leader HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = _exchange(api, head + end)
    assert b"UUID" not in answer
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 200 OK" in answer


@pytest.mark.parametrize(
    "text",
    [
        "((((", "(" * 30_000, "(" * 101 + "ID == x" + ")" * 101, "not " * 5000, "ID == x and " * 2000,
        "(ID == x", "ID == x)", ")", "()",
        "ID ==", "== x", "ID = x", "ID == x y", "and", "ID is", 'ID == "x', "ID == `x", 'ID == "\\x"', "ID[x] == 1", "ID. == 1",
        ".ID == x", 'ID matches "("', "ID > 1", "!ID", "é == x", "Nope == x", "Priority == x", "Priority == " + "9" * 5000,
        'ID == "\\ud800" or Nope == "\\ud800"', "x" * 50_000,
        "any TaskGroups as g { g == 1 }",
    ],
)  # fmt: skip
def test_a_bad_filter_is_400(api: Api, text: str) -> None:
    api.put("/v1/jobs", {"Job": parameterized()})
    status, said = api.ask("GET", f"/v1/jobs?filter={quote(text, safe='()')}")
    assert status == 400, (status, said[:200])
    assert said.startswith(
        ("failed to create result paginator: failed to read filter expression: ", "failed to read result page: ")
    )


@pytest.mark.parametrize("text", ["(" * 100 + "ID == train" + ")" * 100, "not " * 5000 + "ID == train"])
def test_a_deep_filter_that_means_something_is_applied(api: Api, text: str) -> None:
    api.put("/v1/jobs", {"Job": parameterized()})
    assert [one["ID"] for one in api.get(f"/v1/jobs?filter={quote(text, safe='()')}")] == ["train"]
    long = " or ".join(["ID == nothing"] * 1500 + ["ID == train"])
    assert [one["ID"] for one in api.get(f"/v1/jobs?filter={quote(long)}")] == ["train"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"Job": {"ID": "\\ud800", "TaskGroups": []}}', b'{"Job": ' + b"[" * 50_000, b'{"Job": {"Priority": NaN}}',
        b"\xff\xfe{}",
        b'{"Job": {"ID": "x", "Priority": 1e999}}', b'{"Job": {"ID": "x", "Priority": ' + b"9" * 5000 + b"}}",
        b"null", b"[]", b'"x"', b"{",
        b'{"Job": {"ID": "a\\u0000b"}}',
    ],
)  # fmt: skip
def test_strange_json_is_answered_in_words(api: Api, body: bytes) -> None:
    for path in ("/v1/jobs", "/v1/job/x/plan", "/v1/validate/job", "/v1/job/x/dispatch", "/v1/var/x", "/v1/search"):
        status, said = api.ask("PUT", path, body)
        assert "internal error" not in str(said), (path, said)
        assert status in (200, 400, 404, 500), (path, said)


def test_a_pattern_takes_time_in_proportion_to_the_text(api: Api) -> None:
    """A search that goes back and forth would take as long as two to the power of the name's length."""
    api.put("/v1/jobs", {"Job": job("a" * 60)})
    pattern = quote('ID matches "^(a+)+$" and not ID matches "^(a+)+b$"')
    assert [one["ID"] for one in api.get(f"/v1/jobs?filter={pattern}")] == ["a" * 60]
    status, said = api.ask("GET", "/v1/jobs?filter=" + quote('ID matches "(?=a)"'))
    assert status == 400
    assert said.startswith(
        'failed to read result page: Failed to compile regular expression "(?=a)": error parsing regexp: '
    )
