"""A project for tests that need no region and no result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.app import App
from federation.config.load import load


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A project whose region nobody serves."""
    (tmp_path / "fedml.toml").write_text(
        '[federation]\nname = "secret-lab"\nhome = "file://home"\n[regions.us]\naddresses = ["http://127.0.0.1:9"]\n'
        '[regions.us.datacenters.dc1]\nstore = "file://us"\n'
    )
    opened = App(load(tmp_path / "fedml.toml"))
    yield opened
    opened.close()
