"""An allocation's JSON, as a real agent gives it, becomes its tasks' story."""

from __future__ import annotations

from typing import Any

import pytest

from regions.nomad.task_history import TaskEvent, allocation_story

ALLOCATION: dict[str, Any] = {
    "ID": "0b6ab4d4-7a7a-2d7e-9a40-1d4f2f6b8f11",
    "Name": "train/dispatch-1764028800-1a2b3c4d.main[1]",
    "JobID": "train/dispatch-1764028800-1a2b3c4d",
    "TaskGroup": "main",
    "NodeName": "us-1",
    "ClientStatus": "failed",
    "DesiredStatus": "run",
    "AllocatedResources": {"Tasks": {"train": {"Cpu": {"CpuShares": 500}, "Memory": {"MemoryMB": 256}}}},
    "TaskStates": {
        "train": {
            "State": "dead",
            "Failed": True,
            "Restarts": 1,
            "StartedAt": "2026-11-25T00:00:01.123456789Z",
            "FinishedAt": "2026-11-25T00:00:09.5Z",
            "Events": [
                {"Time": 1764028800000000000, "Type": "Received", "DisplayMessage": "Task received by client"},
                {
                    "Time": 1764028809500000000,
                    "Type": "Terminated",
                    "ExitCode": 137,
                    "DisplayMessage": 'Exit Code: 137, Signal: 9, Exit Message: "OOM Killed"',
                    "Details": {"oom_killed": "true"},
                },
            ],
        },
        "store": {"State": "pending", "Failed": False, "StartedAt": None, "FinishedAt": "0001-01-01T00:00:00Z", "Events": None},
    },
}  # fmt: skip


def test_each_task_has_its_times_exit_code_and_events() -> None:
    story = allocation_story(ALLOCATION)
    assert (story.group, story.index, story.node_name, story.client_status) == ("main", 1, "us-1", "failed")
    train = story.tasks["train"]
    assert (train.started, train.finished) == ("2026-11-25T00:00:01.123Z", "2026-11-25T00:00:09.500Z")
    assert (train.exit_code, train.is_oom_killed, train.restarts) == (137, True, 1)
    assert (train.cpu_mhz, train.memory_mb) == (500, 256)
    assert train.events[0] == TaskEvent("2025-11-25T00:00:00.000Z", "Received", "Task received by client")
    store = story.tasks["store"]
    assert (store.started, store.finished, store.exit_code, store.events) == ("", "", None, ())


def test_what_is_no_allocation_is_refused() -> None:
    with pytest.raises(KeyError):
        allocation_story({"ID": "x"})
