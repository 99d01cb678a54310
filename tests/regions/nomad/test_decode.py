"""Nomad's JSON read into values: what is absent, null or of another version."""

from __future__ import annotations

import pytest

from regions.model import Allocation, DryRun, GroupShortfall, TaskState
from regions.nomad.decode import allocation_from_json, dry_run_from_json, events_from_line, node_from_json

NODE = {
    "ID": "n",
    "Name": "us-1",
    "Datacenter": "us-east-1",
    "Status": "ready",
    "SchedulingEligibility": "eligible",
    "Drain": False,
    "NodeResources": {"Cpu": {"CpuShares": 4000}, "Memory": {"MemoryMB": 8192}},
    "ReservedResources": {"Cpu": {"CpuShares": 100}, "Memory": {"MemoryMB": 192}},
    "Drivers": {
        "raw_exec": {"Detected": True, "Healthy": True},
        "docker": {"Detected": True, "Healthy": False},
        "qemu": {"Detected": False, "Healthy": False},
    },
    "HostVolumes": {"models": {}},
}
STUB = {
    "ID": "a",
    "Name": "train/dispatch-1-a[3].g[12]",
    "JobID": "train/dispatch-1-a[3]",
    "TaskGroup": "g",
    "ClientStatus": "pending",
    "DesiredStatus": "run",
    "TaskStates": None,
}


def test_a_node():
    node = node_from_json(NODE)
    assert (node.id, node.name, node.datacenter, node.is_ready) == ("n", "us-1", "us-east-1", True)
    assert (node.cpu_mhz, node.memory_mb) == (3900, 8000)  # what may be given out
    assert (node.drivers, node.host_volumes) == ({"raw_exec"}, {"models"})


@pytest.mark.parametrize(
    "change",
    [{"Status": "down"}, {"SchedulingEligibility": "ineligible"}, {"Drain": True}, {"DrainStrategy": {"x": 1}}],
)
def test_a_node_that_takes_no_work(change):
    assert not node_from_json(NODE | change).is_ready


def test_a_node_without_what_it_need_not_have():
    node = node_from_json(NODE | {"ReservedResources": None, "Drivers": None, "HostVolumes": None})
    assert (node.cpu_mhz, node.drivers, node.host_volumes) == (4000, frozenset(), frozenset())


def test_an_allocation_that_has_not_begun():
    assert allocation_from_json(STUB) == Allocation(
        id="a",
        job_id="train/dispatch-1-a[3]",
        group="g",
        index=12,
        node_id="",
        node_name="",
        client_status="pending",
        desired_status="run",
    )


def test_an_allocation_whose_task_was_restarted():
    events = [
        {"Type": "Started", "DisplayMessage": "Task started by client"},
        {"Type": "Terminated", "ExitCode": 3, "DisplayMessage": 'Exit Code: 3, Exit Message: "exit status 3"'},
        {"Type": "Restarting", "DisplayMessage": "Task restarting in 1s"},
    ]
    state = {"State": "pending", "Failed": False, "Restarts": 1, "Events": events}
    found = allocation_from_json(STUB | {"TaskStates": {"t": state}, "NextAllocation": "b", "ModifyIndex": 9})
    assert found.tasks == {"t": TaskState("pending", False, 1, "Task restarting in 1s", 3)}
    assert (found.next_allocation, found.modify_index) == ("b", 9)


def test_the_event_streams_task_events_have_no_display_message():
    events = [{"Type": "Driver Failure", "DisplayMessage": "", "DriverError": "no such binary"}]
    state = {"State": "dead", "Failed": True, "Events": events}
    found = allocation_from_json(STUB | {"TaskStates": {"t": state}})
    assert found.tasks["t"] == TaskState("dead", True, 0, "no such binary", None)


def test_an_allocation_name_without_an_index_is_refused():
    with pytest.raises(ValueError, match="has no index"):
        allocation_from_json(STUB | {"Name": "train.g"})


def test_a_dry_run_that_places_all():
    answer = {"JobModifyIndex": 0, "FailedTGAllocs": None, "Annotations": None, "Diff": None, "Warnings": ""}
    assert dry_run_from_json(answer) == DryRun(0, "", {})


def test_a_dry_run_that_falls_short():
    metric = {
        "CoalescedFailures": 740,
        "NodesEvaluated": 2,
        "NodesAvailable": {"dc1": 2},
        "DimensionExhausted": {"cpu": 2},
    }
    dry_run = dry_run_from_json(
        {
            "JobModifyIndex": 7,
            "FailedTGAllocs": {"g": metric},
            "Annotations": {"PreemptedAllocs": [{}, {}]},
            "Diff": {"Type": "Edited"},
            "Warnings": "1 warning",
        }
    )
    expected = GroupShortfall(740, nodes_evaluated=2, nodes_available={"dc1": 2}, dimension_exhausted={"cpu": 2})
    assert dry_run.shortfalls == {"g": expected}
    assert (dry_run.job_modify_index, dry_run.diff_type, dry_run.preempted) == (7, "Edited", 2)
    assert dry_run.warnings == "1 warning"


def test_heartbeats_are_lines_without_events():
    assert events_from_line(b"{}") == (0, [])
