"""Histories of clients at once, with lost requests and deaths: some order of all operations explains every answer.

With SOAK=1 (`make soak`) two and a half times as many.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.file.store import FileStore
from tests.federation.index.clients import entries_of, history_of
from tests.federation.index.linearizable import UNKNOWN, Operation, problems

IS_LONG = bool(os.environ.get("SOAK"))
PARTS = 5 if IS_LONG else 2
HISTORIES = 30 * PARTS
HISTORIES_A_SERVER = 15 if IS_LONG else 6
HOME = b'{"format": 1, "id": "%032x", "created": "now"}' % 7


@pytest.mark.parametrize("part", range(PARTS))
def test_every_history_has_an_order(tmp_path: Path, part: int) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(part, HISTORIES, PARTS):
        store = FileStore(StoreConfig(url=(tmp_path / f"home-{seed}").as_uri()))
        store.put("format.json", HOME)
        history = history_of(
            store, tmp_path / f"caches-{seed}", seed, clients=3, operations=6, fault_rate=0.04, kill_rate=0.02
        )

        entries = entries_of(store)
        assert problems(history, entries) == [], seed
        kinds.update(_answers(history))
        shutil.rmtree(tmp_path / f"caches-{seed}")
    assert kinds >= Counter({"unknown", "added", "superseded", "known", "moved", "refused", "read", "open", "retire"})


@pytest.fixture(params=["s3_config", "seaweed_config", "gcs_config", "azure_config"])
def server(request: pytest.FixtureRequest) -> StoreConfig:
    config: StoreConfig = request.getfixturevalue(request.param)
    return config


def test_every_history_on_a_server_has_an_order(server: StoreConfig, tmp_path: Path) -> None:
    for seed in range(HISTORIES_A_SERVER):
        store = open_store(dataclasses.replace(server, url=f"{server.url}/{seed}"))
        store.put("format.json", HOME)
        history = history_of(
            store, tmp_path / str(seed), 1000 + seed, clients=3, operations=4, fault_rate=0.04, kill_rate=0.02
        )

        assert problems(history, entries_of(store)) == [], seed


def _answers(history: list[Operation]) -> list[str]:
    told = [one.told for one in history]
    named = [one for one in told if isinstance(one, str)]
    named += [outcome for one in told if isinstance(one, dict) for outcome in one.values() if isinstance(outcome, str)]
    return named + [one.kind for one in history if one.told != UNKNOWN]
