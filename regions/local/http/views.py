"""Stored objects enter, the shapes in which Nomad's API shows them leave."""

from __future__ import annotations

from typing import Any

from regions.local.state.snapshot import Record, Snapshot

_NO_TRANSITION = {"ForceReschedule": None, "Migrate": None, "NoShutdownDelay": None, "Reschedule": None}


def job_stub(state: Snapshot, job: Record, *, with_meta: bool) -> Record:
    """An entry of the list of jobs."""
    stub = {
        name: job[name]
        for name in (
            "CreateIndex",
            "Datacenters",
            "ID",
            "JobModifyIndex",
            "ModifyIndex",
            "Multiregion",
            "Name",
            "Namespace",
            "NodePool",
            "ParentID",
            "Priority",
            "Status",
            "StatusDescription",
            "Stop",
            "SubmitTime",
            "Type",
        )
    }
    stub["JobSummary"] = state.summaries.get((job["Namespace"], job["ID"]))
    stub["ParameterizedJob"] = job["ParameterizedJob"] is not None and not job["Dispatched"]
    stub["Periodic"] = False
    if with_meta:
        stub["Meta"] = job["Meta"]
    return stub


def alloc_stub(alloc: Record, *, resources: bool = False, task_states: bool = True) -> Record:
    """An entry of a list of allocations: every field is there, empty or not."""
    job = alloc["Job"]
    stub = {
        "ClientDescription": alloc.get("ClientDescription", ""),
        "ClientStatus": alloc["ClientStatus"],
        "CreateIndex": alloc["CreateIndex"],
        "CreateTime": alloc["CreateTime"],
        "DeploymentStatus": None,
        "DesiredDescription": alloc.get("DesiredDescription", ""),
        "DesiredStatus": alloc["DesiredStatus"],
        "DesiredTransition": alloc.get("DesiredTransition", _NO_TRANSITION),
        "EvalID": alloc["EvalID"],
        "FollowupEvalID": alloc.get("FollowupEvalID", ""),
        "ID": alloc["ID"],
        "JobID": alloc["JobID"],
        "JobType": job["Type"],
        "JobVersion": job["Version"],
        "ModifyIndex": alloc["ModifyIndex"],
        "ModifyTime": alloc["ModifyTime"],
        "Name": alloc["Name"],
        "Namespace": alloc["Namespace"],
        "NextAllocation": alloc.get("NextAllocation", ""),
        "NodeID": alloc["NodeID"],
        "NodeName": alloc["NodeName"],
        "PreemptedAllocations": None,
        "PreemptedByAllocation": "",
        "RescheduleTracker": alloc.get("RescheduleTracker"),
        "TaskGroup": alloc["TaskGroup"],
        "TaskStates": alloc.get("TaskStates") if task_states else None,
    }
    if resources:
        stub["AllocatedResources"] = alloc["AllocatedResources"]
    return stub


def node_stub(node: Record, *, resources: bool) -> Record:
    """An entry of the list of nodes."""
    stub = {
        name: node[name]
        for name in (
            "CreateIndex",
            "Datacenter",
            "Drain",
            "Drivers",
            "HostVolumes",
            "ID",
            "LastDrain",
            "ModifyIndex",
            "Name",
            "NodeClass",
            "NodePool",
            "SchedulingEligibility",
            "Status",
            "StatusDescription",
        )
    }
    stub["Address"] = node["HTTPAddr"].rpartition(":")[0]
    stub["Version"] = node["Attributes"]["nomad.version"]
    if resources:
        stub["NodeResources"] = node["NodeResources"]
        stub["ReservedResources"] = node["ReservedResources"]
    return stub


def write_reply(index: int, **fields: Any) -> Record:
    """The fields that answers to writes have in common."""
    return {"Index": index, "KnownLeader": False, "LastContact": 0, "NextToken": "", **fields}
