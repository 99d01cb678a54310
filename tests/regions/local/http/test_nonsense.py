"""Requests that mean nothing: each gets an answer in words, none a traceback."""

from __future__ import annotations

import os
import random
from urllib.parse import quote

from regions.local.http.routes import _TABLE
from tests.regions.local.http.served import Api
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
