"""Completes a job as Nomad's servers keep it: every field is there, with its default.

The language's own tables say which fields there are and of which types. Unknown fields are dropped silently, as Nomad
does. A value of the wrong type raises WrongType with Nomad's sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jobs.hcl.schema import BlockType, Field
from jobs.hcl.schema_job import BLOCK_TYPES
from jobs.hcl.versions import version_key
from jobs.nomad_json.implied import add_implied
from jobs.nomad_json.inherited import SECOND, Record, inherit, settle

_DEFAULTS: dict[str, Record] = {
    "job": {"Namespace": "default", "NodePool": "default", "Priority": 50, "Type": "service"},
    "group": {"Count": 1, "EphemeralDisk": {}},
    "task": {"KillTimeout": 5 * SECOND, "LogConfig": {}, "Resources": {}},
    "affinity": {"Weight": 50},
    "spread": {"Weight": 50},
    "port": {"HostNetwork": "default"},
    "parameterized": {"Payload": "optional"},
    "periodic": {"Enabled": True, "SpecType": "cron", "TimeZone": "UTC"},
    "multiregion_region": {"Count": 1},
    "ephemeral_disk": {"SizeMB": 300},
    "disconnect": {"Reconcile": "best_score", "Replace": True},
    "resources": {"CPU": 100, "MemoryMB": 300},
    "numa": {"Affinity": "none"},
    "device": {"Count": 1},
    "logs": {"MaxFileSizeMB": 10, "MaxFiles": 10},
    "artifact": {"GetterMode": "any"},
    "template": {
        "ChangeMode": "restart",
        "LeftDelim": "{{",
        "Perms": "0644",
        "RightDelim": "}}",
        "Splay": 5 * SECOND,
    },
    "change_script": {"Timeout": 5 * SECOND},
    "vault": {"ChangeMode": "restart", "ChangeSignal": "SIGHUP", "Cluster": "default", "Env": True},
    "consul": {"Cluster": "default"},
    "volume_mount": {"PropagationMode": "private"},
    "csi_plugin": {"HealthTimeout": 30 * SECOND, "MountDir": "/csi", "StagePublishBaseDir": "/local/csi"},
    "scaling": {"Enabled": True, "Type": "horizontal"},
    "task_scaling": {"Enabled": True, "Max": -1},
    "service": {"AddressMode": "auto", "Cluster": "default", "OnUpdate": "require_healthy", "Provider": "consul"},
    "weights": {"Passing": 1, "Warning": 1},
    "check_restart": {"Grace": SECOND},
    "sidecar_task": {"KillTimeout": 5 * SECOND, "LogConfig": {}, "Resources": {}},
    "gateway_proxy": {"ConnectTimeout": 5 * SECOND},
    "ingress_listener": {"Protocol": "tcp"},
    "upstream": {"MeshGateway": {}},
}
"""Defaults that a server fills in where they differ from the type's zero. {} stands for a block of defaults."""
_STAYS_NULL = {
    "group": {
        "MaxClientDisconnect",
        "MaxRunDuration",
        "ShutdownDelay",
        "StopAfterClientDisconnect",
    },
    "disconnect": {"StopOnClientAfter"},
    "template": {"Gid", "Uid"},
    "wait": {"Max", "Min"},
    "ingress_service": {"MaxConcurrentRequests", "MaxConnections", "MaxPendingRequests"},
}
_NOT_KEPT = {
    "job": {"Migrate", "Reschedule", "Secrets", "Tasks", "Vault"},
    "group": {"Vault"},
    "logs": {"Enabled"},
    "check": {"Advertise"},
    "service": {"CheckRestart"},
    "bind_address": {"Name"},
    "sidecar_proxy": {"ExposeConfig"},
    "expose": {"Path"},
}
"""Fields of the API that servers don't return."""
_READ_AS_ZERO = {"job": {"ConsulToken", "VaultToken"}, "resources": {"DiskMB"}, "network": {"Device"}}
"""Fields whose value a server reads and drops."""
_LEFT_OUT_EMPTY = {"Hostname"}
"""Fields that a server's answer lacks where they are empty."""
_KEPT_UNTIL = {
    "group": dict.fromkeys(("MaxClientDisconnect", "PreventRescheduleOnLost", "StopAfterClientDisconnect"), "1.10.0"),
    "vault": {"Policies": "1.10.0"},
}
"""Fields whose value a server of that version and later drops."""
_INDEXES = ("CreateIndex", "JobModifyIndex", "ModifyIndex", "SubmitTime", "Version")
SERVER_FIELDS = (*_INDEXES, "Stable", "Status", "StatusDescription")
"""Fields of a job that only servers set."""
_SERVER_ZERO: Record = {
    **dict.fromkeys(_INDEXES, 0),
    **dict.fromkeys(("Dispatched", "Stable", "Stop"), False),
    **dict.fromkeys(("ConsulNamespace", "DispatchIdempotencyToken", "NomadTokenID", "ParentID"), ""),
    **dict.fromkeys(("ID", "Namespace", "Status", "StatusDescription", "VaultNamespace"), ""),
}
"""Fields that no jobspec sets; the others are null."""
_ZERO: dict[str, Any] = {"string": "", "label": "", "bool": False, "duration": 0}
_ZERO |= dict.fromkeys(("int64", "int8", "uint8", "uint16", "uint32", "uint64"), 0)
_GO_TYPES = {"label": "string", "int64": "int", "duration": "time.Duration"}

