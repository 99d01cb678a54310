"""A server that answers with JSON that Nomad would never give: every call says so in our own words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from regions.errors import RegionError, UnexpectedAnswer
from regions.nomad.client import NomadRegion
from tests.regions.conftest import Reply

BOMBS = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"9" * 10_000,
    b"Infinity",
    b'"\\ud800"',
    b"[1e999]",
    b"\xff\xfe",
    b"{",
    b"",
]
STRANGE: list[Any] = [{"hello": "world"}, [1, 2], ["x"], None, "text", 7, {"Members": None}, {"Members": [3]}, [{}]]
JOB = {"ID": "train", "TaskGroups": []}
CALLS: dict[str, Callable[[NomadRegion], object]] = {
    "version": lambda region: region.version(),
    "leader": lambda region: region.leader(),
    "federation_regions": lambda region: region.federation_regions(),
    "acl_self": lambda region: region.acl_self(),
    "nodes": lambda region: region.nodes(),
    "jobs": lambda region: region.jobs("a", meta=True),
    "job": lambda region: region.job("train"),
    "plan_job": lambda region: region.plan_job(JOB, diff=True),
    "register": lambda region: region.register(JOB, enforce_index=0),
    "dispatch": lambda region: region.dispatch("train", meta={}, idempotency_token="t"),
    "evaluate": lambda region: region.evaluate("train"),
    "summary": lambda region: region.summary("train"),
    "evaluations": lambda region: region.evaluations(status="blocked"),
    "evaluations of a job": lambda region: region.evaluations("train", "blocked"),
    "allocations": lambda region: region.allocations(),
    "allocation": lambda region: region.allocation("a"),
}


@pytest.mark.parametrize("call", CALLS)
def test_bytes_that_are_no_json_or_too_much_of_it_are_an_error_of_that_region(
    recorder: Any, client: Any, call: str
) -> None:
    for body in BOMBS:
        recorder.answers.clear()
        recorder.default = Reply(body=body)
        with pytest.raises(RegionError):
            CALLS[call](client())


@pytest.mark.parametrize("call", CALLS)
def test_strange_json_is_an_error_of_the_region_or_an_answer_never_a_bug(recorder: Any, client: Any, call: str) -> None:
    unexpected = 0
    for answer in STRANGE:
        recorder.answers.clear()
        recorder.default = Reply(body=json.dumps(answer).encode())
        try:
            CALLS[call](client())
        except UnexpectedAnswer:
            unexpected += 1
        except RegionError:
            continue
    assert unexpected >= 3, "what is no object or list at all must have been noticed"
