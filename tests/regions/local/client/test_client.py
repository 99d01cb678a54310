"""Allocations with real processes, from placement to their end."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from regions.local.drivers.processes import start_ticks


def running(update: dict[str, Any]) -> bool:
    return bool(update["ClientStatus"] == "running")


def task_running(task: str) -> Any:
    return lambda update: update["TaskStates"][task]["State"] == "running"


def pid_file(bench: Any, alloc_id: str, name: str = "pid") -> int:
    return int((bench.client.alloc_dir(alloc_id) / "alloc" / "data" / name).read_text())


def gone(pid: int) -> bool:
    """Ended, or dead and waiting for whoever is its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_task_that_ends_well(bench: Any) -> None:
    update = bench.run(bench.job(bench.shell("a", "echo out; echo err >&2; pwd")))
    alloc_id = update["ID"]
    assert (update["ClientStatus"], update["ClientDescription"]) == ("complete", "All tasks have completed")
    assert bench.kinds(update, "a") == ["Received", "Task Setup", "Started", "Terminated"]
    assert bench.words(update, "a") == [
        "Task received by client",
        "Building Task Directory",
        "Task started by client",
        "Exit Code: 0",
    ]
    state = update["TaskStates"]["a"]
    assert (state["State"], state["Failed"], state["Restarts"], state["LastRestart"]) == ("dead", False, 0, None)
    assert state["StartedAt"] < state["FinishedAt"]
    assert state["Events"][-1]["Details"] == {"exit_code": "0", "signal": "0", "oom_killed": "false"}
    assert bench.log(alloc_id, "a.stdout.0") == f"out\n{bench.client.alloc_dir(alloc_id)}/a\n"
    assert bench.log(alloc_id, "a.stderr.0") == "err\n"


def test_the_folders_are_nomads(bench: Any) -> None:
    update = bench.run(bench.job(bench.shell("a", "true")))
    folder = bench.client.alloc_dir(update["ID"])
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_dir()}
    shared = {"alloc", "alloc/data", "alloc/logs", "alloc/tmp"}
    assert found == shared | {"a", "a/local", "a/private", "a/secrets", "a/tmp"}
    assert (folder / "a" / "local").stat().st_mode & 0o7777 == 0o777


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "Exit Code: 3"),
        ("kill -9 $$", "Exit Code: 137, Signal: 9"),
    ],
)
def test_a_task_that_fails(bench: Any, script: str, words: str) -> None:
    update = bench.run(bench.job(bench.shell("a", script)))
    assert (update["ClientStatus"], update["ClientDescription"]) == ("failed", "Failed tasks")
    assert bench.words(update, "a")[-2:] == [words, "Policy allows no restarts"]
    assert update["TaskStates"]["a"]["Events"][-1]["FailsTask"] is True


def test_restarts_within_the_policy(bench: Any) -> None:
    policy = {"Attempts": 2, "Interval": 60_000_000_000, "Delay": 1_000_000, "Mode": "fail"}
    update = bench.run(bench.job(bench.shell("a", "echo run; exit 1", RestartPolicy=policy)))
    state = update["TaskStates"]["a"]
    assert state["Restarts"] == 2
    assert state["LastRestart"] is not None
    assert bench.log(update["ID"], "a.stdout.0") == "run\n" * 3
    assert bench.words(update, "a")[-1] == 'Exceeded allowed attempts 2 in interval 1m0s and mode is "fail"'
    restarting = [e for e in state["Events"] if e["Type"] == "Restarting"]
    assert all(e["DisplayMessage"].startswith("Task restarting in 1.") for e in restarting)
    assert all(1_000_000 <= e["StartDelay"] < 1_250_000 for e in restarting)


def test_a_command_that_is_missing_is_a_driver_failure(bench: Any) -> None:
    policy = {"Attempts": 2, "Interval": 60_000_000_000, "Delay": 1_000_000, "Mode": "fail"}
    task = bench.shell("a", "", Config={"command": "/no/such"}, RestartPolicy=policy)
    update = bench.run(bench.job(task))
    error = (
        'failed to launch command with executor: rpc error: code = Unknown desc = binary "/no/such" could not be found'
    )
    assert bench.words(update, "a")[2:] == [error, "Error was unrecoverable"]
    assert update["TaskStates"]["a"]["StartedAt"] is None


