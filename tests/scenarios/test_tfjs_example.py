"""The example in JavaScript: trained in an embedded region, published, and loaded again by another process of Node.js."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulators.requirements import missing

FEDML = str(Path(sys.executable).with_name("fedml"))
EXAMPLE = Path(__file__).parents[2] / "jobs/examples/tumors_tfjs"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """With a cache folder of its own for packages; npm's own cache is the user's."""
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            missing("node", f"there is no {name} on PATH")
    package = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]["@tensorflow/tfjs"]
    asked = ["npm", "view", "--prefer-offline", f"@tensorflow/tfjs@{package}", "version"]
    if subprocess.run(asked, capture_output=True, timeout=120, check=False).returncode:
        missing("node", "npm has no registry and no cached packages")
    return {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def folder(tmp_path: Path, environ: dict[str, str]) -> Iterator[Path]:
    root = tmp_path / "project"
    subprocess.run([FEDML, "init", "--bare", str(root)], check=True, capture_output=True)
    try:
        subprocess.run([FEDML, "dev", "up"], cwd=root, env=environ, check=True, capture_output=True)
        yield root
    finally:
        subprocess.run([FEDML, "dev", "down", "--purge", "--yes"], cwd=root, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_of_javascript_from_training_to_use(folder: Path, environ: dict[str, str]) -> None:
    def fedml(*arguments: str) -> str:
        done = subprocess.run([FEDML, *arguments], cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    shutil.copytree(EXAMPLE, folder / "tumors", ignore=shutil.ignore_patterns("node_modules", "output"))
    fedml("run", "--code", "tumors", "-n", "1", "-p", "units=8", "-p", "epochs=20", "--", "sh", "train.sh")
    (row,) = json.loads(fedml("index", "list", "--json"))["results"]
    metrics: dict[str, Any] = row["metrics"]
    assert metrics["accuracy"] > 0.9
    assert 0 < metrics["loss"] < 0.3
    assert row["params"] == {"units": "8", "epochs": "20"}
    fedml("index", "get", row["alloc_id"], "--to", "best")
    assert {path.name for path in (folder / "best").iterdir()} >= {"model.json", "weights.bin", "metrics.jsonl"}
    (packages,) = Path(environ["XDG_CACHE_HOME"], "tumors-tfjs").glob("*/node_modules")
    (folder / "tumors/node_modules").symlink_to(packages)
    command = ["node", "predict.mjs", str(folder / "best")]
    done = subprocess.run(command, cwd=folder / "tumors", capture_output=True, text=True, check=True, timeout=120)
    lines = [line for line in done.stdout.splitlines() if " benign, in fact " in line]
    right = [line for line in lines if (float(line.split()[0]) > 0.5) == line.endswith(" benign")]
    assert len(lines) == 6
    assert len(right) >= 5
