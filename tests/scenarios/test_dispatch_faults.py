"""Dispatches that go wrong on the server, as they do on real ones: each slot still gives exactly one result."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from federation.manifest import idempotency_token
from tests.scenarios.conftest import federation
from tests.scenarios.project import Project, expected_keys, gate, run_id, told

pytestmark = pytest.mark.slow

SLOTS = 3


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A federation of its own, whose regions do wrong when told so."""
    with federation(tmp_path_factory.mktemp("faults") / "faulty") as up:
        yield up


def put(project: Project, region: str, path: str, body: dict[str, Any]) -> Any:
    """PUT to a region's API."""
    state = json.loads((project.root / ".fedml/dev/state.json").read_text())
    token = (project.root / ".fedml/dev/token").read_text().strip()
    url = f"http://127.0.0.1:{state['servers'][f'region:{region}']['port']}{path}"
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"X-Nomad-Token": token}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def children(project: Project, name: str) -> list[dict[str, Any]]:
    return project.children("us", name)


def test_a_child_that_is_left_without_an_evaluation_is_found_and_evaluated(faulty: Project) -> None:
    job = faulty.job("unevaluated")
    put(faulty, "us", "/v1/fedml/faults", {"LostEvaluations": 1})
    done = faulty.fedml("dispatch", "--job", job, "--regions", "us", "-n", str(SLOTS))
    assert done.code == 0, done.err
    assert faulty.committed(run_id(done.err)) == expected_keys(SLOTS)
    assert len(children(faulty, "unevaluated")) == SLOTS, "none was dispatched twice"


def test_a_child_whose_answer_is_lost_is_found_and_not_dispatched_again(faulty: Project) -> None:
    """The leader crashes after the child, and its token would be forgotten: servers of that version race, so the region is
    searched, and the child that was found without an evaluation gets one."""
    job = faulty.job("twice")
    put(faulty, "us", "/v1/fedml/faults", {"LostEvaluations": 1, "ForgottenTokens": 1})
    done = faulty.fedml("dispatch", "--job", job, "--regions", "us", "-n", str(SLOTS))
    assert done.code == 0, done.err
    run = run_id(done.err)
    assert len(children(faulty, "twice")) == SLOTS
    assert faulty.committed(run) == expected_keys(SLOTS)
    assert faulty.still_open("us", "twice") == []


def test_two_children_of_one_token_give_one_result(faulty: Project) -> None:
    """Another coordinator dispatches the same attempt at the same moment, as the race of older servers lets it."""
    with gate(faulty.root / "gate-race") as waiting:
        job = faulty.job("raced", f"cat {waiting}; echo x > model && exec fedml publish model")
        dispatch = faulty.started("dispatch", "--job", job, "--regions", "us")
        said = told(dispatch, "running    us-1", 1)
        (first,) = children(faulty, "raced")
        run = first["Meta"]["fedml_run"]
        put(faulty, "us", "/v1/fedml/faults", {"ForgottenTokens": 1})
        parent = faulty.region("us", "/v1/job/raced")
        keys = {*parent["ParameterizedJob"]["MetaOptional"], *parent["ParameterizedJob"]["MetaRequired"]}
        token = quote(idempotency_token(run, 0, 1))
        meta = {key: value for key, value in first["Meta"].items() if key in keys}
        put(faulty, "us", f"/v1/job/raced/dispatch?idempotency_token={token}", {"Meta": meta})
        assert len(children(faulty, "raced")) == 2
    said += dispatch.communicate(timeout=300)[1]
    assert dispatch.returncode == 0, said
    assert faulty.committed(run) == expected_keys(1)
    assert faulty.still_open("us", "raced") == []
