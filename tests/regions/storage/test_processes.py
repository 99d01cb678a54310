"""Writers that are killed leave nothing torn, and writers in several processes lose no update: on every kind of bucket.

A folder's writers are killed in `test_file`, at each of their system calls.
"""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from regions.model import StoreConfig
from regions.storage import open_store
from regions.storage.errors import NotFound
from tests.regions.storage.forks import POINTS, PROCESSES

MIB = 1 << 20
INCREMENTS = 20 if os.environ.get("SOAK") else 3
ROOT = Path(__file__).parents[3]


BUCKETS = ["s3", "seaweed", "gcs", "azure"]
KILLED_ON = BUCKETS if os.environ.get("SOAK") else BUCKETS[1:]
"""SeaweedFS speaks for S3 where moto, which is slow at it, is left out."""


def config_of(kind: str, request: pytest.FixtureRequest) -> StoreConfig:
    found: StoreConfig = request.getfixturevalue(f"{kind}_config")
    return found


def forks(task: str, config: StoreConfig, *arguments: str) -> list[int]:
    """The exit codes of the processes."""
    program = [sys.executable, "-m", "tests.regions.storage.forks", task, pickle.dumps(config).hex(), *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [int(code) for code in done.stdout.split()]


@pytest.mark.parametrize("kind", KILLED_ON)
def test_a_writer_killed_at_any_point_leaves_no_torn_object(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    config = config_of(kind, request)
    data, old = secrets.token_bytes(11 * MIB), b"what was there before"
    (tmp_path / "source").write_bytes(data)
    store = open_store(config)
    for number in range(0, POINTS, 2):
        store.put(f"key-{number}", old)
    codes = forks("kill", config, str(tmp_path / "source"), "key")
    assert len(codes) == POINTS
    assert codes.count(-signal.SIGKILL) >= POINTS - 2
    for number, code in enumerate(codes):
        try:
            found = store.get(f"key-{number}")
        except NotFound:
            found = b""
        before = (old,) if number % 2 == 0 else (b"",)
        assert found in ((data,) if code == 0 else (*before, data)), f"point {number} of {POINTS}"
    assert {info.size_bytes for info in store.list()} <= {len(data), len(old)}


@pytest.mark.parametrize("kind", ["file", *BUCKETS])
def test_a_counter_raised_by_eight_processes_is_exact(kind: str, request: pytest.FixtureRequest) -> None:
    config = config_of(kind, request)
    store = open_store(config)
    store.put("counter", b"0")
    assert forks("count", config, "counter", str(INCREMENTS)) == [0] * PROCESSES
    assert store.get("counter") == b"%d" % (PROCESSES * INCREMENTS)
