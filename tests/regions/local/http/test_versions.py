"""What a region does by the version that it declares, at each version of the table in docs/reference/nomad-facts.md.

1.6.3 is compared with real servers by tests/conformance. What came later is from Nomad's change log and documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from regions.local.config import InvalidConfig, load
from regions.local.http.event_stream import events
from regions.local.http.messages import Request
from regions.local.nomad_version import parse
from tests.regions.local.http.served import Api, serve
from tests.regions.local.http.test_jobs import job, parameterized
from tests.regions.local.state.builders import config

SINCE = {
    "statuses refused by name": (1, 8, 0),
    "priority of a dispatch": (1, 10, 1),
    "race-safe tokens": (1, 11, 2),
}
VERSIONS = ["1.6.3", "1.8.0", "1.11.0", "1.11.2", "2.0.5"]


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
    first = dispatch(api, "?idempotency_token=t")
    api.put("/v1/fedml/faults", {"ForgottenTokens": 1})
    if dispatch(api, "?idempotency_token=t") == first:
        found.add("race-safe tokens")
    if api.ask("GET", "/v1/jobs/statuses")[0] == 501:
        found.add("statuses refused by name")
    if api.get(f"/v1/job/{quote(dispatch(api, Priority=70), safe='')}")["Priority"] == 70:
        found.add("priority of a dispatch")
    assert found == expected


def test_every_version_has_what_1_6_3_has(region: tuple[Api, set[str]]) -> None:
    api, _ = region
    assert api.put("/v1/job/glob/plan", {"Job": job(ID="glob", Datacenters=["d*"])})["FailedTGAllocs"] is None
    assert dispatch(api, "?idempotency_token=t") == dispatch(api, "?idempotency_token=t")
    api.put("/v1/jobs?namespace=ml", {"Job": job(ID="placed", Namespace="default")})
    assert api.ask("GET", "/v1/job/placed?namespace=ml")[0] == 200
    assert api.get('/v1/jobs?filter=ID+%3D%3D+"nobody"') == []
    assert api.ask("GET", "/v1/vars")[0] == 200
    assert "dispatch-mine-" in dispatch(api, IdPrefixTemplate="mine")
    assert api.get("/v1/jobs?meta=true&prefix=train")[0]["Meta"] == {"k": "v"}


def test_a_version_older_than_1_6_3_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    (tmp_path / "token").write_text("t")
    raw = {"region": "us", "data_dir": str(tmp_path), "token_file": str(tmp_path / "token"), "version": "1.5.17"}
    path.write_text(json.dumps(raw))
    with pytest.raises(InvalidConfig, match=r"version 1\.5\.17 is older than 1\.6\.3"):
        load(path)
    path.write_text(json.dumps(raw | {"version": "two"}))
    with pytest.raises(InvalidConfig, match="'two' is not a Nomad version such as"):
        load(path)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("2.0.5", (2, 0, 5)),
        ("v1.11.3+ent", (1, 11, 3)),
        ("2.0", (2, 0, 5)),  # a line is its newest release that was compared with the real server
        ("1.6", (1, 6, 3)),
        ("1.10", (1, 10, 0)),
    ],
)
def test_versions_that_a_region_answers_as(text: str, version: tuple[int, int, int]) -> None:
    assert parse(text) == version


@pytest.mark.parametrize("text", ["", "2", "2.0.5.1", "two", "2.0.x"])
def test_what_is_not_a_version(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Nomad version such as"):
        parse(text)


def test_the_agent_tells_the_version_that_it_answers_as(tmp_path: Path) -> None:
    with serve(config(tmp_path, version="2.0")) as api:
        assert api.get("/v1/agent/self")["config"]["Version"]["Version"] == "2.0.5"
        assert api.get("/v1/agent/members")["Members"][0]["Tags"]["build"] == "2.0.5"
        (node,) = api.get("/v1/nodes")
        assert node["Version"] == "2.0.5"


def test_a_follower_that_is_too_slow_is_told_so(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings.event_buffer = 3
    with serve(settings) as api:
        stream = events(api.context, Request("GET", "/v1/event/stream?topic=Job", {})).body.chunks
        assert next(stream) == b"{}\n"
        for priority in range(50, 56):
            api.put("/v1/jobs", {"Job": parameterized() | {"Priority": priority}})
        assert list(stream) == [b"event dropped from buffer"]


def test_a_follower_of_a_full_buffer_gets_its_oldest_events(tmp_path: Path) -> None:
    settings = config(tmp_path)
    settings.event_buffer = 3
    with serve(settings) as api:
        for priority in range(50, 56):
            api.put("/v1/jobs", {"Job": parameterized() | {"Priority": priority}})
        stream = events(api.context, Request("GET", "/v1/event/stream?topic=Job", {})).body.chunks
        assert next(stream) == b"{}\n"
        api.put("/v1/jobs", {"Job": parameterized() | {"Priority": 60}})  # the buffer drops its oldest events
        told = [json.loads(next(stream))["Events"][0]["Payload"]["Job"]["Priority"] for _ in range(3)]
        assert told == [53, 54, 55]


def test_a_stream_beats_while_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regions.local.http.event_stream._HEARTBEAT_S", 0.01)
    with serve(config(tmp_path)) as api:
        stream = events(api.context, Request("GET", "/v1/event/stream?topic=Job", {})).body.chunks
        assert [next(stream) for _ in range(3)] == [b"{}\n"] * 3
