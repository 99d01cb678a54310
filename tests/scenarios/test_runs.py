"""Runs as people make them: many slots, several results a slot, failing slots, going on, cancelling, reading it all."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.scenarios.project import REGIONS, Project, expected_keys, gate, run_id, told

# ── how many ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_sixty_slots_over_three_regions_end_with_every_key_once(project: Project) -> None:
    """28 fit at a time; what is more is bound as room appears."""
    done = project.fedml("dispatch", "--job", project.job("many"), "-n", "60", "--json")
    assert done.code == 0, done.err
    events = done.json_lines
    assert (events[-1]["event"], events[-1]["done"], events[-1]["failed"]) == ("end", 60, 0)
    run = events[-1]["run"]
    assert project.committed(run) == expected_keys(60)
    assert project.rows("--run", run, "--state", "superseded") == []
    bound = Counter(change["region"] for change in project.run_log(run) if change["type"] == "bind")
    assert sum(bound.values()) == 60
    assert bound["us"] > bound["eu"] > bound["onprem"] > 0
    assert sum(event["count"] for event in events if event["event"] == "bound") == 60


def test_count_2_gives_two_results_of_one_version_with_two_allocations_a_slot(project: Project) -> None:
    job = project.job("pairs")
    project.ran("dispatch", "--job", job, "-n", "3", "-var", "count=2", "--version", "4")
    rows = project.rows("--job", "pairs", "--version", "4")
    assert Counter((row["slot"], row["group"], row["index"]) for row in rows) == expected_keys(3, count=2)
    assert len({row["alloc_id"] for row in rows}) == 6
    assert {row["version"] for row in rows} == {"4"}
    by_slot = {slot: {row["region"] for row in rows if row["slot"] == slot} for slot in range(3)}
    assert all(len(regions) == 1 for regions in by_slot.values())


def test_a_version_that_exists_is_added_to_and_without_one_it_is_the_next(project: Project) -> None:
    job = project.job("versions")
    first = project.fedml("dispatch", "--job", job, "--regions", "us,eu", "--version", "4")
    assert first.code == 0, first.err
    assert "already" not in first.err
    planned = project.fedml("plan", "--job", job, "--version", "4")
    assert "Version 4 has 2 results. These would be added to it." in planned.out
    again = project.fedml("dispatch", "--job", job, "--regions", "eu", "--version", "4")
    assert again.code == 0, again.err
    assert "Version 4 has 2 results already: these are added to it" in again.err
    following = project.fedml("dispatch", "--job", job, "--regions", "eu")
    assert "version 5" in following.err
    assert Counter(row["version"] for row in project.rows("--job", "versions")) == {"4": 3, "5": 1}
    listed = project.ran("runs", "list", "--job", "versions", "--json").json["runs"]
    assert [run["version"] for run in listed] == ["5", "4", "4"]


def test_meta_in_the_old_way_reaches_the_task_and_the_record(project: Project) -> None:
    script = 'mkdir out && echo "$NOMAD_META_epochs $NOMAD_META_note" > out/seen && exec fedml publish out'
    job = project.job("parameters", script)
    project.ran(
        "dispatch", "--job", job, "--regions", "us", "--version", "4", "-meta", "epochs=3", "-meta", "note=a=b c"
    )
    (row,) = project.rows("--job", "parameters")
    assert row["params"] == {"epochs": "3", "note": "a=b c"}
    folder = project.root / "got-parameters"
    project.ran("index", "get", row["alloc_id"], "--to", str(folder))
    assert (folder / "seen").read_text() == "3 a=b c\n"


# ── what fails ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_slot_that_fails_everywhere_fails_the_run_and_says_why(project: Project) -> None:
    script = "test $NOMAD_META_fedml_slot != 1 || exit 7; echo x > model && exec fedml publish model"
    done = project.fedml("dispatch", "--job", project.job("faulty", script), "-n", "3", "--version", "1")
    assert done.code == 2, done.err
    assert "failed, 2 of 3 slots" in done.err
    assert "slot 1: task make: " in done.err
    assert "Exit Code: 7" in done.err
    run = run_id(done.err)
    assert project.committed(run) == Counter({(0, "work", 0): 1, (2, "work", 0): 1})
    shown = project.fedml("runs", "show", run, "--json")
    assert shown.code == 2
    slot = shown.json["slots"][1]
    assert (slot["state"], len({attempt["region"] for attempt in slot["attempts"]})) == ("failed", 2)
    assert all("Exit Code: 7" in attempt["reason"] for attempt in slot["attempts"])
    again = project.fedml("runs", "resume", run)
    assert again.code == 2, again.err
    assert [project.still_open(region, "faulty") for region in REGIONS] == [[], [], []]


def test_a_single_slot_is_retried_in_a_region_that_the_plan_gave_nothing(project: Project) -> None:
    job = project.job("single-failure", "echo the data is gone >&2; exit 7")
    done = project.fedml("dispatch", "--job", job, "-n", "1")
    assert done.code == 2, done.err
    assert "task make: Exit Code: 7: the data is gone" in done.err
    bound = [change["region"] for change in project.run_log(run_id(done.err)) if change["type"] == "bind"]
    assert len(bound) == len(set(bound)) == 2


def test_a_slot_that_fails_in_one_region_is_done_in_another(project: Project) -> None:
    script = 'test "$FEDML_REGION" != eu || exit 3; echo x > model && exec fedml publish model'
    done = project.fedml("dispatch", "--job", project.job("moved", script), "--version", "1")
    assert done.code == 0, done.err
    rows = project.rows("--job", "moved")
    assert Counter(row["slot"] for row in rows) == Counter(range(3))
    assert {row["region"] for row in rows} == {"us", "onprem"}
    assert {row["attempt"] for row in rows} == {1, 2}


def test_retries_stay_within_the_chosen_regions(project: Project) -> None:
    done = project.fedml("dispatch", "--job", project.job("caged", "exit 3"), "--regions", "eu")
    assert done.code == 2, done.err
    log = project.run_log(run_id(done.err))
    assert {change["region"] for change in log if change["type"] == "bind"} == {"eu"}
    assert [project.children(region, "caged") for region in ("us", "onprem")] == [[], []]


def test_a_task_that_publishes_nothing_has_no_result(project: Project) -> None:
    done = project.fedml("dispatch", "--job", project.job("silent", "true"), "--regions", "us")
    assert done.code == 2, done.err
    assert "slot 0: NoResult: it completed and published nothing; end the task with  fedml publish DIR" in done.err
    assert project.rows("--job", "silent") == []


def test_a_command_that_is_not_there_is_told_in_nomads_words(project: Project) -> None:
    text = (project.root / project.job("typo")).read_text().replace("/bin/sh", "/bin/shh")
    done = project.fedml("dispatch", "--job", project.write("typo.nomad.hcl", text), "--regions", "us")
    assert done.code == 2, done.err
    assert "slot 0: task make: " in done.err


# ── several at once ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_federation_is_seen_by_the_next_plan_and_a_cancelled_run_leaves_nothing(project: Project) -> None:
    """Running work and the queue are both deducted; cancel stops what runs and what waits."""
    with gate(project.root / "gate-full") as waiting:
        job = project.job("heavy", f"cat {waiting}", cpu_mhz=1000)
        empty = project.fedml("plan", "--job", job, "-n", "7", "--json").json
        assert [region["now"] for region in empty["regions"]] == [4, 2, 1]
        full = project.started("dispatch", "--job", job, "-n", "7")
        run = run_id(told(full, " running ", 7))
        busy = project.fedml("plan", "--job", job, "-n", "7", "--json").json
        assert [(one["free_slots"], one["queued_slots"], one["now"]) for one in busy["regions"]] == [(0, 0, 0)] * 3
        assert sum(one["later"] for one in busy["regions"]) == 7

        queued = project.started("dispatch", "--job", job)
        second = run_id(told(queued, " dispatched ", 3))
        assert second != run
        waits = project.fedml("plan", "--job", job, "--json").json
        assert [one["queued_slots"] for one in waits["regions"]] == [1, 1, 1]

        for each in (second, run):
            cancelled = project.fedml("runs", "cancel", each, "--yes", "--reason", "wrong data", "--json")
            assert cancelled.code == 0, cancelled.err
            assert cancelled.json_lines[-1]["state"] == "cancelled"
        for dispatch in (full, queued):
            said = dispatch.communicate(timeout=300)[1]
            assert dispatch.returncode == 2, said
            assert "Traceback" not in said
            assert "cancel     wrong data" in said, "the coordinator that lives obeys what another process recorded"
        states = {
            one["run"]: one["state"] for one in project.ran("runs", "list", "--job", "heavy", "--json").json["runs"]
        }
        assert states == {run: "cancelled", second: "cancelled"}
        story = project.fedml("runs", "show", run, "--json").json
        assert (story["reason"], story["cancelled"]["by"]) == ("wrong data", story["author"])
        shown = project.fedml("runs", "show", run).out.splitlines()[0]
        assert f": cancelled by {story['author']} at 20" in shown
        assert " (wrong data), version " in shown
        assert [project.still_open(region, "heavy") for region in REGIONS] == [[], [], []]
    assert project.fedml("runs", "resume", run).code == 2
    assert project.fedml("runs", "show", run).code == 2
    assert project.rows("--job", "heavy") == []


def test_two_dispatches_at_once_get_two_versions(project: Project) -> None:
    job = project.job("racing")
    project.ran("deploy", "--job", job)
    both = [project.started("dispatch", "--job", job, "--regions", region) for region in ("us", "eu")]
    for dispatch in both:
        said = dispatch.communicate(timeout=300)[1]
        assert dispatch.returncode == 0, said
    assert sorted(row["version"] for row in project.rows("--job", "racing")) == ["1", "2"]


# ── reading it ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_is_all_that_is_on_stdout(project: Project) -> None:
    job = project.job("spoken")
    deployed = project.ran("deploy", "--job", job, "--json").json
    assert [one["action"] for one in deployed["regions"]] == ["registered"] * 3
    planned = project.ran("plan", "--job", job, "--json").json
    assert (planned["version"], planned["is_complete"]) == ("1", True)
    events = project.ran("dispatch", "--job", job, "--regions", "us,eu", "--json").json_lines
    kinds = [event["event"] for event in events]
    assert [kinds.count(kind) for kind in ("dispatched", "running", "committed", "end")] == [2, 2, 2, 1]
    run = events[-1]["run"]
    assert project.ran("runs", "show", run, "--json").json["state"] == "done"
    assert project.ran("runs", "list", "--job", "spoken", "--json").json["runs"][0]["run"] == run
    shown = project.ran("index", "show", "1", "--job", "spoken", "--json").json
    assert len(shown["results"]) == 2
    assert [one["region"] for one in project.ran("regions", "list", "--job", job, "--json").json["regions"]] == [
        *REGIONS
    ]
    assert set(project.ran("job", "render", "--job", job).json) == set(REGIONS)
    assert {one["state"] for one in project.ran("dev", "status", "--json").json["servers"]} == {"ready"}


def test_a_run_may_be_named_by_its_beginning_and_an_unknown_one_is_told(project: Project) -> None:
    run = run_id(project.ran("dispatch", "--job", project.job("named"), "--regions", "us").err)
    assert project.ran("runs", "show", run[:-2], "--json").json["run"] == run
    for command in ("show", "resume", "cancel"):
        done = project.fedml("runs", command, "ffff")
        assert done.code == 1
        assert done.errors == ["Error: the index knows no run 'ffff'"]
    done_already = project.fedml("runs", "cancel", run)
    assert done_already.code == 0
    assert "there is nothing" in done_already.err


def test_a_cancel_that_nobody_agreed_to_says_what_it_would_stop_and_stops_nothing(project: Project) -> None:
    with gate(project.root / "gate-asked") as waiting:
        job = project.job("asked", f"cat {waiting}")
        dispatch = project.started("dispatch", "--job", job, "--regions", "us,eu")
        run = run_id(told(dispatch, " running ", 2))
        asked = project.fedml("runs", "cancel", run)
        assert asked.code == 1
        assert "2 open slots, 2 attempts to be stopped (eu 1, us 1). Nothing was cancelled" in asked.err
        assert f"fedml runs cancel {run} --yes" in asked.err
        assert project.ran("runs", "list", "--state", "open", "--json").out.count(run) == 1
        assert project.fedml("runs", "cancel", run, "--yes").code == 0
        dispatch.communicate(timeout=300)
    assert not project.still_open("us", "asked")


def test_plan_has_nothing_to_change_after_a_dispatch_and_shows_an_edit(project: Project) -> None:
    job = project.job("edited")
    assert project.fedml("plan", "--job", job).code == 1
    project.ran("dispatch", "--job", job, "--regions", "us,eu,onprem")
    assert project.fedml("plan", "--job", job).code == 0
    project.job("edited", cpu_mhz=500)
    edited = project.fedml("plan", "--job", job, "--json")
    assert edited.code == 1
    assert [one["job_change"] for one in edited.json["regions"]] == ["Edited"] * 3
    assert json.loads(edited.out)["spec_hash"] != ""
    assert 'CPU: "250" => "500"' in project.fedml("plan", "--job", job).out


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_failed_slots_are_tried_again_by_hand_once_the_cause_is_gone(project: Project, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    script = f"test $NOMAD_META_fedml_slot = 0 -o ! -e {broken} || exit 7; echo x > model && exec fedml publish model"
    done = project.fedml("dispatch", "--job", project.job("mended", script), "-n", "3", "--version", "1")
    assert done.code == 2, done.err
    run = run_id(done.err)
    assert "slot 0 of run" in project.fedml("runs", "retry", run, "0").err
    broken.unlink()
    again = project.fedml("runs", "retry", run, "1")
    assert again.code == 2, again.err
    assert "1 failed slot tried again" in again.err
    assert project.committed(run) == Counter({(0, "work", 0): 1, (1, "work", 0): 1})
    rest = project.fedml("runs", "retry", run)
    assert rest.code == 0, rest.err
    assert project.committed(run) == expected_keys(3)
    assert project.ran("runs", "show", run, "--json").json["state"] == "done"
    assert "no slot of run" in project.fedml("runs", "retry", run).err


def test_what_is_open_in_a_region_is_bound_elsewhere_by_hand(project: Project, tmp_path: Path) -> None:
    with gate(tmp_path / "gate") as closed:
        script = (
            f'while test "$FEDML_REGION" = us -a -e {closed}; do sleep 0.2; done; '
            "echo x > model && exec fedml publish model"
        )
        job = project.job("given-up", script)
        dispatching = project.started("dispatch", "--job", job, "-n", "2", "--regions", "us,eu", "--policy", "order")
        run = run_id(told(dispatching, "running", 2))
        rebound = project.fedml("runs", "rebind", run, "--from", "us")
        assert rebound.code == 0, rebound.err
        assert "2 open attempts in us moved to other regions" in rebound.err
        out, err = dispatching.communicate(timeout=300)
    assert dispatching.returncode == 0, out + err
    assert {row["region"] for row in project.rows("--run", run)} == {"eu"}
    assert project.still_open("us", "given-up") == []
    assert "is done: none of its slots is open" in project.fedml("runs", "rebind", run, "--from", "us").err
