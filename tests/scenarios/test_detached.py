"""Runs that Nomad jobs drive: nobody's terminal is needed, and when the active coordinator is lost another goes on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.scenarios.project import Project, expected_keys, gate, told

pytestmark = pytest.mark.slow


def _coordinators(project: Project) -> dict[str, str]:
    """Region → the dispatched coordinator that isn't over."""
    return {
        region: name
        for region in ("us", "eu")
        for name in project.still_open(region, f"fedml-coordinator-{project.root.name}")
    }


def _driver(project: Project, run: str) -> str:
    """The region of the coordinator that made the run's newest lease."""
    newest = max((project.root / "stores/home/runs" / run / "lease").glob("*.json"))
    return str(json.loads(newest.read_text())["author"]).rpartition("@")[2]


def test_a_detached_run_ends_without_the_command_that_began_it(project: Project) -> None:
    job = project.job("detached")
    project.write("note.txt", "read where the coordinator works")
    text = (project.root / job).read_text()  # a file's path counts from the project's folder
    project.write(
        job, text.replace('driver = "raw_exec"', 'driver = "raw_exec"\n      env { NOTE = file("note.txt") }', 1)
    )
    done = project.fedml("dispatch", "--job", job, "-n", "6", "--detach", "--json")
    assert done.code == 0, done.err
    (line,) = done.json_lines
    assert (line["event"], line["is_driven"], [one["region"] for one in line["coordinators"]]) == (
        "detached", True, ["us"],
    )  # fmt: skip
    watched = project.fedml("runs", "watch", line["run"])
    assert watched.code == 0, watched.err
    assert project.committed(line["run"]) == expected_keys(6)


def test_another_region_goes_on_when_the_active_coordinator_is_lost(project: Project, tmp_path: Path) -> None:
    with gate(tmp_path / "gate") as closed:
        script = f"while test -e {closed}; do sleep 0.2; done; echo x > model && exec fedml publish model"
        config = project.variant("quick.toml", ("[federation]\n", "[coordinator]\nlease_s = 3\n\n[federation]\n"))
        arguments = ("--job", project.job("handed-on", script), "-n", "6", "--regions", "eu,onprem")
        done = project.fedml("dispatch", "--config", config, *arguments, "--detach", "--on", "us,eu", "--json")
        assert done.code == 0, done.err
        run = done.json_lines[0]["run"]
        watching = project.started("runs", "watch", run)
        told(watching, "dispatched", 6)
        active = _driver(project, run)
        project.forget(active, _coordinators(project)[active])
    out, err = watching.communicate(timeout=300)
    assert watching.returncode == 0, out + err
    assert {active, _driver(project, run)} == {"us", "eu"}
    assert project.committed(run) == expected_keys(6)
    bound = Counter(change["slot"] for change in project.run_log(run) if change["type"] == "bind")
    assert bound == Counter(range(6))
    refused = project.fedml("runs", "resume", run)
    assert refused.code == 0
    assert "there is nothing to continue" in refused.err
