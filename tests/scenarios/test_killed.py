"""A `fedml dispatch` that is killed at any moment, and finished by `fedml runs resume`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.scenarios.project import REGIONS, Project, expected_keys, gate, run_id, told

SLOTS = 5
MOMENTS = {
    "after the manifest": "after:put manifest.json:1",
    "before the bindings": 'before:put "bind":1',
    "after the bindings": 'after:put "bind":1',
    "before the first dispatch": "before:dispatch:1",
    "first dispatch, answer lost": "after:dispatch:1",
    "some dispatches, answer lost": "after:dispatch:4",
    "before acknowledgements": 'before:put "ack":1',
    "at the first that runs": "after:told running:1",
    "before the first commit": 'before:put "add":1',
    "first commit, answer lost": 'after:put "add":1',
    "half the commits": "after:told committed:3",
    "before the close": 'before:put "close":1',
}


def killed(project: Project, moment: str, *arguments: str) -> str:
    """The command, killed at that moment; what it had said on stderr."""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "tests.scenarios.dying", moment, *arguments],
        cwd=project.root,
        env={**project.environment(), "PYTHONPATH": str(root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, f"it wasn't killed, but exited with {done.returncode}:\n{done.stderr}"
    return done.stderr


def newest_run(project: Project, job: str) -> str:
    """The run of that job that was opened last."""
    run: str = project.ran("runs", "list", "--job", job, "--json").json["runs"][0]["run"]
    return run


def assert_each_key_once(project: Project, run: str, job: str) -> None:
    """Each expected key was committed once, by the one child that its slot had; nothing is left open."""
    assert project.committed(run) == expected_keys(SLOTS)
    added = [change for change in project.index_changes(run) if change["type"] == "add"]
    assert len(added) == SLOTS
    assert [row for row in project.rows("--run", run) if row["state"] != "committed"] == []
    slots = Counter(
        child["Meta"]["fedml_slot"]
        for region in REGIONS
        for child in project.children(region, job)
        if child["Meta"]["fedml_run"] == run
    )
    story = project.fedml("runs", "show", run).out  # why a slot had a second attempt
    assert slots == Counter(str(slot) for slot in range(SLOTS)), story
    assert [project.still_open(region, job) for region in REGIONS] == [[], [], []]


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_was_killed_is_finished_by_resume(project: Project, moment: str) -> None:
    job = project.job("killed")
    said = killed(project, MOMENTS[moment], "dispatch", "--job", job, "-n", str(SLOTS))
    run = run_id(said) if "Run " in said else newest_run(project, "killed")

    resumed = project.fedml("runs", "resume", run)

    assert resumed.code == 0, resumed.err
    assert f"done, {SLOTS} of {SLOTS} slots" in resumed.err
    assert_each_key_once(project, run, "killed")
    again = project.fedml("runs", "resume", run)
    assert (again.code, again.err) == (0, f"Run {run} is done: there is nothing to continue\n")


@pytest.mark.slow
def test_a_resume_that_is_killed_too_is_finished_by_the_next(project: Project) -> None:
    job = project.job("twice")
    run = run_id(killed(project, "before:dispatch:1", "dispatch", "--job", job, "-n", str(SLOTS)))
    killed(project, "after:dispatch:1", "runs", "resume", run)
    killed(project, 'before:put "add":1', "runs", "resume", run[:13])
    assert project.fedml("runs", "resume", run).code == 0
    assert_each_key_once(project, run, "twice")


def test_killed_after_its_last_write_it_is_done(project: Project) -> None:
    job = project.job("closed")
    run = run_id(killed(project, 'after:put "close":1', "dispatch", "--job", job, "--regions", "eu"))
    assert project.fedml("runs", "show", run).code == 0
    resumed = project.fedml("runs", "resume", run)
    assert (resumed.code, "is done" in resumed.err) == (0, True)


def test_killed_before_it_was_opened_it_left_nothing(project: Project) -> None:
    job = project.job("unopened")
    before = project.home_objects()
    killed(project, 'before:put "open":1', "dispatch", "--job", job)
    assert project.home_objects() == before
    assert project.ran("runs", "list", "--job", "unopened", "--json").json["runs"] == []
    assert [project.children(region, "unopened") for region in REGIONS] == [[], [], []]


def test_killed_before_its_manifest_nothing_was_dispatched_and_resume_says_so(project: Project) -> None:
    job = project.job("manifestless")
    killed(project, "before:put manifest.json:1", "dispatch", "--job", job)
    run = newest_run(project, "manifestless")
    for command in ("resume", "show"):
        done = project.fedml("runs", command, run)
        assert done.code == 1
        assert done.errors == [f"Error: run {run} has no manifest: it was interrupted before anything was dispatched"]
    assert [project.children(region, "manifestless") for region in REGIONS] == [[], [], []]
    cancelled = project.fedml("runs", "cancel", run, "--yes")
    assert cancelled.code == 0, cancelled.err
    (row,) = project.ran("runs", "list", "--job", "manifestless", "--json").json["runs"]
    assert row["state"] == "cancelled"
    assert project.fedml("dispatch", "--job", job, "--regions", "eu").code == 0
    (row, _) = project.ran("runs", "list", "--job", "manifestless", "--json").json["runs"]
    assert (row["version"], row["state"]) == ("2", "done")


def test_ctrl_c_keeps_all_state_and_names_the_command_that_goes_on(project: Project) -> None:
    with gate(project.root / "gate-ctrl-c") as waiting:
        job = project.job("patient", f"cat {waiting} && mkdir out && echo x > out/model && exec fedml publish out")
        dispatch = project.started("dispatch", "--job", job, "--regions", "us,eu")
        said = told(dispatch, " running ", 2)
        dispatch.send_signal(signal.SIGINT)
        said += dispatch.communicate(timeout=300)[1]
        assert dispatch.returncode == 130, said
        run = run_id(said)
        assert f"Error: interrupted; run {run} keeps all" in said
        assert f"fedml runs resume {run}" in said
        assert "Traceback" not in said
        assert sum(len(project.still_open(region, "patient")) for region in REGIONS) == 2
    resumed = project.fedml("runs", "resume", run)
    assert (resumed.code, f"Run {run}: done, 2 of 2 slots" in resumed.err) == (0, True), resumed.err
    assert project.committed(run) == expected_keys(2)


def test_a_run_goes_on_by_what_it_was_dispatched_with(project: Project) -> None:
    """Variables, meta and payload of the dispatch are kept: the shell of the resume needs none of them."""
    script = 'mkdir out && cp local/payload out/ && echo "$NOMAD_META_note" > out/note && exec fedml publish out'
    text = (project.root / project.job("kept", script)).read_text()
    job = project.write(
        "kept.nomad.hcl",
        text.replace('      resources {', '      dispatch_payload {\n        file = "payload"\n      }\n\n      resources {'),
    )  # fmt: skip
    (project.root / "data.bin").write_bytes(b"payload")
    arguments = (
        "dispatch",
        "--job",
        job,
        "--regions",
        "eu",
        "-var",
        "count=2",
        "-meta",
        "note=n",
        "--payload",
        "data.bin",
    )
    run = run_id(killed(project, "before:dispatch:1", *arguments))
    (project.root / "data.bin").unlink()
    assert project.fedml("runs", "resume", run).code == 0
    rows = project.rows("--run", run)
    assert Counter((row["slot"], row["group"], row["index"]) for row in rows) == expected_keys(1, count=2)
    folder = project.root / "got-kept"
    project.ran("index", "get", rows[0]["alloc_id"], "--to", str(folder))
    assert (folder / "payload").read_text() == "payload"
    assert (folder / "note").read_text() == "n\n"
    manifest = json.loads((project.home / "runs" / run / "manifest.json").read_text())
    assert manifest["variables"] == ["count=2"]


def test_a_jobspec_that_changed_meanwhile_is_not_what_the_run_dispatches(project: Project) -> None:
    """The registered job is no longer the run's own: its open slots fail with that reason, and nothing wrong is sent."""
    job = project.job("moving")
    run = run_id(killed(project, "before:dispatch:1", "dispatch", "--job", job, "--regions", "eu"))
    project.job("moving", "exit 3")
    project.ran("deploy", "--job", job, "--regions", "eu", "--force")
    resumed = project.fedml("runs", "resume", run)
    assert resumed.code == 2, resumed.err
    assert "isn't this run's any more" in resumed.err
    assert project.children("eu", "moving") == []
