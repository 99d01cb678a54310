"""The rules without processes: durations, restart policies, the order of tasks, paths and ports."""

from __future__ import annotations

from typing import Any

import pytest

from regions.local.client import events, task_env, template
from regions.local.client.lifecycle import Coordinator
from regions.local.client.restarts import RestartTracker
from regions.local.client.task_state import TaskState


def test_a_state_keeps_its_last_ten_events() -> None:
    state = TaskState()
    for _ in range(12):
        state.add(events.restarting(1, "x"))
    assert len(state.data["Events"]) == 10
    assert state.data["Restarts"] == 12


def test_mode_delay_waits_for_the_next_interval() -> None:
    policy = {"Attempts": 1, "Interval": 60_000_000_000, "Delay": 1_000, "Mode": "delay"}
    tracker = RestartTracker(policy, None)
    assert tracker.after(succeeded=False).reason == "Restart within policy"
    word, reason, delay_ns = tracker.after(succeeded=False)
    assert (word, reason) == ("restart", "Exceeded allowed attempts, applying a delay")
    assert 50_000_000_000 < delay_ns <= 60_000_000_000


@pytest.mark.parametrize(
    ("lifecycle", "word"),
    [
        (None, "done"),
        ({"Hook": "prestart", "Sidecar": False}, "done"),
        ({"Hook": "prestart", "Sidecar": True}, "restart"),
        ({"Hook": "poststop", "Sidecar": False}, "done"),
    ],
)
def test_only_sidecars_start_again_after_success(lifecycle: dict[str, Any] | None, word: str) -> None:
    policy = {"Attempts": 3, "Interval": 60_000_000_000, "Delay": 1_000, "Mode": "fail"}
    assert RestartTracker(policy, lifecycle).after(succeeded=True).word == word


def test_an_error_that_is_not_recoverable_ends_the_task() -> None:
    policy = {"Attempts": 3, "Interval": 60_000_000_000, "Delay": 1_000, "Mode": "fail"}
    verdict = RestartTracker(policy, None).after(succeeded=False, recoverable=False)
    assert verdict == ("fail", "Error was unrecoverable", 0)


def states(**words: str) -> dict[str, dict[str, Any]]:
    return {name: {"State": word.rstrip("!"), "Failed": word.endswith("!")} for name, word in words.items()}


def test_main_waits_for_prestart_and_its_sidecar() -> None:
    tasks = [
        {"Name": "main"},
        {"Name": "pre", "Lifecycle": {"Hook": "prestart"}},
        {"Name": "side", "Lifecycle": {"Hook": "prestart", "Sidecar": True}},
    ]
    coordinator = Coordinator(tasks)
    coordinator.update(states(main="pending", pre="running", side="running"))
    assert (coordinator.may_start("pre"), coordinator.may_start("main")) == (True, False)
    coordinator.update(states(main="pending", pre="dead", side="pending"))
    assert not coordinator.may_start("main")
    coordinator.update(states(main="pending", pre="dead", side="running"))
    assert coordinator.may_start("main")


def test_main_never_starts_after_a_failed_prestart() -> None:
    coordinator = Coordinator([{"Name": "main"}, {"Name": "pre", "Lifecycle": {"Hook": "prestart"}}])
    coordinator.update(states(main="pending", pre="dead!"))
    assert not coordinator.may_start("main")


ENV = task_env.TaskEnv({"NOMAD_ALLOC_DIR": "/a/alloc"}, {}, "/a/t", "/a/alloc")


@pytest.mark.parametrize(
    ("raw", "path", "escapes"),
    [
        ("local/f", "/a/t/local/f", False),
        ("${NOMAD_ALLOC_DIR}/data/f", "/a/alloc/data/f", False),
        ("/etc/passwd", "/a/t/etc/passwd", False),
        ("../alloc/f", "/a/alloc/f", False),
        ("../other/f", "/a/other/f", True),
        ("../../f", "/f", True),
        ("${NOMAD_ALLOC_DIR}/../../f", "/a/t/f", False),
    ],
)
def test_destinations_stay_in_the_allocation(raw: str, path: str, escapes: bool) -> None:
    assert ENV.client_path(raw, join_escape=True) == (path, escapes)


def test_ports_and_cores_are_variables() -> None:
    task = {"Name": "t"}
    job = {"ID": "j", "TaskGroups": [{"Name": "g"}]}
    port = {"Label": "web-1", "Value": 4000, "To": 80, "HostIP": "10.0.0.1"}
    resources = {"Cpu": {"CpuShares": 1, "ReservedCores": [0, 1, 2, 5]}, "Memory": {"MemoryMB": 1, "MemoryMaxMB": 2}}
    alloc = {
        "ID": "12345678-0",
        "Name": "j.g[3]",
        "TaskGroup": "g",
        "AllocatedResources": {"Tasks": {"t": resources}, "Shared": {"Ports": [port]}},
    }
    env = task_env.build(alloc, job, task, {}, {}, "/a", {}).env
    assert env["NOMAD_CPU_CORES"] == "0-2,5"
    assert env["NOMAD_MEMORY_MAX_LIMIT"] == "2"
    assert env["NOMAD_ALLOC_INDEX"] == "3"
    assert (env["NOMAD_PORT_web_1"], env["NOMAD_HOST_PORT_web_1"]) == ("80", "4000")
    assert env["NOMAD_ADDR_web_1"] == "10.0.0.1:4000"


def test_env_files_are_read_as_nomad_reads_them() -> None:
    text = 'A=1\n\n# x\nexport B=\'a # b\'\nC="x\\n\\"y\\"" # end\nD=a b # end\nE=\n'
    assert template.parse_env(text, "f") == {"A": "1", "B": "a # b", "C": 'x\n"y"', "D": "a b", "E": ""}
