"""What a region does by the version that it declares, at each version of the table in docs/reference/nomad-facts.md.

1.1.2 and 1.6.3 are held to real servers by tests/conformance; 1.4 and 1.11 are from Nomad's change log and documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from regions.local.http.event_stream import events
from regions.local.http.messages import Request
from tests.regions.local.http.served import Api, serve
from tests.regions.local.http.test_jobs import job, parameterized
from tests.regions.local.state.builders import config

SINCE = {
    "idempotency tokens": (1, 1, 3),
    "the query's namespace": (1, 1, 3),
    "sysbatch": (1, 2, 0),
    "filters": (1, 3, 0),
    "pages": (1, 3, 0),
    "variables": (1, 4, 0),
    "ID prefix": (1, 4, 2),
    "meta of jobs": (1, 4, 3),
    "datacenter globs": (1, 5, 0),
    "node pools": (1, 6, 0),
    "variables of a parse": (1, 6, 0),
    "statuses refused by name": (1, 8, 0),
    "priority of a dispatch": (1, 10, 1),
    "race-safe tokens": (1, 11, 2),
}
VERSIONS = ["1.1.2", "1.4.0", "1.6.3", "1.11.0", "1.11.2"]


@pytest.fixture(params=VERSIONS)
def region(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Api, set[str]]]:
    """A region of that version, and what it should be able to do."""
    numbers = tuple(int(part) for part in request.param.split("."))
    settings = config(tmp_path, version=request.param, namespaces={"ml": ""})
    with serve(settings) as api:
        api.put("/v1/jobs", {"Job": parameterized() | {"Meta": {"k": "v"}}})
        yield api, {name for name, since in SINCE.items() if numbers >= since}


def dispatch(api: Api, query: str = "", **body: object) -> str:
    child: str = api.put(f"/v1/job/train/dispatch{query}", {"Meta": {"slot": "1"}, **body})["DispatchedJobID"]
    return child


def test_what_a_region_can(region: tuple[Api, set[str]]) -> None:
    api, expected = region
    found = set()
    if api.put("/v1/job/glob/plan", {"Job": job(ID="glob", Datacenters=["d*"])})["FailedTGAllocs"] is None:
        found.add("datacenter globs")
    first = dispatch(api, "?idempotency_token=t")
    if dispatch(api, "?idempotency_token=t") == first:
        found.add("idempotency tokens")
    api.put("/v1/fedml/faults", {"ForgottenTokens": 1})
    if dispatch(api, "?idempotency_token=t") == first:
        found.add("race-safe tokens")
    api.put("/v1/jobs?namespace=ml", {"Job": job(ID="placed", Namespace="default")})
    if api.ask("GET", "/v1/job/placed?namespace=ml")[0] == 200:
        found.add("the query's namespace")
    if api.ask("PUT", "/v1/jobs", {"Job": job(ID="everywhere", Type="sysbatch")})[0] == 200:
        found.add("sysbatch")
    if api.get('/v1/jobs?filter=ID+%3D%3D+"nobody"') == []:
        found.add("filters")
    if len(api.get("/v1/jobs?per_page=1")) == 1:
        found.add("pages")
    if api.ask("GET", "/v1/vars")[0] == 200:
        found.add("variables")
    if "dispatch-mine-" in dispatch(api, IdPrefixTemplate="mine"):
        found.add("ID prefix")
    if api.get("/v1/jobs?meta=true&prefix=train")[0].get("Meta") is not None:
        found.add("meta of jobs")
    if "NodePool" in api.get("/v1/job/train"):
        found.add("node pools")
    text = 'variable "dc" { default = "a" }\njob "x" { datacenters = [var.dc] }'
    if api.put("/v1/jobs/parse", {"JobHCL": text, "Variables": 'dc = "b"'})["Datacenters"] == ["b"]:
        found.add("variables of a parse")
    if api.ask("GET", "/v1/jobs/statuses")[0] == 501:
        found.add("statuses refused by name")
    if api.get(f"/v1/job/{quote(dispatch(api, Priority=70), safe='')}")["Priority"] == 70:
        found.add("priority of a dispatch")
    assert found == expected


def test_a_follower_that_is_too_slow_is_told_so(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings.event_buffer = 3
    with serve(settings) as api:
        stream = events(api.context, Request("GET", "/v1/event/stream?topic=Job", {}, b"")).body.chunks
        assert next(stream) == b"{}\n"
        for priority in range(50, 56):
            api.put("/v1/jobs", {"Job": parameterized() | {"Priority": priority}})
        assert list(stream) == [b"event dropped from buffer"]


def test_a_stream_beats_while_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regions.local.http.event_stream._HEARTBEAT_S", 0.01)
    with serve(config(tmp_path)) as api:
        stream = events(api.context, Request("GET", "/v1/event/stream?topic=Job", {}, b"")).body.chunks
        assert [next(stream) for _ in range(3)] == [b"{}\n"] * 3
