"""Real processes that are killed (kill -9) while they write to one index: some order of all operations explains every answer.

Few and short by default; with SOAK=1 (`make soak`) 8 to 32 at once, over a folder and over a server.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from regions.model import StoreConfig
from regions.storage import open_store, store_url
from tests.federation.index.clients import entries_of
from tests.federation.index.linearizable import UNKNOWN, Operation, problems

IS_LONG = bool(os.environ.get("SOAK"))
PROCESSES = [8, 32] if IS_LONG else [3]
LIVES = 3 if IS_LONG else 2
OPERATIONS = 20 if IS_LONG else 8
ROOT = Path(__file__).parents[3]


def killed_at_work(url: str, folder: Path, seat: int) -> list[Operation]:
    """What one client after another did at a seat: each but the last is killed after some operations."""
    draw = random.Random(seat)
    history: list[Operation] = []
    for life in range(LIVES):
        cache = folder / ("shared" if seat % 2 else f"own-{seat}")
        arguments = [url, str(cache), f"{seat}-{life}", str(seat * 100 + life), str(OPERATIONS)]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.federation.index.clients", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines: list[str] = []
        if life < LIVES - 1:
            lines += [process.stdout.readline() for _ in range(draw.randint(1, OPERATIONS))]
            process.kill()
        rest, _ = process.communicate()
        told: dict[str, Operation] = {}
        for line in [*lines, *rest.splitlines()]:
            if line.endswith(("}", "}\n")):
                operation = Operation(**json.loads(line))
                told[operation.id] = operation
        history += told.values()
    return history


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("processes", PROCESSES)
@pytest.mark.parametrize("kind", ["file", "s3"] if IS_LONG else ["file"])
def test_processes_killed_at_work_have_an_order(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, processes: int
) -> None:
    config = StoreConfig(url=(tmp_path / "home").as_uri()) if kind == "file" else request.getfixturevalue("s3_config")
    config = dataclasses.replace(config, url=f"{config.url}/{processes}")
    store = open_store(config)
    store.put("format.json", b'{"format": 1, "id": "%032x", "created": "now"}' % 7)

    with ThreadPoolExecutor(processes) as pool:
        seats = pool.map(lambda seat: killed_at_work(store_url(config), tmp_path, seat), range(processes))
        history = [operation for seat in seats for operation in seat]

    entries = entries_of(store)
    assert problems(history, entries) == []
    assert len(entries) > OPERATIONS / 2
    assert sum(operation.told != UNKNOWN for operation in history) > processes * OPERATIONS
