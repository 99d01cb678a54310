"""A model's life, as people live it: train in three regions, compare, promote under a gate, serve from another process,
roll back, find out who and why, lose the index, rebuild it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.scenarios.conftest import federation
from tests.scenarios.project import Project, assert_refused

TRAIN = """\
case $NOMAD_REGION in us) score=0.6;; eu) score=0.7;; *) score=0.8;; esac
mkdir out && echo "$NOMAD_REGION" > out/model.txt && echo "{\\"score\\": $score}" > out/metrics.json
exec fedml publish out
"""
GATE = """
[tags.production]
where = "metrics.score >= 0.65 and state = 'committed'"
"""
SERVER = """
import sys, federation
fed = federation.open(sys.argv[1])
for row in fed.index.follow("production", pause=sys.stdin.readline):
    print((fed.index.get(row.alloc_id) / "model.txt").read_text().strip(), flush=True)
"""


class Server:
    """A process that serves whatever `production` points to; it looks when it is told to."""

    def __init__(self, project: Project) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(project.root)],
            env=project.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        project.processes.append(self._process)

    def look(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def serves(self) -> str:
        """The region of the model that it loaded next."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def test_from_training_to_a_rebuilt_index(tmp_path: Path) -> None:
    with federation(tmp_path / "story") as project:
        with (project.root / "fedml.toml").open("a") as file:
            file.write(GATE)
        project.ran("dispatch", "--job", project.job("story", TRAIN), "--version", "1")
        ranked = project.rows("--where", "metrics.score > 0", "--sort", "metrics.score:desc")
        assert [row["region"] for row in ranked] == ["onprem", "eu", "us"]
        best, second, worst = (row["alloc_id"] for row in ranked)

        compared = project.ran("index", "compare", second, best, "--json").json
        assert {"section": "metrics", "name": "score", "values": [0.7, 0.8]} in compared["differences"]

        refused = project.fedml("index", "tag", "production", worst)
        assert_refused(refused, "doesn't meet", "metrics.score is 0.6")
        project.ran("index", "tag", "production", second, "--if-current", "none", "-m", "first that is good enough")
        server = Server(project)
        assert server.serves() == "eu"
        project.ran("index", "tag", "production", best, "--if-current", second, "-m", "the best")
        server.look()
        assert server.serves() == "onprem"
        raced = project.fedml("index", "tag", "production", second, "--if-current", second)
        assert_refused(raced, f"points to {best[:8]}", f"not to {second[:8]}")
        project.ran("index", "tag", "--rollback", "production", "-m", "slow on large accounts")
        server.look()
        assert server.serves() == "eu"

        history = project.ran("index", "tag", "production", "--json").json["history"]
        assert [(move["kind"], move["reason"]) for move in history] == [
            ("rollback", "slow on large accounts"),
            ("tag", "the best"),
            ("tag", "first that is good enough"),
        ]
        promoted = history[1]["revision"]
        then = project.ran("index", "show", "production", "--at", str(promoted), "--json").json
        assert then["results"][0]["alloc_id"] == best

        before = project.rows()
        shutil.rmtree(project.home / "index")
        project.ran("index", "rebuild", "--yes")
        assert [(row["alloc_id"], row["state"], row["tags"]) for row in project.rows()] == [
            (row["alloc_id"], row["state"], row["tags"]) for row in before
        ]
        assert project.ran("index", "show", "production", "--json").json["results"][0]["alloc_id"] == second
        project.ran("index", "verify", "--deep")
