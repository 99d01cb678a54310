"""What a person reads of slots that failed: their parameters, the reason, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.scenarios.light_job import LIGHT_SCRIPT
from tests.scenarios.project import Done, Project, run_id

SCRIPT = """\
if [ "$NOMAD_META_epochs" = 3 ]; then echo too many epochs >&2; exit 7; fi
mkdir out && echo x > out/model && echo '{"score": 0.5}' > out/metrics.json
exec fedml publish out
"""
REASON = "task make: Exit Code: 7: too many epochs"


@dataclass(frozen=True)
class Sweep:
    """A sweep of four slots that is over: those with epochs=3 failed everywhere."""

    project: Project
    run: str
    dispatched: Done


@pytest.fixture(scope="module")
def sweep(project: Project) -> Sweep:
    """Dispatched once for all tests here."""
    job = project.job("swept", SCRIPT)
    done = project.fedml("dispatch", "--job", job, "--sweep", "epochs=1,3", "--sweep", "note=a,b")
    assert done.code == 2, done.err
    return Sweep(project, run_id(done.err), done)


def test_progress_and_summary_name_the_parameters(sweep: Sweep) -> None:
    lines = sweep.dispatched.err.splitlines()
    assert any(" retry " in line and "(epochs=3, note=a)" in line for line in lines)
    assert any(" failed " in line and "(epochs=3, note=b)" in line for line in lines)
    begin = lines.index(f"  2 slots, all with epochs=3: {REASON}")
    assert lines[begin + 1 : begin + 3] == ["    slot 2 (epochs=3, note=a)", "    slot 3 (epochs=3, note=b)"]


def test_a_run_that_is_over_names_the_parameters(sweep: Sweep) -> None:
    shown = sweep.project.fedml("runs", "show", sweep.run)
    assert f"2 slots, all with epochs=3: {REASON}" in shown.out
    assert "slot 3 (epochs=3, note=b)" in shown.out
    slots = sweep.project.fedml("runs", "show", sweep.run, "--json").json["slots"]
    assert [slot["params"] for slot in slots] == [
        {"epochs": epochs, "note": note} for epochs in (1, 3) for note in ("a", "b")
    ]


def test_a_follower_and_programs_get_the_parameters(sweep: Sweep) -> None:
    assert "(epochs=3, note=b)" in sweep.project.fedml("runs", "watch", sweep.run).err
    lines = sweep.project.fedml("runs", "retry", sweep.run, "2", "--json").json_lines
    assert {str(line["params"]) for line in lines if line.get("slot") == 2} == {"{'epochs': 3, 'note': 'a'}"}
    (group,) = lines[-1]["failures"]
    assert group["reason"] == REASON
    assert group["slots"] == [
        {"slot": slot, "params": {"epochs": 3, "note": note}} for slot, note in ((2, "a"), (3, "b"))
    ]


def test_results_of_a_sweep_show_the_parameters(sweep: Sweep) -> None:
    heading, *rows = sweep.project.ran("index", "list", "--run", sweep.run).out.splitlines()
    assert "note" in heading.split()
    assert "epochs" not in heading.split()  # those that came in have the same
    assert sorted(row.split()[heading.split().index("note")] for row in rows) == ["a", "b"]


CRASHES = "echo the data is gone >&2; exit 7"
RESTARTS = ("attempts = 0\n      mode ", 'attempts = 2\n      delay    = "15s"\n      mode ')
TEMPLATE = """driver = "raw_exec"

      template {
        data        = "{{ with nomadVar \\"nomad/jobs/templated\\" }}{{ .x }}{{ end }}"
        destination = "local/x"
      }