NEWEST = "999"
_ALWAYS_THERE = version_key("1.6.3")
"""Fields up to this version are in every canonical job."""


class WrongType(ValueError):
    """A field has a type that Nomad doesn't accept. The message is Nomad's."""


def canonical_job(raw: Any, region: str, version: str = NEWEST) -> Record:
    """Completes the job as a server of that version keeps it. Raises WrongType."""
    job = completed_job(raw, region, version, version)
    add_implied(job, version_key(version))
    job |= dict.fromkeys(_INDEXES, 0)
    job.update(Status="", StatusDescription="", Stable=False, Dispatched=False, ParentID="", Payload=None)
    job["DispatchIdempotencyToken"] = ""
    return job


def completed_job(raw: Any, region: str, oldest: str, newest: str, *, keeps_unknown: bool = False) -> Record:
    """Completes the job with what servers of both versions keep, and with nothing that they imply. Raises WrongType."""
    if not isinstance(raw, dict):
        raise _wrong(raw, "Job", "api.Job")
    canonical = _Canonical(version_key(oldest), version_key(newest), keeps_unknown)
    job = canonical.typed(raw, BLOCK_TYPES["job"], "Job.Job")
    inherit(job, version_key(oldest))
    job = canonical.completed(job, BLOCK_TYPES["job"])
    settle(job)
    job["Region"] = job["Region"] if job["Region"] not in ("", "global") else region
    return job


def known_version(registered: Mapping[str, Any]) -> str:
    """Returns the oldest version whose server gives these fields: those of a registered job, as it was read."""
    return max(_since(registered, BLOCK_TYPES["job"]), key=version_key, default="")


def _since(block: Mapping[str, Any], kind: BlockType) -> Iterator[str]:
    for field in kind.fields:
        if field.api in block:
            yield field.since
            for inner in inner_blocks(field, block[field.api]):
                yield from _since(inner, BLOCK_TYPES[field.block])


