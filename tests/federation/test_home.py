"""The keys of a run's objects, which stay as they are on disk, and who may build them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from federation.errors import IndexCorrupt
from federation.home import RunKeys, manifest_keys, read_manifest, run_log
from jobs.json_limits import DOCUMENT_LIMITS
from regions.storage.errors import NotFound
from tests.federation.conftest import MemoryStore
from tests.federation.run.brain.world import MANIFEST

ROOT = Path(__file__).parents[2]


def test_the_keys_of_a_run_are_those_of_every_version() -> None:
    keys = RunKeys("r")
    assert (keys.folder, keys.manifest, keys.log, keys.lease) == (
        "runs/r/",
        "runs/r/manifest.json",
        "runs/r/log/",
        "runs/r/lease/",
    )
    assert (keys.params, keys.payloads) == ("runs/r/params.jsonl.gz", "runs/r/payloads.jsonl.gz")
    assert (keys.kept_logs(), keys.kept_logs(7)) == ("runs/r/logs/", "runs/r/logs/000000007/")
    assert keys.kept_log(7, 2, "a-1") == "runs/r/logs/000000007/2/a-1.json.gz"


def test_a_manifest_and_a_run_log_are_read_where_they_were_written() -> None:
    home = MemoryStore()
    home.put(RunKeys(MANIFEST.run).manifest, MANIFEST.to_json())
    run_log(home, MANIFEST.run, author="ann").append([{"type": "cancel", "reason": "enough"}])
    assert read_manifest(home, MANIFEST.run) == MANIFEST
    assert [entry.author for entry in run_log(home, MANIFEST.run).refresh()] == ["ann"]
    assert list(manifest_keys(home)) == [(MANIFEST.run, RunKeys(MANIFEST.run).manifest)]
    with pytest.raises(NotFound):
        read_manifest(home, "another")


def test_a_manifest_that_is_too_large_is_not_read() -> None:
    home = MemoryStore()
    home.put(RunKeys("r").manifest, b" " * (DOCUMENT_LIMITS.size_bytes_max + 1))
    with pytest.raises(IndexCorrupt, match=r"is not a manifest: .*bytes"):
        read_manifest(home, "r")


def test_keys_of_runs_are_built_in_one_module_only() -> None:
    builds = re.compile(r"""["']runs/[{%]|\{_?RUNS\}|["']/manifest\.json""")
    code = {path: re.sub(r'(?s)""".*?"""', "", path.read_text()) for path in (ROOT / "federation").rglob("*.py")}
    assert [path.name for path, text in code.items() if builds.search(text)] == ["home.py"]
