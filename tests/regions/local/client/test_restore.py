"""What becomes of tasks when their region, or the executor under it, is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from regions.local.drivers.processes import kill_group, start_ticks

REGION = """
import json, sys
from pathlib import Path
from regions.local.client import Client
alloc, job, node = json.loads(sys.stdin.readline())
def tell(updates):
    for update in updates:
        print(json.dumps(update), flush=True)
client = Client(Path(sys.argv[1]), tell, {"PATH": "/usr/bin:/bin"}, "")
client.start(alloc, job, node)
sys.stdin.read()
"""


def crashed_region(bench: Any, job: dict[str, Any], holds: Any) -> dict[str, Any]:
    """Run the allocation in a region of its own process until `holds`, then kill -9 it: what its server knew."""
    bench.client.shutdown(kill=True)
    alloc = bench.alloc(job)
    region = subprocess.Popen(
        [sys.executable, "-c", REGION, str(bench.data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[4],
    )
    assert region.stdin
    assert region.stdout
    region.stdin.write(json.dumps([alloc, job, bench.node]) + "\n")
    region.stdin.flush()
    known = {}
    for line in region.stdout:
        known = json.loads(line)
        if holds(known):
            break
    region.kill()
    region.communicate()
    return dict(alloc | known)


def restore(bench: Any, job: dict[str, Any], known: dict[str, Any]) -> None:
    bench.client = bench.new_client()
    bench.client.restore([(known, job, bench.node)])


def runs(update: dict[str, Any]) -> bool:
    return bool(update["ClientStatus"] == "running")


def test_a_running_task_is_found_again_and_its_end_is_noticed(bench: Any) -> None:
    job = bench.job(
        bench.shell("a", "echo one; until [ -e $NOMAD_ALLOC_DIR/data/go ]; do sleep 0.01; done; echo two; exit 4")
    )
    known = crashed_region(bench, job, runs)
    restore(bench, job, known)
    bench.until(known["ID"], runs)
    (bench.client.alloc_dir(known["ID"]) / "alloc" / "data" / "go").touch()
    update = bench.ended(known["ID"])
    assert bench.kinds(update, "a") == ["Received", "Task Setup", "Started", "Terminated", "Not Restarting"]
    assert "Exit Code: 4" in bench.words(update, "a")
    assert bench.log(known["ID"], "a.stdout.0") == "one\ntwo\n"


def test_an_exit_while_the_region_was_down_is_kept(bench: Any) -> None:
    fifo = bench.data_dir / "fifo"
    os.mkfifo(fifo)
    job = bench.job(bench.shell("a", f"read x < {fifo}; exit 5"))
    known = crashed_region(bench, job, runs)
    fifo.write_text("go\n")
    left = bench.data_dir / "executor" / "exits.json"
    wait_for(left.exists)
    restore(bench, job, known)
    update = bench.ended(known["ID"])
    assert bench.words(update, "a")[-2:] == ["Exit Code: 5", "Policy allows no restarts"]
    bench.client.shutdown(kill=False)
    assert not left.exists()
    bench.client = bench.new_client()


def test_a_task_that_is_lost_runs_again(bench: Any) -> None:
    job = bench.job(bench.shell("a", "exec sleep 600"))
    known = crashed_region(bench, job, runs)
    executor = int((bench.data_dir / "executor" / "pid").read_text())
    os.kill(executor, signal.SIGKILL)
    [task] = [json.loads(line) for line in (bench.data_dir / "executor" / "tasks.jsonl").read_text().splitlines()]
    wait_for(lambda: start_ticks(executor) == 0)
    restore(bench, job, known)
    update = bench.until(known["ID"], lambda u: runs(u) and len(u["TaskStates"]["a"]["Events"]) == 5)
    assert bench.kinds(update, "a")[2:] == ["Started", "Failed Restoring Task", "Started"]
    assert not kill_group(*task)


def test_tasks_of_a_killed_executor_fail_and_are_killed(bench: Any) -> None:
    alloc = bench.start(bench.job(bench.shell("a", "exec sleep 600")))
    bench.until(alloc["ID"], runs)
    [task] = [json.loads(line) for line in (bench.data_dir / "executor" / "tasks.jsonl").read_text().splitlines()]
    os.kill(int((bench.data_dir / "executor" / "pid").read_text()), signal.SIGKILL)
    update = bench.ended(alloc["ID"])
    assert bench.kinds(update, "a")[3:] == ["Terminated", "Not Restarting"]
    assert "Exit Message:" in bench.words(update, "a")[3]
    wait_for(lambda: not kill_group(*task))
    again = bench.run(bench.job(bench.shell("a", "true")))
    assert again["ClientStatus"] == "complete"


def test_processes_of_no_known_allocation_are_killed(bench: Any) -> None:
    job = bench.job(bench.shell("a", "exec sleep 600"))
    crashed_region(bench, job, runs)
    [task] = [json.loads(line) for line in (bench.data_dir / "executor" / "tasks.jsonl").read_text().splitlines()]
    bench.client = bench.new_client()
    bench.client.restore([])
    wait_for(lambda: start_ticks(task[0]) != task[1])
    assert start_ticks(task[0]) != task[1]


def test_a_mock_task_runs_on_for_what_was_left(bench: Any) -> None:
    job = bench.job(bench.mock("a", run_for="300ms", exit_code=2))
    known = crashed_region(bench, job, runs)
    restore(bench, job, known)
    update = bench.ended(known["ID"])
    assert bench.words(update, "a")[-2:] == ["Exit Code: 2", "Policy allows no restarts"]
    assert bench.kinds(update, "a").count("Started") == 1


def test_a_reused_pid_is_no_task(bench: Any) -> None:
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        assert not kill_group(stranger.pid, start_ticks(stranger.pid) - 1)
        assert stranger.poll() is None
        assert kill_group(stranger.pid, start_ticks(stranger.pid))
        assert stranger.wait() == -signal.SIGKILL
    finally:
        stranger.kill()
        stranger.wait()


def test_sigterm_ends_an_executor_without_region_and_its_tasks(bench: Any) -> None:
    crashed_region(bench, bench.job(bench.shell("a", "trap '' INT TERM; sleep 600")), runs)
    [task] = [json.loads(line) for line in (bench.data_dir / "executor" / "tasks.jsonl").read_text().splitlines()]
    executor = int((bench.data_dir / "executor" / "pid").read_text())
    os.kill(executor, signal.SIGTERM)
    wait_for(lambda: start_ticks(executor) == 0)
    assert start_ticks(executor) == 0
    assert start_ticks(task[0]) != task[1]
    bench.client = bench.new_client()


def test_leftovers_of_a_dead_region_are_ended(bench: Any) -> None:
    from regions.local.client import end_leftovers

    crashed_region(bench, bench.job(bench.shell("a", "exec sleep 600")), runs)
    [task] = [json.loads(line) for line in (bench.data_dir / "executor" / "tasks.jsonl").read_text().splitlines()]
    end_leftovers(bench.data_dir)
    assert start_ticks(task[0]) != task[1]
    assert list((bench.data_dir / "executor").glob("socket")) == []
    end_leftovers(bench.data_dir / "nowhere")
    bench.client = bench.new_client()


def wait_for(holds: Any) -> None:
    """Wait for something of another process that sends no event."""
    pause = threading.Event()
    for _ in range(2000):
        if holds():
            return
        pause.wait(0.005)