def inner_blocks(field: Field, value: Any) -> list[Record]:
    """Returns the blocks that the value of a field holds."""
    if not field.block or not value:
        return []
    blocks = value if isinstance(value, list) else value.values() if field.kind.how == "by_label" else [value]
    return [block for block in blocks if isinstance(block, dict)]


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
    """Reads and completes blocks. `oldest` and `newest`: the versions that must both keep a field."""

    def __init__(self, oldest: tuple[int, ...], newest: tuple[int, ...], keeps_unknown: bool = False) -> None:
        self._oldest = max(oldest, _ALWAYS_THERE) if not keeps_unknown else oldest
        self._newest = newest
        self._keeps_unknown = keeps_unknown

    def typed(self, raw: Record, kind: BlockType, path: str) -> Record:
        """Returns a block with Nomad's names and checked types. What isn't set is null."""
        fields = {field.api: field for field in kind.fields}
        if not all(name in fields for name in raw):
            by_lower = {name.lower(): name for name in fields}
            raw = {by_lower.get(name.lower(), name): value for name, value in raw.items()}
        block = {name: self._typed(raw.get(name), field, f"{path}.{name}") for name, field in fields.items()}
        return {**raw, **block} if self._keeps_unknown else block

    def _typed(self, value: Any, field: Field, path: str) -> Any:
        how, name = field.kind.how, path.rpartition(".")[2]
        if value is None:
            return None
        if how == "one":
            return self.typed(_expect(value, dict, path, "api." + name), BLOCK_TYPES[field.block], path)
        if how == "many":
            items, kind = _expect(value, list, path, "[]*api." + name.removesuffix("s")), BLOCK_TYPES[field.block]
            return [self.typed(_expect(one, dict, path, "object"), kind, path) for one in items] or None
        if how == "by_label":
            blocks, kind = _expect(value, dict, path, "map").items(), BLOCK_TYPES[field.block]
            return {label: self.typed(_expect(one, dict, path, "object"), kind, path) for label, one in blocks} or None
        if how == "strings":
            return [_expect(item, str, path, "string") for item in _expect(value, list, path, "[]string")] or None
        if how.startswith("text_map"):
            texts = _expect(value, dict, path, "map[string]string").items()
            return {key: _expect(item, str, path, "string") for key, item in texts} or None
        zero = _SERVER_ZERO.get(field.api) if how == "server" else _ZERO.get(how)
        if zero is None:
            return value  # defined by the driver or a plugin
        if type(zero) is int and isinstance(value, float) and value.is_integer():
            return int(value)
        go_type = {str: "string", bool: "bool", int: "int"}[type(zero)]
        return _expect(value, type(zero), path, _GO_TYPES.get(how, go_type if how == "server" else how))

    def completed(self, block: Record, kind: BlockType) -> Record:
        """Returns a typed block with the defaults of what isn't set, and without what the servers drop."""
        kept = _kept(kind)
        complete = {
            name: self._completed(block.get(name), field, default, kind)
            for name, (field, default) in kept.items()
            if version_key(field.since) <= self._oldest and not self._is_of_server(kind, field)
        }
        if not self._keeps_unknown:
            return {name: value for name, value in complete.items() if value or name not in _LEFT_OUT_EMPTY}
        known = {field.api for field in kind.fields}
        return complete | {name: value for name, value in block.items() if name not in known}

    def _completed(self, value: Any, field: Field, default: Any, kind: BlockType) -> Any:
        if field.api in _READ_AS_ZERO.get(kind.name, ()) or self._is_over(kind, field):
            return None if field.api in _STAYS_NULL.get(kind.name, ()) else _ZERO.get(field.kind.how)
        if value is None or (default and value == field.kind.absent):
            return self.completed({}, BLOCK_TYPES[field.block]) if default == {} else default
        if not field.block:
            return value
        inner = BLOCK_TYPES[field.block]
        if field.kind.how == "many":
            return [self.completed(one, inner) for one in value]
        if field.kind.how == "by_label":
            return {label: self.completed(one, inner) for label, one in value.items()}
        return self.completed(value, inner)

    def _is_of_server(self, kind: BlockType, field: Field) -> bool:
        return self._keeps_unknown and field.kind.how == "server" and kind.name in ("scaling", "task_scaling")

    def _is_over(self, kind: BlockType, field: Field) -> bool:
        until = _KEPT_UNTIL.get(kind.name, {}).get(field.api)
        return until is not None and version_key(until) <= self._newest


def _expect(value: Any, kind: type, path: str, name: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(value, path, name)
    return value


def _wrong(value: Any, path: str, name: str) -> WrongType:
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return WrongType(
        f"json: cannot unmarshal {kinds.get(type(value), 'value')} into Go struct field {path} of type {name}"
    )