def test_a_command_in_the_tasks_own_folder_is_found(bench: Any) -> None:
    template = {"EmbeddedTmpl": "#!/bin/sh\necho mine\n", "DestPath": "local/tool"}
    update = bench.run(bench.job(bench.shell("a", "", Config={"command": "tool"}, Templates=[template])))
    assert update["ClientStatus"] == "complete"
    assert bench.log(update["ID"], "a.stdout.0") == "mine\n"


def test_a_config_that_does_not_fit_is_a_failed_validation(bench: Any) -> None:
    config = {"args": ["${nope}", '${env["NOPE"]}', "${node.nope}"], "bogus": 1}
    update = bench.run(bench.job(bench.shell("a", "", Config={"command": "true"} | config)))
    assert bench.kinds(update, "a")[2:] == ["Failed Validation", "Not Restarting"]
    assert bench.words(update, "a")[2] == (
        "4 errors occurred:\n"
        "\t* failed to parse config: \n"
        '\t* Unknown variable: There is no variable named "nope".\n'
        "\t* Invalid index: The given key does not identify an element in this collection value.\n"
        '\t* Unsupported attribute: This object does not have an attribute named "nope".\n\n'
    )


def test_prestart_main_poststart_and_poststop_in_order(bench: Any) -> None:
    note = "echo $NOMAD_TASK_NAME >> $NOMAD_ALLOC_DIR/data/order"
    hook = lambda name: {"Hook": name, "Sidecar": False}  # noqa: E731
    job = bench.job(
        bench.shell("last", note, Lifecycle=hook("poststop")),
        bench.shell("main", f"{note}; until grep -q after $NOMAD_ALLOC_DIR/data/order; do sleep 0.01; done"),
        bench.shell("first", f"sleep 0.05; {note}", Lifecycle=hook("prestart")),
        bench.shell("after", note, Lifecycle=hook("poststart")),
    )
    update = bench.run(job)
    assert update["ClientStatus"] == "complete"
    order = (bench.client.alloc_dir(update["ID"]) / "alloc" / "data" / "order").read_text().split()
    assert order == ["first", "main", "after", "last"]


def test_a_failed_prestart_ends_the_allocation_but_poststop_runs(bench: Any) -> None:
    job = bench.job(
        bench.shell("first", "exit 1", Lifecycle={"Hook": "prestart"}),
        bench.shell("main", "true"),
        bench.shell("last", "true", Lifecycle={"Hook": "poststop"}),
    )
    update = bench.run(job)
    assert update["ClientStatus"] == "failed"
    assert bench.kinds(update, "main") == ["Received", "Sibling Task Failed", "Killing"]
    assert bench.words(update, "main")[1] == 'Task\'s sibling "first" failed'
    assert update["TaskStates"]["main"]["StartedAt"] is None
    assert bench.kinds(update, "last")[-1] == "Terminated"


def test_the_end_of_the_leader_ends_the_others(bench: Any) -> None:
    job = bench.job(
        bench.shell("boss", "until [ -e $NOMAD_ALLOC_DIR/data/up ]; do sleep 0.01; done", Leader=True),
        bench.shell("other", "touch $NOMAD_ALLOC_DIR/data/up; exec sleep 600"),
    )
    update = bench.run(job)
    assert update["ClientStatus"] == "complete"
    assert bench.kinds(update, "other")[2:] == ["Started", "Leader Task Dead", "Killing", "Terminated", "Killed"]
    assert bench.words(update, "other")[4:] == [
        "Sent interrupt. Waiting 5s before force killing",
        "Exit Code: 130, Signal: 2",
        "Task successfully killed",
    ]
    assert update["TaskStates"]["other"]["Failed"] is False


def test_a_failure_is_told_when_the_others_have_ended(bench: Any) -> None:
    script = "trap '' INT; touch $NOMAD_ALLOC_DIR/data/up; while :; do sleep 0.01; done"
    job = bench.job(
        bench.shell("bad", "until [ -e $NOMAD_ALLOC_DIR/data/up ]; do sleep 0.01; done; exit 1"),
        bench.shell("deaf", script, KillTimeout=50_000_000),
    )
    alloc = bench.start(job)
    update = bench.until(alloc["ID"], lambda u: u["ClientStatus"] == "failed")
    assert update["TaskStates"]["deaf"]["State"] == "dead"
    assert bench.kinds(update, "deaf")[-1] == "Killed"


