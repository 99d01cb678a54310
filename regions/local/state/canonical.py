"""A job as a client sent it enters, the job as servers keep it leaves: every field there, defaults filled in.

Unknown fields are dropped in silence, as Nomad does; a value of the wrong type raises WrongType with Nomad's sentence.
"""

from __future__ import annotations

from typing import Any

from regions.local.state.job_schema import JOB, NO_RESCHEDULE, NO_UPDATE, Named
from regions.local.state.snapshot import Record


class WrongType(ValueError):
    """A field has a type that its schema doesn't take; the message is what Nomad answers."""


def canonical_job(raw: Any, region: str) -> Record:
    """The complete job. Raises WrongType."""
    if not isinstance(raw, dict):
        raise _wrong(raw, "Job", "api.Job")
    job = _object(raw, JOB, "Job.Job")
    job["Name"] = job["Name"] or job["ID"]
    job["Namespace"] = job["Namespace"] or "default"
    job["NodePool"] = job["NodePool"] or "default"
    job["Region"] = job["Region"] if job["Region"] not in ("", "global") else region
    job["Datacenters"] = job["Datacenters"] or ["*"]
    job["Priority"] = job["Priority"] or 50
    job["Update"] = NO_UPDATE
    if job["ParameterizedJob"] is not None:
        job["ParameterizedJob"]["Payload"] = job["ParameterizedJob"]["Payload"] or "optional"
    for server_side in ("CreateIndex", "JobModifyIndex", "ModifyIndex", "SubmitTime", "Version"):
        job[server_side] = 0
    job.update(Status="", StatusDescription="", Stable=False, Dispatched=False, ParentID="", Payload=None)
    job["DispatchIdempotencyToken"] = ""
    for group in job["TaskGroups"] or ():
        if job["Type"] == "sysbatch":
            group["ReschedulePolicy"] = dict(NO_RESCHEDULE)
        for task in group["Tasks"] or ():
            task["RestartPolicy"] = task["RestartPolicy"] or dict(group["RestartPolicy"])
            resources = task["Resources"]
            if resources["Cores"] and resources["CPU"] == 100:
                resources["CPU"] = 0
            for mount in task["VolumeMounts"] or ():
                mount["PropagationMode"] = mount["PropagationMode"] or "private"
    return job


def _object(raw: dict[str, Any], schema: dict[str, Any], path: str) -> Record:
    if not all(name in schema for name in raw):
        by_lower = {name.lower(): name for name in schema}
        raw = {by_lower.get(name.lower(), name): value for name, value in raw.items()}
    return {name: _value(raw.get(name), kind, default, f"{path}.{name}") for name, (kind, default) in schema.items()}


def _value(value: Any, kind: Any, default: Any, path: str) -> Any:
    if value is None:
        return _object({}, kind, path) if isinstance(kind, dict) and default is not None else default
    if kind == "any":
        return value
    if isinstance(kind, dict):
        return _object(_expect(value, dict, path, "api." + path.rpartition(".")[2]), kind, path)
    if isinstance(kind, Named):
        named = _expect(value, dict, path, "map")
        return {
            name: _object(_expect(one, dict, path, "object"), kind.schema, path) for name, one in named.items()
        } or None
    if isinstance(kind, list):
        items = _expect(value, list, path, "[]*api." + path.rpartition(".")[2].removesuffix("s"))
        return [_object(_expect(item, dict, path, "object"), kind[0], path) for item in items] or None
    if kind == "strings":
        return [_expect(item, str, path, "string") for item in _expect(value, list, path, "[]string")] or None
    if kind == "map":
        return {
            key: _expect(item, str, path, "string")
            for key, item in _expect(value, dict, path, "map[string]string").items()
        } or None
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return _expect(value, kind, path, {str: "string", int: "int", bool: "bool", float: "float64"}[kind])


def _expect(value: Any, kind: type, path: str, name: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(value, path, name)
    return value


def _wrong(value: Any, path: str, name: str) -> WrongType:
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return WrongType(
        f"json: cannot unmarshal {kinds.get(type(value), 'value')} into Go struct field {path} of type {name}"
    )
