"""How long a script waits in a task of `fedml run` before its first line, against `uv run --script` alone.

Alone means: in a folder of its own, as each allocation has one, with uv's cache of packages filled. The script's dependencies
have 4,000 files, as many as scikit-learn has with what it needs. The packages come from an index on this machine.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from federation.task.command_line import Command
from tests.bench.main_job import FEDML, project
from tests.bench.measure import Figure, at_most, ratio_of
from tests.federation.task.helpers import Task
from tests.federation.task.package_index import served, uv

RUNS = 5
BLOCK = '# /// script\n# requires-python = ">=3.9"\n# dependencies = ["tiny"]\n# ///\n'
SCRIPT = f"""{BLOCK}
import json, os, pathlib, time
started = time.time()
print(started, flush=True)
if "FEDML_OUTPUT" in os.environ:
    pathlib.Path(os.environ["FEDML_OUTPUT"], "metrics.json").write_text(json.dumps({{"started": started}}))
"""


def _alone(folder: Path, environ: dict[str, str]) -> Callable[[], float]:
    numbers = itertools.count()

    def seconds() -> float:
        place = folder / f"alone-{next(numbers)}"
        place.mkdir()
        (place / "train.py").write_text(SCRIPT)
        start = time.time()
        command = [uv(), "run", "--script", "train.py"]
        done = subprocess.run(command, cwd=place, env=environ, capture_output=True, text=True, check=True)
        return float(done.stdout) - start

    return seconds


def _in_a_task(task: Task, *, is_first: bool) -> Callable[[], float]:
    made = Path(task.more["UV_CACHE_DIR"]) / "fedml"

    def seconds() -> float:
        if is_first:
            shutil.rmtree(made, ignore_errors=True)
        start = time.time()
        process = task.start("run")
        out, _ = process.communicate()  # from the second time on it fails: an allocation publishes once
        return float(out.splitlines()[0]) - start

    return seconds


def _by_command(folder: Path, environ: dict[str, str]) -> Callable[[], float]:
    versions = itertools.count(1)

    def seconds() -> float:
        version = str(next(versions))
        start = time.time()
        command = [FEDML, "run", "train.py", "-n", "1", "--version", version]
        subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
        shown = [FEDML, "index", "list", "--version", version, "--json"]
        listed = subprocess.run(shown, cwd=folder, env=environ, check=True, capture_output=True)
        (row,) = json.loads(listed.stdout)["results"]
        return float(row["metrics"]["started"]) - start

    return seconds


def figures(folder: Path) -> Iterator[Figure]:
    """The three figures."""
    with served(folder / "index", {"tiny": "deep", "deep": ""}, modules=2000) as url:
        environ = {
            **os.environ,
            "PATH": f"{Path(uv()).parent}{os.pathsep}{os.environ['PATH']}",
            "UV_DEFAULT_INDEX": url,
            "UV_CACHE_DIR": str(folder / "cache"),
            "UV_PYTHON_DOWNLOADS": "never",
        }
        alone = _alone(folder, environ)
        command = Command(("python", "train.py"), "script", "train.py")
        task = Task(folder / "task", {"train.py": SCRIPT}, command, more=environ)
        task.act("fetch")
        against = "uv run --script alone"
        for name, is_first, limit in (("first slot of a node", True, 3.0), ("second slot of a node", False, 1.3)):
            seconds, ratio = ratio_of(_in_a_task(task, is_first=is_first), alone, runs=RUNS)
            yield at_most(f"task start to first line, {name}", seconds, against, ratio, limit)
        os.environ.update({name: environ[name] for name in ("PATH", "UV_DEFAULT_INDEX", "UV_CACHE_DIR")})
        with project(folder / "project", "--bare") as root:
            (root / "train.py").write_text(SCRIPT)
            seconds, ratio = ratio_of(_by_command(root, environ), alone, runs=RUNS)
            yield at_most("fedml run to the first line, warm region", seconds, against, ratio, 3.0)