def test_sidecars_end_when_they_are_left_alone(bench: Any) -> None:
    job = bench.job(
        bench.shell("proxy", "exec sleep 600", Lifecycle={"Hook": "prestart", "Sidecar": True}),
        bench.shell("main", "true"),
    )
    update = bench.run(job)
    assert update["ClientStatus"] == "complete"
    assert bench.kinds(update, "proxy")[3] == "Main Tasks Dead"


def test_stop_kills_by_signal_then_by_force(bench: Any) -> None:
    script = "trap '' INT; echo $$ > $NOMAD_ALLOC_DIR/data/pid; while :; do sleep 0.01; done"
    job = bench.job(
        bench.shell("deaf", script, KillTimeout=50_000_000),
        bench.shell("polite", "trap 'exit 7' TERM; while :; do sleep 0.01; done", KillSignal="SIGTERM"),
        bench.shell("last", "true", Lifecycle={"Hook": "poststop"}),
    )
    alloc = bench.start(job)
    bench.until(alloc["ID"], lambda u: task_running("deaf")(u) and task_running("polite")(u))
    folder = bench.client.alloc_dir(alloc["ID"]) / "alloc" / "data"
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text() != "")
    pid = pid_file(bench, alloc["ID"])
    bench.client.stop(alloc["ID"])
    update = bench.ended(alloc["ID"])
    assert update["ClientStatus"] == "complete"
    assert "Sent interrupt. Waiting 50ms before force killing" in bench.words(update, "deaf")
    assert "Exit Code: 137, Signal: 9" in bench.words(update, "deaf")
    assert bench.kinds(update, "last")[-1] == "Terminated"
    assert gone(pid)


def test_what_a_task_leaves_behind_is_killed_with_it(bench: Any) -> None:
    update = bench.run(bench.job(bench.shell("a", "sleep 600 & echo $! > $NOMAD_ALLOC_DIR/data/pid")))
    assert update["ClientStatus"] == "complete"
    pid = pid_file(bench, update["ID"])
    wait_for(lambda: gone(pid))
    assert gone(pid)


def test_restart_of_a_running_task_asks_no_policy(bench: Any) -> None:
    alloc = bench.start(bench.job(bench.shell("a", "echo up; exec sleep 600")))
    bench.until(alloc["ID"], running)
    bench.client.restart(alloc["ID"], "a")
    update = bench.until(alloc["ID"], lambda u: u["TaskStates"]["a"]["Restarts"] == 1 and running(u))
    assert bench.kinds(update, "a")[3:] == ["Restart Signaled", "Terminated", "Restarting", "Started"]
    assert bench.words(update, "a")[5] == "Task restarting in 0s"
    assert bench.log(alloc["ID"], "a.stdout.0").startswith("up\n")
    with pytest.raises(RuntimeError, match="Could not find task runner for task: b"):
        bench.client.restart(alloc["ID"], "b")
    with pytest.raises(LookupError, match="Unknown allocation"):
        bench.client.restart("none", None)


def test_destroy_ends_and_removes(bench: Any) -> None:
    alloc = bench.start(bench.job(bench.shell("a", "exec sleep 600")))
    bench.until(alloc["ID"], running)
    bench.client.destroy(alloc["ID"])
    bench.ended(alloc["ID"])
    wait_for(lambda: not bench.client.alloc_dir(alloc["ID"]).exists())
    assert not bench.client.alloc_dir(alloc["ID"]).exists()


def test_usage_is_measured(bench: Any) -> None:
    alloc = bench.start(bench.job(bench.shell("a", "sleep 600 & wait")))
    bench.until(alloc["ID"], running)
    wait_for(lambda: len(bench.client.stats(alloc["ID"])["Tasks"]["a"]["Pids"]) == 2)
    stats = bench.client.stats(alloc["ID"])
    assert stats["ResourceUsage"]["MemoryStats"]["RSS"] > 100_000
    assert stats["ResourceUsage"]["MemoryStats"]["Measured"] == ["RSS", "Swap"]
    assert len(stats["Tasks"]["a"]["Pids"]) == 2
    with pytest.raises(LookupError, match="Unknown allocation"):
        bench.client.stats("none")


