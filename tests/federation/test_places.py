"""Whether a region is there: at its own addresses, or through another region."""

from __future__ import annotations

from pathlib import Path

import pytest

from federation.app import App
from federation.config import load
from federation.places import Places
from federation.run.events import Pinged
from regions.errors import PermissionDenied, RegionUnreachable
from regions.nomad import NomadRegion
from tests.federation.run.world import MANIFEST

TOML = """
[federation]
home = "file://./home"
[regions.us]
addresses = ["http://us:4646"]
token = { env = "US_TOKEN" }
datacenters.dc1 = { store = "file://./us" }
[regions.eu]
addresses = ["http://eu:4646"]
datacenters.dc1 = { store = "file://./eu" }
"""


@pytest.mark.parametrize(
    ("answers", "pinged"),
    [
        ({"http://us:4646": "10.0.0.1:4647"}, Pinged("us", is_alive=True)),
        ({"http://us:4646": PermissionDenied("403", region="us")}, Pinged("us", is_alive=True)),
        ({"http://eu:4646": "10.0.0.1:4647"}, Pinged("us", is_alive=True, via="eu")),
        ({"http://eu:4646": ""}, Pinged("us", is_alive=False)),
        ({}, Pinged("us", is_alive=False)),
    ],
)
def test_a_ping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, str | Exception], pinged: Pinged
) -> None:
    asked: list[NomadRegion] = []

    def leader(self: NomadRegion) -> str:
        asked.append(self)
        answer = answers.get(self.region.addresses[0], RegionUnreachable("silent", region=self.name))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(NomadRegion, "leader", leader)
    (tmp_path / "fedml.toml").write_text(TOML)
    app = App(load(tmp_path / "fedml.toml"))
    assert Places(app, MANIFEST, None).ping("us") == pinged  # type: ignore[arg-type]
    through = [one.region for one in asked if one.region.addresses == ("http://eu:4646",)]
    assert all((one.nomad_region, one.token) == ("us", None) for one in through), "its token isn't shown to others"
