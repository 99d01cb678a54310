"""Requests that mean nothing: each gets an answer in words, none a traceback."""

from __future__ import annotations

import os
import random
import socket
from urllib.parse import quote

import pytest

from regions.local.http.routes import _TABLE
from tests.regions.local.http.served import TOKEN, Api
from tests.regions.local.http.test_jobs import parameterized

FIELDS = (
    "Context", "Do", "DrainSpec", "Eligibility", "EnforceIndex", "EvalOptions", "EvalPriority", "ForgottenTokens",
    "IdPrefixTemplate", "IdempotencyToken", "Items", "Job", "JobHCL", "JobID", "JobModifyIndex", "LostEvaluations",
    "MarkEligible", "Meta", "Namespace", "Payload", "Prefix", "PreserveCounts", "Priority", "Region", "TaskName", "Variables",
)  # fmt: skip
PARAMETERS = (
    "cas", "filter", "index", "job", "limit", "meta", "namespace", "next_token", "offset", "origin", "path",
    "per_page", "plain", "prefix", "purge", "region", "resources", "reverse", "status", "task", "task_states", "topic",
    "type", "diffs", "pretty", "idempotency_token",
)  # fmt: skip
VALUES = (None, True, 0, -1, 1.5, 2**70, "", "x", "é/../..", [], [1], {}, {"a": 1}, {"Deadline": "x"}, [{"Name": 1}])
TEXTS = ("", "x", "-1", "1.5", "9" * 30, "true", "é", "../../etc", "(", "1.x", "default", "*", "10ms", "stdout")
SEED = 20261125
TRIES = 300 if os.environ.get("SOAK") else 6


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
        for method in () if pattern == "/v1/event/stream" else ways:
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
