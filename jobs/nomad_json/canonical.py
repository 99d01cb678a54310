"""Completes a job as Nomad's servers keep it: every field is there, with its default.

The language's own tables say which fields there are and of which types. Unknown fields are dropped silently, as Nomad
does. A value of the wrong type raises WrongType with Nomad's sentence.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jobs.hcl.schema import BlockType, Field
from jobs.hcl.schema_job import BLOCK_TYPES
from jobs.hcl.versions import version_key

Record = dict[str, Any]
SECOND = 1_000_000_000
_DAY = 24 * 3600 * SECOND

_DEFAULTS: dict[str, Record] = {
    "job": {"Namespace": "default", "NodePool": "default", "Priority": 50, "Type": "service"},
    "group": {"Consul": {}, "Count": 1, "EphemeralDisk": {}, "ReschedulePolicy": {}, "RestartPolicy": {}},
    "task": {"KillTimeout": 5 * SECOND, "LogConfig": {}, "Resources": {}},
    "affinity": {"Weight": 50},
    "spread": {"Weight": 50},
    "port": {"HostNetwork": "default"},
    "parameterized": {"Payload": "optional"},
    "restart": {"Attempts": 3, "Delay": 15 * SECOND, "Interval": _DAY, "Mode": "fail"},
    "reschedule": {"Attempts": 1, "Delay": 5 * SECOND, "DelayFunction": "constant", "Interval": _DAY},
    "ephemeral_disk": {"SizeMB": 300},
    "resources": {"CPU": 100, "MemoryMB": 300},
    "device": {"Count": 1},
    "logs": {"MaxFileSizeMB": 10, "MaxFiles": 10},
    "artifact": {"GetterMode": "any", "RelativeDest": "local/"},
    "template": {
        "ChangeMode": "restart",
        "LeftDelim": "{{",
        "Perms": "0644",
        "RightDelim": "}}",
        "Splay": 5 * SECOND,
    },
    "volume_mount": {"PropagationMode": "private"},
}
"""Defaults that a server fills in where they differ from the type's zero. {} stands for a block of defaults."""
_STAYS_NULL = {
    "group": {"MaxClientDisconnect", "ShutdownDelay", "StopAfterClientDisconnect"},
    "template": {"Gid", "Uid"},
}
_NOT_KEPT = {
    "job": {"Migrate", "Reschedule", "Tasks", "Vault"},
    "group": {"Vault"},
    "network": {"Hostname"},
    "logs": {"Enabled"},
}
"""Fields of the API that servers don't return."""
_INDEXES = ("CreateIndex", "JobModifyIndex", "ModifyIndex", "SubmitTime", "Version")
SERVER_FIELDS = (*_INDEXES, "Stable", "Status", "StatusDescription")
"""Fields of a job that only servers set."""
_SERVER_ZERO: Record = {
    **dict.fromkeys(_INDEXES, 0),
    **dict.fromkeys(("Dispatched", "Stable", "Stop"), False),
    **dict.fromkeys(("ConsulNamespace", "DispatchIdempotencyToken", "NomadTokenID", "ParentID"), ""),
    **dict.fromkeys(("Status", "StatusDescription", "VaultNamespace"), ""),
}
"""Fields that no jobspec sets; the others are null."""
_ZERO: dict[str, Any] = {"string": "", "label": "", "bool": False, "duration": 0}
_ZERO |= dict.fromkeys(("int64", "int8", "uint8", "uint16", "uint32", "uint64"), 0)
_GO_TYPES = {"label": "string", "int64": "int", "duration": "time.Duration"}
NO_UPDATE = {
    "AutoPromote": False,
    "AutoRevert": False,
    "Canary": 0,
    "HealthCheck": "",
    "HealthyDeadline": 0,
    "MaxParallel": 0,
    "MinHealthyTime": 0,
    "ProgressDeadline": 0,
    "Stagger": 0,
}


_NEWEST = "999"


class WrongType(ValueError):
    """A field has a type that Nomad doesn't accept. The message is Nomad's."""


