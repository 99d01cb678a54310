"""Curves of a real run: shown while tasks run, read from artifacts afterwards, and rules that stop slots by them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

import federation
from tests.scenarios.project import Project, assert_refused, run_id, told

pytestmark = pytest.mark.xdist_group("scenarios")

SCRIPT = """mkdir -p "$NOMAD_ALLOC_DIR/output" && cd "$NOMAD_ALLOC_DIR/output"
for step in 1 2 3 4 5 6; do echo "{\\"step\\": $step, \\"loss\\": $NOMAD_META_epochs.$step}"; done > metrics.jsonl
echo "not json" >> metrics.jsonl
if [ "$NOMAD_META_epochs" = 9 ]; then printf '{"step": 7, "loss": NaN}\\n' >> metrics.jsonl; fi
until [ -e "GATE" ]; do sleep 0.2; done
echo '{"score": 1}' > metrics.json
exec fedml publish "$NOMAD_ALLOC_DIR/output"
"""


def curves_of(project: Project, run: str, *, until: int) -> dict[int, dict[str, Any]]:
    """The curves of the run by slot, when at least `until` slots have any."""
    end = time.monotonic() + 120
    while True:
        document = project.fedml("runs", "show", run, "--curves", "--json").json
        found = {one["slot"]: one for one in document["curves"] if one["lines"] >= 6}
        if len(found) >= until:
            return found
        assert time.monotonic() < end, document
        time.sleep(0.3)


def test_curves_live_and_finished_and_slots_stopped_by_a_rule(project: Project, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = project.job("curvy", SCRIPT.replace("GATE", str(gate)))
    process = project.started(
        "dispatch", "--job", job, "--sweep", "epochs=1,2,9,3", "--stop-when", "metrics.loss is nan", "--keep-best", "2",
        "--after", "5", "--name", "curvy",
    )  # fmt: skip
    told(process, "running", 4)
    live = curves_of(project, "curvy", until=4)
    assert {slot: one["params"] for slot, one in live.items()} == {
        slot: {"epochs": epochs} for slot, epochs in enumerate((1, 2, 9, 3))
    }
    assert live[0]["metrics"]["loss"] == {"steps": [1, 2, 3, 4, 5, 6], "values": [1.1, 1.2, 1.3, 1.4, 1.5, 1.6]}
    assert live[2]["metrics"]["loss"]["values"][-1] == {"$float": "nan"}
    assert {one["skipped"] for one in live.values()} == {1}
    said = told(process, "stopped", 2)
    gate.touch()
    rest = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said + rest
    assert "done, 2 of 4 slots, 2 stopped by a rule" in rest
    ends = {change["slot"]: change["reason"] for change in project.run_log(run_id(rest)) if change["type"] == "fail"}
    assert sorted(ends) == [2, 3]
    assert "metrics.loss is nan" in ends[2] or "--keep-best 2" in ends[2]
    assert "--keep-best 2: loss is 3.5 at step 5" in ends[3]

    found = curves_of(project, "curvy", until=4)
    assert {slot: one["state"] for slot, one in found.items()} == {0: "done", 1: "done", 2: "stopped", 3: "stopped"}
    shown = project.ran("runs", "show", "curvy", "--curves").out
    assert "loss: 1.1 to 9.6, steps 1 to 7" in shown
    assert re.search(r"epochs=9 +stopped +7 +nan +\S+x$", shown, re.MULTILINE)
    assert "4 lines of 4 slots can't be used" in shown
    assert shown in project.ran("runs", "watch", "curvy", "--curves").out, "without a terminal at the end"
    watched = [
        json.loads(line) for line in project.ran("runs", "watch", "curvy", "--curves", "--json").out.splitlines()
    ]
    assert [one["slot"] for one in watched[-1]["curves"]] == [0, 1, 2, 3]
    with federation.open(project.root) as fed:
        run = fed.resume("curvy")
        outcome = run.wait(timeout_s=120)
        points = run.curves()
    assert (outcome.state, sorted(outcome.stopped)) == ("done", [2, 3])
    assert [(point.step, point.value) for point in points if point.slot == 1][-1] == (6, 2.6)
    assert points.to_dicts()[0] | {"region": ""} == {
        "slot": 0, "attempt": 1, "region": "", "state": "done", "metric": "loss", "step": 1, "value": 1.1, "params.epochs": 1,
    }  # fmt: skip


def test_rules_are_checked_before_anything_is_done(project: Project) -> None:
    job, before = project.job("unruly"), project.home_objects()
    done = project.fedml("dispatch", "--job", job, "--stop-when", "loss > 3")
    assert_refused(done, "there is no field 'loss'", "metrics.loss")
    assert_refused(project.fedml("dispatch", "--job", job, "--keep-best", "3"), "--after")
    assert project.home_objects() == before


def test_a_resumed_run_keeps_its_rules(project: Project, tmp_path: Path) -> None:
    gate, more = tmp_path / "gate", tmp_path / "more"
    script = SCRIPT.replace("GATE", str(gate)).replace(
        "mkdir -p", f'until [ -e "{more}" ]; do sleep 0.2; done; mkdir -p', 1
    )
    job = project.job("curvy-again", script)
    process = project.started(
        "dispatch", "--job", job, "--sweep", "epochs=1,9", "--stop-when", "metrics.loss is nan", "--name", "again",
    )  # fmt: skip
    told(process, "running", 2)
    process.kill()
    process.wait()
    more.touch()
    resumed = project.started("runs", "resume", "again")
    assert "metrics.loss is nan: loss nan, step 7" in told(resumed, "stopped", 1)
    gate.touch()
    rest = resumed.communicate(timeout=300)[1]
    assert "done, 1 of 2 slots, 1 stopped by a rule" in rest
    assert [change["cause"] for change in project.run_log(run_id(rest)) if change["type"] == "fail"] == ["rule"]
