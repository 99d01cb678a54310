"""Regions as a run's coordinator asks them; and records as nodes wrote them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from federation import capacity
from federation.app import App
from federation.capacity import RegionCapacity
from federation.claims import sites_of
from federation.config.load import load
from federation.errors import PublishError
from federation.result import Key, ResultRecord
from federation.run.brain.commands import Look
from federation.run.brain.events import RegionProbed
from federation.run.records import look
from federation.workflows import run_access
from federation.workflows.run_access import BAD_RECORD, Places
from jobs.errors import FedmlError
from regions.errors import NotFound, PermissionDenied, RegionUnreachable
from regions.model import Allocation, Node
from regions.nomad.client import NomadRegion
from regions.storage.errors import PermissionDenied as DeniedByStore
from tests.federation.run.brain.world import MANIFEST
from tests.federation.run.test_routes import TOML


class Prepared:
    def __init__(self) -> None:
        self.rendered, self.shape = {"us": {"ID": "train"}}, None


UNREACHABLE = "unreachable: region us: no answer in time"


@pytest.mark.parametrize(
    ("summary", "probed"),
    [
        ({"Children": {"Pending": 1, "Running": 2, "Dead": 4}}, RegionProbed("us", 3, children=7)),
        (NotFound("no job train", region="us"), RegionProbed("us", 3)),
        (PermissionDenied("403", region="us"), RegionProbed("us", 3)),
        (RegionUnreachable("no answer in time", region="us"), RegionProbed("us", 0, UNREACHABLE)),
    ],
)
def test_a_probe_whose_last_request_fails_is_no_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, summary: Any, probed: RegionProbed
) -> None:
    def answered(self: NomadRegion, job_id: str) -> Any:
        if isinstance(summary, Exception):
            raise summary
        return summary

    monkeypatch.setattr(NomadRegion, "summary", answered)
    monkeypatch.setattr(capacity, "look", lambda *_, **__: RegionCapacity("us", free=3))
    (tmp_path / "fedml.toml").write_text(TOML)
    places = Places(App(load(tmp_path / "fedml.toml")), MANIFEST, Prepared())  # type: ignore[arg-type]
    monkeypatch.setattr(places._other_runs, "part", lambda free: free)
    assert places.probe("us", 1) == probed


KEY = Key(MANIFEST.run, 0, "model", 0)
ALLOCATION = Allocation("alloc-1", "train/dispatch-1", "model", 0, "node", "n-1", "complete", "run")


def written(**changes: Any) -> ResultRecord:
    fields: dict[str, Any] = {
        "key": KEY, "attempt": 1, "job": "train", "version": "4", "spec_hash": "5ec", "region": "us", "datacenter": "dc1",
        "node": "n-1", "alloc_id": "alloc-1", "job_id": "train/dispatch-1", "store": "file:///x", "manifest_sha256": "0",
        "files": (), "created": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return ResultRecord(**(fields | changes))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "fedml.toml").write_text(TOML)
    return Places(App(load(tmp_path / "fedml.toml")), MANIFEST, None)  # type: ignore[arg-type]


def put(places: Places, data: bytes, *, alloc_id: str = "alloc-1") -> None:
    app = places._app
    app.store(app.config.regions["us"].datacenters["dc1"].store).put(KEY.record_key(alloc_id), data)


def test_a_record_is_read_as_the_node_wrote_it(places: Places) -> None:
    assert places.read("us", KEY, ALLOCATION) is None
    record = written(version="99")
    put(places, record.to_json())
    assert places.read("us", KEY, ALLOCATION) == record
    assert places.search("us", 0) == [record]


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"format": 99}', written(region="../x").to_json()])
def test_what_is_not_a_record_is_told_of_its_allocation_and_left_out_of_a_search(places: Places, data: bytes) -> None:
    put(places, data)
    with pytest.raises(FedmlError) as raised:
        places.read("us", KEY, ALLOCATION)
    assert isinstance(raised.value, BAD_RECORD)
    put(places, written(alloc_id="alloc-2").to_json(), alloc_id="alloc-2")
    assert [record.alloc_id for record in places.search("us", 0)] == ["alloc-2"]


def test_no_more_is_read_than_a_record_may_have(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    record = written()
    put(places, record.to_json())
    put(places, b" " * 5000, alloc_id="alloc-2")
    monkeypatch.setattr(run_access, "RECORD_BYTES_MAX", 4000)
    assert places.search("us", 0) == [record]
    with pytest.raises(PublishError, match=r"is not a record: .* has 5,000 bytes; at most 4,000 are read"):
        places.read("us", KEY, replace(ALLOCATION, id="alloc-2"))


def test_a_record_at_anothers_key_is_left_out_of_a_search(places: Places) -> None:
    put(places, written(alloc_id="alloc-2").to_json())
    assert places.search("us", 0) == []


def test_a_record_that_nomad_gives_is_a_claim_too(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store can't be read from here: the record comes from the allocation's folder, as it stands there."""
    app = places._app
    store = app.store(app.config.regions["us"].datacenters["dc1"].store)

    def denied(_key: str, *, limit_bytes: int) -> bytes:
        raise DeniedByStore("403")

    monkeypatch.setattr(store, "get_small", denied)
    record = written(node="another")
    monkeypatch.setattr(NomadRegion, "read_file", lambda _self, _alloc_id, _path: record.to_json())
    assert places.read("us", KEY, ALLOCATION) == record
    monkeypatch.setattr(NomadRegion, "read_file", lambda _self, _alloc_id, _path: b"{")
    with pytest.raises(PublishError):
        places.read("us", KEY, ALLOCATION)
    ports = SimpleNamespace(
        read=places.read, sites=sites_of(app.config.regions), node=places.node, inputs=lambda _: ({}, b"")
    )
    monkeypatch.setattr(NomadRegion, "read_file", lambda _self, _alloc_id, _path: record.to_json())
    found = look(MANIFEST, ports, Look(0, 1, "us", ALLOCATION))  # type: ignore[arg-type]
    assert "its record says node 'another'; Nomad has 'n-1'" in found.refusal


def test_nodes_are_not_asked_for_again_and_again(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def nodes(self: NomadRegion) -> list[Node]:
        asked.append(self.name)
        raise PermissionDenied("403", region=self.name)

    monkeypatch.setattr(NomadRegion, "nodes", nodes)
    assert [places.node("us", str(number)) for number in range(5)] == [None] * 5
    assert asked == ["us"]
