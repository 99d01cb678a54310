"""What is left to read of a run: its tasks' output, when it waited and computed, who was told; and taking that away."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenarios.project import Project, run_id

SCRIPT = """echo "slot $NOMAD_META_fedml_slot begins"
echo "password=hunter22" >&2
if [ "$NOMAD_META_fedml_slot" = 1 ]; then echo the data is gone >&2; exit 7; fi
echo x > model && exec fedml publish model"""
TELLER = (
    "import os, pathlib; pathlib.Path('told').write_text(os.environ['FEDML_EVENT'] + ' ' + os.environ['FEDML_RUN'])"
)


@dataclass(frozen=True)
class Over:
    """A run of three slots that is over: slot 1 failed everywhere."""

    project: Project
    run: str
    log_file: Path
    metrics_file: Path


@pytest.fixture(scope="module")
def over(project: Project) -> Over:
    """With a hook, metrics and a log file, dispatched once for all tests here."""
    hooks = f"\n[hooks]\nrun_failed = {json.dumps([sys.executable, '-c', TELLER])}\n"
    config = project.write("hooked.toml", (project.root / "fedml.toml").read_text() + hooks)
    log_file, metrics_file = project.root / "run.jsonl", project.root / "run.prom"
    done = project.fedml(
        "dispatch", "--config", config, "--job", project.job("readable", SCRIPT), "--version", "1",
        "--log-file", str(log_file), "--metrics-file", str(metrics_file),
    )  # fmt: skip
    assert done.code == 2, done.err
    return Over(project, run_id(done.err), log_file, metrics_file)


def test_logs_are_kept_of_good_and_failed_attempts_after_nomad_forgot_them(over: Over) -> None:
    for region in ("us", "eu", "onprem"):
        for child in over.project.children(region, "readable"):
            over.project.forget(region, child["ID"])
    written = over.project.ran("runs", "logs", over.run, "--json").json_lines
    assert {(one["slot"], one["attempt"], one["kind"], one["is_kept"]) for one in written} == {
        *((slot, 1, kind, True) for slot in (0, 1, 2) for kind in ("stdout", "stderr")),
        *((1, 2, kind, True) for kind in ("stdout", "stderr")),
    }
    assert [one["text"] for one in written if (one["slot"], one["kind"]) == (1, "stderr")] == [
        "password=[redacted]\nthe data is gone\n"
    ] * 2
    failed = over.project.ran("runs", "logs", over.run, "--failed", "--stderr").out
    assert failed.count("the data is gone") == 2
    assert "==> slot 1, attempt 2, " in failed
    assert "slot 0" not in failed
    assert "slots 0 to 2" in over.project.fedml("runs", "logs", over.run, "3").err


def test_a_run_is_shown_over_time_and_drawn(over: Over) -> None:
    shown = over.project.fedml("runs", "show", over.run, "--plot", "run.svg")
    assert shown.code == 2, shown.err
    assert "░" in shown.out
    assert " ✗" in shown.out
    assert "of the best" in shown.out
    assert (over.project.root / "run.svg").read_bytes().startswith(b"<svg xmlns=")
    told = over.project.fedml("runs", "show", over.run, "--json").json["timeline"]
    outcomes = {(one["slot"], one["attempt"]): one["outcome"] for one in told["attempts"]}
    assert outcomes == {(0, 1): "done", (1, 1): "failed", (1, 2): "failed", (2, 1): "done"}
    assert all(one["bound_s"] <= one["started_s"] <= one["ended_s"] for one in told["attempts"])


def test_hook_metrics_and_log_file_were_told(over: Over) -> None:
    assert (over.project.root / "told").read_text() == f"run_failed {over.run}"
    lines = [json.loads(line) for line in over.log_file.read_text().splitlines()]
    assert {line["run"] for line in lines} == {over.run}
    assert sum(line["event"] == "committed" for line in lines) == 2
    assert all("slot" in line and "region" in line and "attempt" in line for line in lines if line["event"] == "retry")
    assert lines[-1]["event"] == "end"
    assert "fedml_results_committed_total{" in over.metrics_file.read_text()


def test_watching_a_run_that_is_over_tells_it_all_and_exits_as_it_did(over: Over) -> None:
    watched = over.project.fedml("runs", "watch", over.run, "--json")
    assert watched.code == 2, watched.err
    events = [line["event"] for line in watched.json_lines]
    assert (events.count("bound"), events.count("committed"), events.count("failed")) == (4, 2, 2)
    assert watched.json_lines[-1] == {
        "schema_version": 1,
        "event": "end", "run": over.run, "state": "failed", "reason": "1 of 3 slots failed",
    }  # fmt: skip


def test_a_live_run_is_followed_until_it_is_over(project: Project) -> None:
    script = "echo one; sleep 3; echo two; echo x > model && exec fedml publish model"
    dispatching = project.started("dispatch", "--job", project.job("followed", script), "--regions", "us")
    assert dispatching.stderr is not None
    run = next(run_id(line) for line in dispatching.stderr if line.startswith("Run "))
    followed = project.fedml("runs", "logs", run, "--follow", "--stdout")
    dispatching.communicate(timeout=300)
    assert dispatching.returncode == 0
    assert followed.out.splitlines()[:2] == ["slot 0 make | one", "slot 0 make | two"]


def test_pruning_takes_old_logs_and_leaves_the_run(over: Over) -> None:
    copy = over.project.root / "stores" / "home" / "runs" / over.run / "logs"
    kept = shutil.copytree(copy, over.project.root / "kept-logs")
    try:
        assert over.project.ran("runs", "prune", "--yes", "--json").json == {
            "schema_version": 1,
            "is_done": True,
            "runs": [],
        }
        dry = over.project.ran("runs", "prune", "--older-than", "0m", "--json").json["runs"]
        assert next(row["objects"] for row in dry if row["run"] == over.run) >= 4
        assert copy.exists()
        over.project.ran("runs", "prune", "--older-than", "0m", "--yes")
        assert not any(copy.rglob("*.gz"))
        assert over.project.fedml("runs", "show", over.run).code == 2
    finally:
        shutil.copytree(kept, copy, dirs_exist_ok=True)
    assert "is not a duration" in over.project.fedml("runs", "prune", "--older-than", "soon").err