def canonical_job(raw: Any, region: str, version: str = _NEWEST) -> Record:
    """Completes the job as a server of that version keeps it. Raises WrongType.

    Fields that came after 1.6.3 are included where the job sets them and the version knows them.
    """
    if not isinstance(raw, dict):
        raise _wrong(raw, "Job", "api.Job")
    job = _Canonical(version_key(version)).block(raw, BLOCK_TYPES["job"], "Job.Job")
    job["Name"] = job["Name"] or job["ID"]
    job["Namespace"] = job["Namespace"] or "default"
    job["NodePool"] = job["NodePool"] or "default"
    job["Region"] = job["Region"] if job["Region"] not in ("", "global") else region
    job["Datacenters"] = job["Datacenters"] or ["*"]
    job["Priority"] = job["Priority"] or 50
    job["Update"] = NO_UPDATE
    if job["ParameterizedJob"] is not None:
        job["ParameterizedJob"]["Payload"] = job["ParameterizedJob"]["Payload"] or "optional"
    job |= dict.fromkeys(_INDEXES, 0)
    job.update(Status="", StatusDescription="", Stable=False, Dispatched=False, ParentID="", Payload=None)
    job["DispatchIdempotencyToken"] = ""
    for group in job["TaskGroups"] or ():
        for task in group["Tasks"] or ():
            task["RestartPolicy"] = task["RestartPolicy"] or dict(group["RestartPolicy"])
            resources = task["Resources"]
            if resources["Cores"] and resources["CPU"] == 100:
                resources["CPU"] = 0
            for mount in task["VolumeMounts"] or ():
                mount["PropagationMode"] = mount["PropagationMode"] or "private"
    return job


@cache
def _kept(kind: BlockType) -> dict[str, tuple[Field, Any]]:
    """Returns what a server keeps of a kind of block: API name → field and default."""
    defaults, null = _DEFAULTS.get(kind.name, {}), _STAYS_NULL.get(kind.name, ())
    kept = {}
    for field in sorted(kind.fields):
        if field.api in _NOT_KEPT.get(kind.name, ()):
            continue
        zero = _SERVER_ZERO.get(field.api) if field.kind.how == "server" else _ZERO.get(field.kind.how)
        kept[field.api] = (field, defaults.get(field.api, None if field.api in null else zero))
    return kept


class _Canonical:
    def __init__(self, version: tuple[int, ...]) -> None:
        self._version = version

    def block(self, raw: Record, kind: BlockType, path: str) -> Record:
        kept = _kept(kind)
        if not all(name in kept for name in raw):
            by_lower = {name.lower(): name for name in kept}
            raw = {by_lower.get(name.lower(), name): value for name, value in raw.items()}
        return {
            name: self._value(raw.get(name), field, default, f"{path}.{name}")
            for name, (field, default) in kept.items()
            if not (field.omit_absent and field.since) or self._is_given(field, raw)
        }

    def _is_given(self, field: Field, raw: Record) -> bool:
        return raw.get(field.api) is not None and version_key(field.since) <= self._version

    def _value(self, value: Any, field: Field, default: Any, path: str) -> Any:
        how, name = field.kind.how, path.rpartition(".")[2]
        if value is None:
            return self.block({}, BLOCK_TYPES[field.block], path) if default == {} else default
        if how == "one":
            return self.block(_expect(value, dict, path, "api." + name), BLOCK_TYPES[field.block], path)
        if how == "many":
            items = _expect(value, list, path, "[]*api." + name.removesuffix("s"))
            return [
                self.block(_expect(one, dict, path, "object"), BLOCK_TYPES[field.block], path) for one in items
            ] or None
        if how == "by_label":
            blocks, kind = _expect(value, dict, path, "map").items(), BLOCK_TYPES[field.block]
            return {label: self.block(_expect(one, dict, path, "object"), kind, path) for label, one in blocks} or None
        if how == "strings":
            return [_expect(item, str, path, "string") for item in _expect(value, list, path, "[]string")] or None
        if how.startswith("text_map"):
            texts = _expect(value, dict, path, "map[string]string").items()
            return {key: _expect(item, str, path, "string") for key, item in texts} or None
        zero = default if how == "server" else _ZERO.get(how)
        if zero is None:
            return value  # defined by the driver or a plugin
        if type(zero) is int and isinstance(value, float) and value.is_integer():
            return int(value)
        go_type = {str: "string", bool: "bool", int: "int"}[type(zero)]
        return _expect(value, type(zero), path, _GO_TYPES.get(how, go_type if how == "server" else how))


def _expect(value: Any, kind: type, path: str, name: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(value, path, name)
    return value


def _wrong(value: Any, path: str, name: str) -> WrongType:
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return WrongType(
        f"json: cannot unmarshal {kinds.get(type(value), 'value')} into Go struct field {path} of type {name}"
    )
