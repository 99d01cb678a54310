"""Nomad's JSON read into values: what is absent, null or of another version."""

from __future__ import annotations

import pytest

from regions.model import Allocation, DryRun, GroupShortfall, TaskState
from regions.nomad.decode import (
    allocation_from_json,
    dry_run_from_json,
    evaluation_from_json,
    events_from_line,
    job_from_json,
    node_from_json,
)

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


def test_healthy_devices_of_a_node():
    instances = [{"ID": "0", "Healthy": True}, {"ID": "1", "Healthy": True}, {"ID": "2", "Healthy": False}]
    groups = [
        {"Vendor": "nvidia", "Type": "gpu", "Name": "A100", "Instances": instances},
        {"Vendor": "amd", "Type": "gpu", "Name": "MI210", "Instances": None},
    ]
    node = node_from_json(NODE | {"NodeResources": NODE["NodeResources"] | {"Devices": groups}})
    assert node.devices == {"nvidia/gpu/A100": 2, "amd/gpu/MI210": 0}


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
    assert found.tasks == {"t": TaskState("pending", False, 1, "Task restarting in 1s", 3, trouble="Exit Code: 3")}
    assert (found.next_allocation, found.modify_index) == ("b", 9)


def test_the_event_streams_task_events_have_no_display_message():
    events = [{"Type": "Driver Failure", "DisplayMessage": "", "DriverError": "no such binary"}]
    state = {"State": "dead", "Failed": True, "Events": events}
    found = allocation_from_json(STUB | {"TaskStates": {"t": state}})
    assert found.tasks["t"] == TaskState("dead", True, 0, "no such binary", None, trouble="no such binary")


STARTED, RESTARTING, KILLED = {"Type": "Started"}, {"Type": "Restarting"}, {"Type": "Killed"}
RECEIVED, CRASHED = {"Type": "Received"}, {"Type": "Terminated", "ExitCode": 1}
TEMPLATE = {"Type": "Template", "DisplayMessage": "Missing: nomad.var.block(a@default.global)"}
RENDERED = {"Type": "Killing", "DisplayMessage": "Template failed: x: no such file", "FailsTask": True}
ARTIFACT = {"Type": "Failed Artifact Download", "DisplayMessage": "", "DownloadError": "404"}


@pytest.mark.parametrize(
    ("events", "trouble"),
    [
        ([RECEIVED], ""),
        ([RECEIVED, TEMPLATE], TEMPLATE["DisplayMessage"]),
        ([RECEIVED, TEMPLATE, STARTED], ""),
        ([RECEIVED, RENDERED, KILLED], RENDERED["DisplayMessage"]),
        ([RECEIVED, ARTIFACT, RESTARTING], "404"),
        ([{"Type": "Setup Failure", "SetupError": "no user"}], "no user"),
        ([{"Type": "Failed Validation", "ValidationError": "no x"}], "no x"),
        ([{"Type": "Task hook failed", "Message": "volume: x"}], "volume: x"),
        ([{"Type": "Driver Failure", "DriverError": "no image"}, RESTARTING], "no image"),
        ([STARTED, CRASHED], ""),
        ([STARTED, CRASHED, RESTARTING], "Exit Code: 1"),
        ([STARTED, CRASHED, RESTARTING, STARTED], "Exit Code: 1"),
        ([STARTED, CRASHED, RESTARTING, RECEIVED, ARTIFACT], "404"),
        ([STARTED, {"Type": "Terminated", "Signal": 11}, RESTARTING], "Exit Code: 0, Signal: 11"),
        (
            [STARTED, CRASHED | {"Details": {"oom_killed": "true"}, "DisplayMessage": "OOM Killed"}, RESTARTING],
            "killed for its memory (OOM)",
        ),
        ([STARTED, {"Type": "Restart Signaled"}, {"Type": "Terminated", "ExitCode": 130}, RESTARTING, STARTED], ""),
        ([STARTED, {"Type": "Killing"}, {"Type": "Terminated", "ExitCode": 143}, KILLED], ""),
        ([STARTED, {"Type": "Terminated", "ExitCode": 0}], ""),
    ],
)
def test_what_keeps_a_task_from_starting_or_makes_nomad_restart_it(events, trouble):
    state = {"State": "pending", "Failed": False, "Events": events}
    assert allocation_from_json(STUB | {"TaskStates": {"t": state}}).tasks["t"].trouble == trouble


def test_a_templates_own_error_is_why_its_task_failed():
    events = [RECEIVED, RENDERED, {"Type": "Not Restarting", "FailsTask": True}, KILLED]
    state = {"State": "dead", "Failed": True, "Events": events}
    assert allocation_from_json(STUB | {"TaskStates": {"t": state}}).tasks["t"].last_event == RENDERED["DisplayMessage"]


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


def event(kind, exit_code=0):
    return {"Type": kind, "ExitCode": exit_code}


@pytest.mark.parametrize(
    ("events", "is_killed", "is_released", "has_ended_well"),
    [
        ([event("Started"), event("Terminated")], False, False, True),
        ([event("Started"), event("Terminated"), event("Killing")], False, False, True),
        ([event("Started"), event("Killing"), event("Terminated"), event("Killed")], True, False, False),
        ([event("Killing"), event("Terminated", 143), event("Killed")], True, False, False),
        ([event("Started"), event("Leader Task Dead"), event("Killing"), event("Terminated")], True, True, False),
        ([event("Started"), event("Main Tasks Dead"), event("Killing"), event("Terminated", 9)], True, True, False),
        ([event("Received"), event("Killing")], True, False, False),
        (
            [
                event("Restart Signaled"),
                event("Terminated", 130),
                event("Restarting"),
                event("Started"),
                event("Terminated"),
            ],
            False,
            False,
            True,
        ),
        ([event("Killing"), event("Terminated", 1), event("Started"), event("Terminated")], False, False, True),
        ([event("Started"), event("Terminated"), event("Restarting"), event("Killing")], True, False, False),
        ([event("Started"), event("Terminated", 3)], False, False, False),
        ([], False, False, False),
        (None, False, False, False),
    ],
)
def test_whether_a_task_ended_by_itself(events, is_killed, is_released, has_ended_well):
    stub = STUB | {"TaskStates": {"t": {"State": "dead", "Failed": False, "Events": events}}}
    task = allocation_from_json(stub).tasks["t"]
    assert (task.is_killed, task.is_released, task.has_ended_well) == (is_killed, is_released, has_ended_well)


def test_what_the_servers_mean_an_allocation_to_do():
    moved = allocation_from_json(
        STUB | {"DesiredTransition": {"Migrate": True}, "ClientDescription": "x", "CreateIndex": 4}
    )
    assert (moved.is_moved, moved.client_description, moved.create_index) == (True, "x", 4)
    assert not allocation_from_json(STUB | {"DesiredTransition": None}).is_moved


@pytest.mark.parametrize("change", [{"FailedTGAllocs": [1]}, {"FailedTGAllocs": {"g": 1}}, {"Status": 3}])
def test_an_evaluation_of_another_shape(change):
    with pytest.raises(TypeError):
        evaluation_from_json({"Status": "blocked", "JobID": "x"} | change)


@pytest.mark.parametrize("groups", [3, [1], [{"Tasks": [None]}], "g", {"g": 1}])
def test_a_job_whose_groups_are_of_another_shape(groups):
    with pytest.raises(TypeError):
        job_from_json({"ID": "x", "TaskGroups": groups})
