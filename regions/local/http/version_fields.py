"""Shows stored objects with the fields of the region's Nomad version. Stored objects have those of 1.6.3.

A function returns the object itself where that version shows the same.
"""

from __future__ import annotations

from regions.local.nomad_version import UNDATED, NomadVersion
from regions.local.state.snapshot import Record

_RESOURCES = {"NUMA": None, "SecretsMB": 0}
_UPDATES = dict.fromkeys(("Disconnect", "Reconnect", "RescheduleLater", "RescheduleNow"), 0)
_NAMESPACE = dict.fromkeys(("ConsulConfiguration", "OptionalExtraClaims", "RequiredExtraClaims", "VaultConfiguration"))
_REMOVED_OF_JOB = frozenset({"ConsulToken", "VaultToken"})
_STUB_TRANSITION = {"MigrateDisablePlacement": None}


class VersionFields:
    """The fields of one version."""

    def __init__(self, answers_as: NomadVersion) -> None:
        self._is_newer = answers_as >= UNDATED

    def allocation(self, alloc: Record) -> Record:
        """Returns a whole allocation, with its job if it is there."""
        changed = {
            "AllocatedResources": self.allocated(alloc["AllocatedResources"]),
            "Metrics": self._metrics(alloc["Metrics"]),
            "Resources": self._resources(alloc["Resources"]),
            "SharedResources": self._resources(alloc["SharedResources"]),
        }
        if self._is_newer:
            changed["TaskResources"] = {name: self._resources(one) for name, one in alloc["TaskResources"].items()}
            if alloc.get("TaskStates"):
                changed["TaskStates"] = _task_states(alloc["TaskStates"])
        if "Job" in alloc:
            changed["Job"] = self.job(alloc["Job"])
        return {**alloc, **changed}

    def alloc_stub(self, stub: Record) -> Record:
        """Returns an entry of a list of allocations."""
        if not self._is_newer:
            return stub
        changed: Record = {"DesiredTransition": _STUB_TRANSITION | stub["DesiredTransition"]}
        if stub["TaskStates"]:
            changed["TaskStates"] = _task_states(stub["TaskStates"])
        if "AllocatedResources" in stub:
            changed["AllocatedResources"] = self.allocated(stub["AllocatedResources"])
        return {**stub, **changed}

    def allocated(self, resources: Record) -> Record:
        """Returns the resources that an allocation got."""
        shared = resources["Shared"]
        if not (shared["Networks"] or shared["Ports"]):
            return resources
        ports = [_set_fields(port) for port in shared["Ports"] or ()] if self._is_newer else shared["Ports"]
        networks = self._networks(shared["Networks"])
        return {**resources, "Shared": {**shared, "Networks": networks, "Ports": ports or None}}

    def evaluation(self, evaluation: Record) -> Record:
        """Returns an evaluation."""
        changed: Record = {}
        if evaluation.get("FailedTGAllocs"):
            changed["FailedTGAllocs"] = self.failed(evaluation["FailedTGAllocs"])
        if annotations := evaluation.get("PlanAnnotations"):
            changed["PlanAnnotations"] = {
                **annotations,
                "DesiredTGUpdates": self.desired_updates(annotations["DesiredTGUpdates"]),
            }
        return {**evaluation, **changed} if changed else evaluation

    def failed(self, failed: Record) -> Record:
        """Returns what groups couldn't be placed, and why."""
        return {name: self._metrics(one) for name, one in failed.items()}

    def _metrics(self, metrics: Record) -> Record:
        if not self._is_newer:
            return {field: value for field, value in metrics.items() if field != "NodePool"}
        if not metrics["ResourcesExhausted"]:
            return metrics
        exhausted = {task: self._resources(one) for task, one in metrics["ResourcesExhausted"].items()}
        return {**metrics, "ResourcesExhausted": exhausted}

    def desired_updates(self, updates: Record) -> Record:
        """Returns what a plan changes of each group."""
        return {name: _UPDATES | one for name, one in updates.items()} if self._is_newer else updates

    def job(self, job: Record) -> Record:
        """Returns a job."""
        if self._is_newer:
            job = {"VersionTag": None, **{field: value for field, value in job.items() if field not in _REMOVED_OF_JOB}}
        if not any(group["Networks"] for group in job["TaskGroups"]):
            return job
        return {
            **job,
            "TaskGroups": [{**group, "Networks": self._networks(group["Networks"])} for group in job["TaskGroups"]],
        }

    def namespace(self, namespace: Record) -> Record:
        """Returns a namespace."""
        return _NAMESPACE | namespace if self._is_newer else namespace

    def _resources(self, resources: Record) -> Record:
        shown = {**resources, "Networks": self._networks(resources["Networks"])}
        return _RESOURCES | shown if self._is_newer else shown

    def _networks(self, networks: list[Record] | None) -> list[Record] | None:
        if not networks:
            return networks
        if self._is_newer:
            return [_network(network) for network in networks]
        return [{field: value for field, value in one.items() if field != "Hostname" or value} for one in networks]


def _network(network: Record) -> Record:
    ports = {
        field: [_set_fields(port) for port in network[field]]
        for field in ("ReservedPorts", "DynamicPorts")
        if network.get(field)
    }
    return {**_set_fields(network), **ports}


def _set_fields(record: Record) -> Record:
    """Returns the record without its empty fields."""
    return {field: value for field, value in record.items() if value not in (None, "", 0)}


def _task_states(states: dict[str, Record]) -> dict[str, Record]:
    return {
        name: {"Paused": "", **{field: value for field, value in state.items() if field != "TaskHandle"}}
        for name, state in states.items()
    }
