"""Builds the shapes in which Nomad's API shows stored objects."""

from __future__ import annotations

from typing import Any

from regions.local.http.messages import Reply
from regions.local.state.snapshot import Record, Snapshot

_OF_JOB = (
    "CreateIndex", "Datacenters", "ID", "JobModifyIndex", "ModifyIndex", "Multiregion", "Name", "Namespace", "NodePool",
    "ParentID", "Priority", "Status", "StatusDescription", "Stop", "SubmitTime", "Type",
)  # fmt: skip
_OF_ALLOC = (
    "ClientStatus", "CreateIndex", "CreateTime", "DesiredStatus", "EvalID", "ID", "JobID", "ModifyIndex", "ModifyTime", "Name",
    "Namespace", "NodeID", "NodeName", "TaskGroup",
)  # fmt: skip
_OF_ALLOC_IF_SET = ("ClientDescription", "DesiredDescription", "FollowupEvalID", "NextAllocation")
_OF_NODE = (
    "CreateIndex", "Datacenter", "Drain", "Drivers", "HostVolumes", "ID", "LastDrain", "ModifyIndex", "Name", "NodeClass",
    "NodePool", "SchedulingEligibility", "Status", "StatusDescription",
)  # fmt: skip
_NO_TRANSITION = {"ForceReschedule": None, "Migrate": None, "NoShutdownDelay": None, "Reschedule": None}


def job_stub(state: Snapshot, job: Record, *, with_meta: bool) -> Record:
    """Builds an entry of the list of jobs."""
    stub = {name: job[name] for name in _OF_JOB}
    stub["JobSummary"] = state.summaries.get((job["Namespace"], job["ID"]))
    stub["ParameterizedJob"] = job["ParameterizedJob"] is not None and not job["Dispatched"]
    stub["Periodic"] = False
    if with_meta:
        stub["Meta"] = job["Meta"]
    return stub


def alloc_stub(alloc: Record, *, resources: bool = False, task_states: bool = True) -> Record:
    """Builds an entry of a list of allocations. Includes every field, empty or not."""
    job = alloc["Job"]
    stub = {name: alloc[name] for name in _OF_ALLOC} | {name: alloc.get(name, "") for name in _OF_ALLOC_IF_SET}
    stub |= {
        "DeploymentStatus": None,
        "DesiredTransition": alloc.get("DesiredTransition", _NO_TRANSITION),
        "JobType": job["Type"],
        "JobVersion": job["Version"],
        "PreemptedAllocations": None,
        "PreemptedByAllocation": "",
        "RescheduleTracker": alloc.get("RescheduleTracker"),
        "TaskStates": alloc.get("TaskStates") if task_states else None,
    }
    if resources:
        stub["AllocatedResources"] = alloc["AllocatedResources"]
    return stub


def node_stub(node: Record, *, resources: bool, with_os: bool = False) -> Record:
    """Builds an entry of the list of nodes."""
    stub = {name: node[name] for name in _OF_NODE}
    stub["Address"] = node["HTTPAddr"].rpartition(":")[0]
    stub["Version"] = node["Attributes"]["nomad.version"]
    if with_os:
        stub["Attributes"] = {"os.name": node["Attributes"].get("os.name", "")}
    if resources:
        stub["NodeResources"] = node["NodeResources"]
        stub["ReservedResources"] = node["ReservedResources"]
    return stub


def written(index: int, **fields: Any) -> Reply:
    """Answers a write at this index."""
    body = {"Index": index, "KnownLeader": False, "LastContact": 0, "NextToken": "", **fields}
    return Reply(body, headers={"X-Nomad-Index": str(index)})
