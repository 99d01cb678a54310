"""A region's server on loopback whose answers are right until a test spoils one of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.attack.scene import OPEN_RUN
from tests.regions.conftest import Recorder, Reply, Seen

NODE = "11111111-0000-4000-8000-000000000001"
CHILD = "sales/dispatch-1732442400-aaaaaaaa"
ALLOC = "22222222-0000-4000-8000-000000000002"


def members() -> Any:
    """Both regions' servers."""
    tags = [{"role": "nomad", "region": region, "build": "1.6.3", "dc": "dc1"} for region in ("us", "eu")]
    return {"Members": [{"Name": f"{one['region']}-s", "Status": "alive", "Tags": one} for one in tags]}


def nodes() -> Any:
    """One ready node."""
    resources = {"Cpu": {"CpuShares": 4000}, "Memory": {"MemoryMB": 4000}, "Disk": {"DiskMB": 1000}, "Devices": None}
    return [
        {
            "ID": NODE,
            "Name": "us-1",
            "Datacenter": "dc1",
            "NodePool": "default",
            "NodeClass": "gpu",
            "Status": "ready",
            "StatusDescription": "",
            "SchedulingEligibility": "eligible",
            "Drain": False,
            "Version": "1.6.3",
            "Drivers": {"raw_exec": {"Detected": True, "Healthy": True}},
            "NodeResources": resources,
            "ReservedResources": None,
            "HostVolumes": None,
            "ModifyIndex": 10,
        }
    ]


def allocation() -> dict[str, Any]:
    """An allocation of the child that failed."""
    event = {"Type": "Terminated", "Time": 1732442400000000000, "ExitCode": 1, "DisplayMessage": "Exit Code: 1"}
    return {
        "ID": ALLOC,
        "Name": f"{CHILD}.train[0]",
        "JobID": CHILD,
        "TaskGroup": "train",
        "NodeID": NODE,
        "NodeName": "us-1",
        "ClientStatus": "failed",
        "DesiredStatus": "run",
        "ModifyIndex": 20,
        "AllocatedResources": {"Tasks": {"train": {"Cpu": {"CpuShares": 100}, "Memory": {"MemoryMB": 100}}}},
        "TaskStates": {"train": {"State": "dead", "Failed": True, "Restarts": 0, "Events": [event]}},
    }


def child() -> dict[str, Any]:
    """The child of slot 0 of the open run, which has ended."""
    meta = {"fedml_run": OPEN_RUN, "fedml_slot": "0", "fedml_attempt": "1", "fedml_spec": "5pec"}
    return {
        "ID": CHILD,
        "Name": CHILD,
        "ParentID": "sales",
        "Type": "batch",
        "Status": "dead",
        "Stop": False,
        "Meta": meta,
        "TaskGroups": [{"Name": "train", "Count": 1, "Tasks": [{"Name": "train"}]}],
        "JobModifyIndex": 10,
        "ModifyIndex": 20,
    }


def events() -> Any:
    """One batch of the event stream."""
    payload = {"Allocation": allocation()}
    event = {"Topic": "Allocation", "Type": "AllocationUpdated", "Key": ALLOC, "FilterKeys": [CHILD], "Index": 20}
    return {"Index": 20, "Events": [event | {"Namespace": "default", "Payload": payload}]}


def usage() -> Any:
    """What the allocation takes."""
    taken = {"MemoryStats": {"RSS": 1, "Usage": 2, "MaxUsage": 3}, "CpuStats": {"TotalTicks": 5.5}}
    return {"ResourceUsage": taken, "Tasks": {"train": {"ResourceUsage": taken}}}


def plan() -> Any:
    """All of what was asked for would be placed."""
    return {
        "JobModifyIndex": 0,
        "Diff": {"Type": "Added", "ID": "sales", "Fields": None, "Objects": None, "TaskGroups": []},
        "FailedTGAllocs": None,
        "Annotations": {"DesiredTGUpdates": {}, "PreemptedAllocs": None},
        "Warnings": "",
        "NextPeriodicLaunch": None,
    }


RIGHT: dict[str, Callable[[], Any]] = {
    r"GET /v1/agent/members": members,
    r"GET /v1/status/leader": lambda: "10.0.0.1:4647",
    r"GET /v1/regions": lambda: ["eu", "us"],
    r"GET /v1/agent/self": lambda: {"config": {"Region": "us", "Version": {"Version": "1.6.3"}}, "stats": {}},
    r"GET /v1/nodes": nodes,
    r"GET /v1/jobs": list,
    r"GET /v1/evaluations": list,
    r"GET /v1/job/sales%2F[^/]*": child,
    r"GET /v1/allocations": list,
    r"GET /v1/job/.*/allocations": lambda: [allocation()],
    r"GET /v1/job/.*/evaluations": list,
    r"GET /v1/allocation/.*": allocation,
    r"GET /v1/client/fs/logs/.*": lambda: "epoch 1",
    r"GET /v1/client/allocation/.*/stats": usage,
    r"GET /v1/event/stream": events,
    r"(PUT|POST) /v1/job/.*/evaluate": lambda: {"EvalID": "", "JobModifyIndex": 10},
    r"DELETE /v1/job/.*": lambda: {"EvalID": "", "JobModifyIndex": 10},
    r"PUT /v1/job/.*/plan": plan,
    r"POST /v1/job/.*/plan": plan,
    r"(PUT|POST) /v1/jobs": lambda: {"EvalID": "", "JobModifyIndex": 10, "Warnings": ""},
    r"(PUT|POST) /v1/job/.*/dispatch": lambda: {"DispatchedJobID": CHILD, "EvalID": "", "Index": 11},
}
SPOILABLE = tuple(RIGHT)
READ_BY_PLAN = tuple(name for name in RIGHT if "members" in name or "nodes" in name or "plan" in name or "eval" in name)


class FakeRegion(Recorder):
    """Answers rightly; `spoil` names a route (a key of RIGHT) and what it answers instead."""

    def __init__(self) -> None:
        super().__init__()
        self.spoilt: dict[str, Reply] = {}

    def next_reply(self, seen: Seen) -> Reply:
        asked = f"{seen.method} {seen.path}"
        for route, right in RIGHT.items():
            if re.fullmatch(route, asked):
                return self.spoilt.get(route) or Reply(
                    body=json.dumps(right()).encode(), headers={"X-Nomad-Index": "20"}
                )
        return self.spoilt.get("*") or Reply(404, b"job not found")
