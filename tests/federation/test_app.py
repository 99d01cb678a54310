"""One App for all threads of `fedml ui`: each thing is opened once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from federation import app as module
from federation.app import App
from federation.config.load import load
from regions.nomad import client

THREADS = 8
TOML = """
[federation]
home = "file://home"
[regions.us]
addresses = ["http://127.0.0.1:9"]
[regions.us.datacenters.dc1]
store = "file://us"
"""


@pytest.mark.parametrize(
    ("place", "name", "get"),
    [
        (client, "NomadRegion", lambda app: app.client("us")),
        (module, "open_store", lambda app: app.home),
        (module, "Index", lambda app: app.index),
    ],
)
def test_threads_at_once_open_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, get: Callable[[App], object]
) -> None:
    made, make = [], getattr(place, name)

    def slow(*arguments: object, **named: object) -> object:
        made.append(name)
        time.sleep(0.01)  # lets other threads in
        return make(*arguments, **named)

    monkeypatch.setattr(place, name, slow)
    (tmp_path / "fedml.toml").write_text(TOML)
    with closing(App(load(tmp_path / "fedml.toml"))) as app, ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(get, [app] * THREADS))
        assert all(one is found[0] for one in found)
    assert made == [name]
