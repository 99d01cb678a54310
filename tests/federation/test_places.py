"""Regions as a run's coordinator asks them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation import capacity
from federation.app import App
from federation.capacity import RegionCapacity
from federation.config import load
from federation.places import Places
from federation.run.events import RegionProbed
from regions.errors import NotFound, PermissionDenied, RegionUnreachable
from regions.nomad import NomadRegion
from tests.federation.run.world import MANIFEST
from tests.federation.test_routes import TOML


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
    monkeypatch.setattr(places._neighbours, "part", lambda free: free)
    assert places.probe("us") == probed