def test_a_host_volume_is_refused_in_nomads_words(bench: Any) -> None:
    group = {"Volumes": {"data": {"Name": "data", "Type": "host", "Source": "data"}}}
    mount = {"Volume": "data", "Destination": "/data"}
    update = bench.run(bench.job(bench.shell("a", "true", VolumeMounts=[mount]), group=group))
    assert bench.kinds(update, "a")[2:] == ["Task hook failed", "Not Restarting"]
    assert bench.words(update, "a")[2] == 'volumes: task driver "raw_exec" for "a" does not support host volumes'


def test_a_driver_that_is_not_there(bench: Any) -> None:
    alloc = bench.start(bench.job(bench.shell("a", "true", Driver="docker")))
    update = bench.until(alloc["ID"], lambda u: u["ClientStatus"] == "failed")
    assert update["ClientDescription"].startswith("Unable to add allocation due to error:")


def test_a_user_that_is_not_there(bench: Any) -> None:
    update = bench.run(bench.job(bench.shell("a", "true", User="nosuch")))
    assert bench.words(update, "a")[2].endswith("failed to identify user nosuch: user: unknown user nosuch")


def test_logs_can_be_switched_off(bench: Any) -> None:
    update = bench.run(bench.job(bench.shell("a", "echo out", LogConfig={"Disabled": True})))
    assert update["ClientStatus"] == "complete"
    assert list((bench.client.alloc_dir(update["ID"]) / "alloc" / "logs").iterdir()) == []


def test_logs_are_rotated(bench: Any) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"
    update = bench.run(bench.job(bench.shell("a", script, LogConfig={"MaxFiles": 2, "MaxFileSizeMB": 1})))
    logs = bench.client.alloc_dir(update["ID"]) / "alloc" / "logs"
    assert sorted(p.name for p in logs.glob("a.stdout.*")) == ["a.stdout.1", "a.stdout.2"]
    assert bench.log(update["ID"], "a.stdout.2").endswith("x\nend\n")


def test_a_shutdown_delay_comes_before_the_signal(bench: Any) -> None:
    alloc = bench.start(bench.job(bench.shell("a", "exec sleep 600", ShutdownDelay=20_000_000)))
    bench.until(alloc["ID"], running)
    bench.client.stop(alloc["ID"])
    update = bench.ended(alloc["ID"])
    assert bench.kinds(update, "a")[3:] == ["Killing", "Waiting for shutdown delay", "Terminated", "Killed"]
    assert bench.words(update, "a")[4] == "Waiting for shutdown_delay of 20ms before killing the task."


def test_an_allocation_that_ended_is_not_restarted(bench: Any) -> None:
    update = bench.run(bench.job(bench.shell("a", "true")))
    with pytest.raises(RuntimeError, match="restart of an alloc that should not run"):
        bench.client.restart(update["ID"], "a")
    assert bench.client.stats(update["ID"])["Tasks"] == {}


def test_shutdown_kills_everything_at_once(bench: Any) -> None:
    alloc = bench.start(bench.job(bench.shell("a", "trap '' INT; echo $$ > $NOMAD_ALLOC_DIR/data/pid; exec sleep 600")))
    bench.until(alloc["ID"], running)
    folder = bench.client.alloc_dir(alloc["ID"]) / "alloc" / "data"
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text() != "")
    pid = pid_file(bench, alloc["ID"])
    before = threading.active_count()
    bench.client.shutdown(kill=True)
    assert gone(pid)
    assert threading.active_count() < before
    assert not list((bench.data_dir / "executor").glob("socket"))
    bench.client = bench.new_client()


def test_many_allocations_at_once(bench: Any) -> None:
    job = bench.job(bench.shell("a", "", Config={"command": "true"}), bench.shell("b", "", Config={"command": "true"}))
    ids = [bench.start(job)["ID"] for _ in range(100)]
    ended = [bench.ended(alloc_id) for alloc_id in ids]
    assert {update["ClientStatus"] for update in ended} == {"complete"}


def test_a_task_sees_no_credentials_of_the_region(bench: Any) -> None:
    update = bench.run(bench.job(bench.shell("a", "env")))
    log = bench.log(update["ID"], "a.stdout.0")
    assert "COLOUR=blue\n" in log
    assert "AKIA" not in log


def test_start_time_tells_processes_apart() -> None:
    mine = start_ticks(os.getpid())
    assert mine > 0
    assert start_ticks(1 << 30) == 0


def wait_for(holds: Any) -> None:
    """Wait for something of another process that sends no event."""
    pause = threading.Event()
    for _ in range(2000):
        if holds():
            return
        pause.wait(0.005)