"""


@pytest.mark.parametrize(
    ("name", "script", "change", "reason"),
    [
        ("crashing", CRASHES, RESTARTS, "task make: Exit Code: 7: the data is gone; Nomad restarts it"),
        (
            "templated",
            "exit 0",
            ('driver = "raw_exec"\n', TEMPLATE),
            "task make: Missing: nomad.var.block(nomad/jobs/templated@default.",
        ),
    ],
)
def test_what_keeps_a_task_from_its_work_is_said_before_its_end(
    project: Project, name: str, script: str, change: tuple[str, str], reason: str
) -> None:
    project.job(name, script)
    text = (project.root / f"{name}.nomad.hcl").read_text()
    assert change[0] in text
    job = project.write(f"{name}.nomad.hcl", text.replace(*change))
    dispatching = project.started("dispatch", "--job", job, "--sweep", "epochs=1", "--regions", "us")
    assert dispatching.stderr is not None
    run = next(run_id(line) for line in dispatching.stderr if line.startswith("Run "))
    said = next(line for line in dispatching.stderr if " failing " in line)
    assert reason in said
    assert "(epochs=1)" in said
    assert dispatching.poll() is None
    assert project.fedml("runs", "cancel", run, "--yes").code == 0
    dispatching.wait(timeout=60)


def test_a_version_that_would_mix_two_states_of_the_job_says_so_before_it_starts(project: Project) -> None:
    job = project.job("mixed")
    project.ran("dispatch", "--job", job, "--version", "5", "--regions", "us")
    again = project.fedml("plan", "--job", job, "--version", "5", "--regions", "us")
    assert "another state of the job" not in again.out
    project.job("mixed", "# another state\n" + LIGHT_SCRIPT)
    asked = ("--job", job, "--regions", "us", "-n", "1")
    planned = project.fedml("plan", *asked, "--version", "5")
    assert "Version 5 was run with another state of the job (spec " in planned.out
    assert len(project.fedml("plan", *asked, "--version", "5", "--json").json["other_specs"]) == 1
    lines = project.ran("dispatch", *asked, "--version", "5").err.splitlines()
    said = next(place for place, line in enumerate(lines) if line.startswith("Version 5 was run with another state"))
    assert said < next(place for place, line in enumerate(lines) if line.startswith("Run "))
    assert "another state" not in project.ran("dispatch", *asked).err


def test_a_retry_says_that_the_file_changed_and_the_failed_slots_run_with_the_present_one(project: Project) -> None:
    job = project.job("mended", SCRIPT)
    once = ("--config", project.variant("once", ("[federation]\n", "[federation]\nmax_attempts = 1\n")))
    asked = ("--sweep", "epochs=1,3", "--sweep", "note=a,b", "--regions", "us", "--version", "8")
    run = run_id(project.fedml("dispatch", *once, "--job", job, *asked).err)
    assert "changed since the run began" not in project.fedml("runs", "retry", *once, run, "2").err
    project.job("mended", LIGHT_SCRIPT)
    retried = project.fedml("runs", "retry", *once, run, "2")
    assert f"{job} changed since the run began" in retried.err
    assert f"fedml dispatch --failed-of {run}" in retried.err
    done = project.ran("dispatch", *once, "--failed-of", run)
    assert f"2 of 4 slots of run {run}, with " in done.err
    rows = project.rows("--run", run_id(done.err.partition("as it is now")[2]))
    assert [(row["version"], row["params"], row["region"]) for row in sorted(rows, key=lambda row: row["slot"])] == [
        ("9", {"epochs": "3", "note": note}, "us") for note in ("a", "b")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-n", "2"), "--failed-of already says which slots there are"),
        (("--sweep", "epochs=1"), "--failed-of already says which slots there are"),
        (("--plan", "x.json"), "leave out --failed-of"),
    ],
)
def test_failed_of_refuses_what_it_says_itself(sweep: Sweep, arguments: tuple[str, ...], said: str) -> None:
    done = sweep.project.fedml("dispatch", "--failed-of", sweep.run, *arguments)
    assert done.code == 1
    assert said in done.err


def test_failed_of_a_run_without_failed_slots(project: Project) -> None:
    run = run_id(project.ran("dispatch", "--job", project.job("fine"), "--regions", "us").err)
    for command in ("dispatch", "plan"):
        assert f"no slot of run {run} has failed" in project.fedml(command, "--failed-of", run).err


PAYLOAD = ("      resources {", '      dispatch_payload {\n        file = "sent"\n      }\n\n      resources {')
SCORES = """\
mkdir out && echo x > out/model && echo "{\\"score\\": $(cat local/sent)}" > out/metrics.json
exec fedml publish out
"""


def payload_job(project: Project, script: str) -> str:
    project.job("paid", script)
    text = (project.root / "paid.nomad.hcl").read_text()
    return project.write("paid.nomad.hcl", text.replace(*PAYLOAD))


def test_failed_of_repeats_each_slot_with_its_own_payload_also_by_a_saved_plan(project: Project) -> None:
    """The failed ones are no full product of parameters and payloads."""
    (project.root / "sent").mkdir()
    for name, score in (("a", "0.25"), ("b", "0.5")):
        (project.root / "sent" / name).write_text(score)
    fails = f'[ "$NOMAD_META_epochs$(cat local/sent)" = 10.25 ] || exit 3\n{SCORES}'
    asked = ("--payload-dir", "sent", "--sweep", "note=z,y", "--sweep", "epochs=1,2", "--regions", "us")
    run = run_id(project.fedml("dispatch", "--job", payload_job(project, fails), *asked).err)
    payload_job(project, SCORES)
    planned = project.fedml("plan", "--failed-of", run, "--out", "plan.json", "--explain", "0")
    assert f"6 of 8 slots of run {run}, with paid.nomad.hcl as it is now" in planned.err
    assert planned.out.splitlines()[1:3] == ["  parameters: note=z, epochs=1", "  payload: b"]
    again = run_id(project.ran("dispatch", "--plan", "plan.json").err)
    rows = project.rows("--run", again)
    got = sorted((row["params"]["note"], row["params"]["epochs"], row["metrics"]["score"]) for row in rows)
    assert got == [
        ("y", "1", 0.5),
        ("y", "2", 0.25),
        ("y", "2", 0.5),
        ("z", "1", 0.5),
        ("z", "2", 0.25),
        ("z", "2", 0.5),
    ]
    shown = [
        list(slot["params"])
        for each in (run, again)
        for slot in project.fedml("runs", "show", each, "--json").json["slots"]
    ]
    assert {tuple(names) for names in shown} == {("note", "epochs")}
    assert "no slot of run" in project.fedml("plan", "--failed-of", again).err


def test_a_saved_plan_of_failed_slots_is_out_of_date_when_others_have_failed(project: Project) -> None:
    job = project.job("flaky", "[ -e $NOMAD_META_note ] || exit 3\n" + LIGHT_SCRIPT)
    marker = project.root / "marker"
    run = run_id(project.fedml("dispatch", "--job", job, "--sweep", f"note={marker},/nowhere", "--regions", "us").err)
    assert project.fedml("plan", "--failed-of", run, "--out", "flaky.json").code == 0
    marker.touch()
    assert project.fedml("runs", "retry", run).code == 2
    moved = project.fedml("dispatch", "--plan", "flaky.json")
    assert f"run {run} had 2 failed slots, and has others now" in moved.err


def test_a_run_whose_coordinator_is_gone_is_shown_as_undriven(project: Project) -> None:
    job = project.job("orphaned", "sleep 600")
    dispatching = project.started("dispatch", "--job", job, "--regions", "us")
    assert dispatching.stderr is not None
    run = next(run_id(line) for line in dispatching.stderr if line.startswith("Run "))
    next(line for line in dispatching.stderr if " running " in line)
    assert project.ran("runs", "show", run, "--json").json["is_driven"] is True
    dispatching.kill()
    dispatching.wait()
    remedy = f"Go on with it:  fedml runs resume {run}"
    listed = project.ran("runs", "list", "--job", "orphaned")
    assert "undriven" in listed.out
    assert remedy in listed.err
    assert [row["is_driven"] for row in project.ran("runs", "list", "--job", "orphaned", "--json").json["runs"]] == [
        False
    ]
    assert remedy in project.ran("runs", "show", run).out
    project.ran("runs", "cancel", run, "--yes")
    assert "undriven" not in project.ran("runs", "list", "--job", "orphaned").out
    assert project.fedml("runs", "show", run, "--json").json["is_driven"] is None
