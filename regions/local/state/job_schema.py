"""Nomad's job, as data: each object's fields with their types and default values, in the shape that servers answer.

A field is `(type, default)`. Types: str, int, float, bool, "any" (taken as it is), "strings" (list of strings),
"map" (string to string), `[SCHEMA]` a list of objects, `{SCHEMA}`-like `Named(SCHEMA)` a map of objects, SCHEMA an object.
"""

from __future__ import annotations

from typing import Any


class Named:
    """A map from names to objects of one schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema


SECOND = 1_000_000_000
DAY = 24 * 3600 * SECOND

CONSTRAINT = {"LTarget": (str, ""), "Operand": (str, ""), "RTarget": (str, "")}
AFFINITY = {**CONSTRAINT, "Weight": (int, 50)}
SPREAD_TARGET = {"Percent": (int, 0), "Value": (str, "")}
SPREAD = {"Attribute": (str, ""), "SpreadTarget": ([SPREAD_TARGET], None), "Weight": (int, 50)}
PORT = {"HostNetwork": (str, "default"), "Label": (str, ""), "To": (int, 0), "Value": (int, 0)}
NETWORK = {
    "CIDR": (str, ""),
    "DNS": ("any", None),
    "Device": (str, ""),
    "DynamicPorts": ([PORT], None),
    "IP": (str, ""),
    "MBits": (int, 0),
    "Mode": (str, ""),
    "ReservedPorts": ([PORT], None),
}
RESTART = {
    "Attempts": (int, 3),
    "Delay": (int, 15 * SECOND),
    "Interval": (int, DAY),
    "Mode": (str, "fail"),
    "RenderTemplates": (bool, False),
}
RESCHEDULE = {
    "Attempts": (int, 1),
    "Delay": (int, 5 * SECOND),
    "DelayFunction": (str, "constant"),
    "Interval": (int, DAY),
    "MaxDelay": (int, 0),
    "Unlimited": (bool, False),
}
DISK = {"Migrate": (bool, False), "SizeMB": (int, 300), "Sticky": (bool, False)}
DEVICE = {"Affinities": ([AFFINITY], None), "Constraints": ([CONSTRAINT], None), "Count": (int, 1), "Name": (str, "")}
RESOURCES = {
    "CPU": (int, 100),
    "Cores": (int, 0),
    "Devices": ([DEVICE], None),
    "DiskMB": (int, 0),
    "IOPS": (int, 0),
    "MemoryMB": (int, 300),
    "MemoryMaxMB": (int, 0),
    "Networks": ("any", None),
}
LOGS = {"Disabled": (bool, False), "MaxFileSizeMB": (int, 10), "MaxFiles": (int, 10)}
ARTIFACT = {
    "GetterHeaders": ("map", None),
    "GetterMode": (str, "any"),
    "GetterOptions": ("map", None),
    "GetterSource": (str, ""),
    "RelativeDest": (str, "local/"),
}
TEMPLATE = {
    "ChangeMode": (str, "restart"),
    "ChangeScript": ("any", None),
    "ChangeSignal": (str, ""),
    "DestPath": (str, ""),
    "EmbeddedTmpl": (str, ""),
    "Envvars": (bool, False),
    "ErrMissingKey": (bool, False),
    "Gid": ("any", None),
    "LeftDelim": (str, "{{"),
    "Perms": (str, "0644"),
    "RightDelim": (str, "}}"),
    "SourcePath": (str, ""),
    "Splay": (int, 5 * SECOND),
    "Uid": ("any", None),
    "VaultGrace": (int, 0),
    "Wait": ("any", None),
}
MOUNT = {
    "Destination": (str, ""),
    "PropagationMode": (str, "private"),
    "ReadOnly": (bool, False),
    "Volume": (str, ""),
}
VOLUME = {
    "AccessMode": (str, ""),
    "AttachmentMode": (str, ""),
    "MountOptions": ("any", None),
    "Name": (str, ""),
    "PerAlloc": (bool, False),
    "ReadOnly": (bool, False),
    "Source": (str, ""),
    "Type": (str, ""),
}
TASK: dict[str, Any] = {
    "Affinities": ([AFFINITY], None),
    "Artifacts": ([ARTIFACT], None),
    "CSIPluginConfig": ("any", None),
    "Config": ("any", None),
    "Constraints": ([CONSTRAINT], None),
    "DispatchPayload": ({"File": (str, "")}, None),
    "Driver": (str, ""),
    "Env": ("map", None),
    "Identity": ("any", None),
    "KillSignal": (str, ""),
    "KillTimeout": (int, 5 * SECOND),
    "Kind": (str, ""),
    "Leader": (bool, False),
    "Lifecycle": ({"Hook": (str, ""), "Sidecar": (bool, False)}, None),
    "LogConfig": (LOGS, {}),
    "Meta": ("map", None),
    "Name": (str, ""),
    "Resources": (RESOURCES, {}),
    "RestartPolicy": (RESTART, None),
    "ScalingPolicies": ("any", None),
    "Services": ("any", None),
    "ShutdownDelay": (int, 0),
    "Templates": ([TEMPLATE], None),
    "User": (str, ""),
    "Vault": ("any", None),
    "VolumeMounts": ([MOUNT], None),
}
GROUP: dict[str, Any] = {
    "Affinities": ([AFFINITY], None),
    "Constraints": ([CONSTRAINT], None),
    "Consul": ({"Namespace": (str, "")}, {}),
    "Count": (int, 1),
    "EphemeralDisk": (DISK, {}),
    "MaxClientDisconnect": ("any", None),
    "Meta": ("map", None),
    "Migrate": ("any", None),
    "Name": (str, ""),
    "Networks": ([NETWORK], None),
    "ReschedulePolicy": (RESCHEDULE, {}),
    "RestartPolicy": (RESTART, {}),
    "Scaling": ("any", None),
    "Services": ("any", None),
    "ShutdownDelay": ("any", None),
    "Spreads": ([SPREAD], None),
    "StopAfterClientDisconnect": ("any", None),
    "Tasks": ([TASK], None),
    "Update": ("any", None),
    "Volumes": (Named(VOLUME), None),
}
PARAMETERIZED = {"MetaOptional": ("strings", None), "MetaRequired": ("strings", None), "Payload": (str, "optional")}
NO_RESCHEDULE = {
    "Attempts": 0,
    "Delay": 0,
    "DelayFunction": "",
    "Interval": 0,
    "MaxDelay": 0,
    "Unlimited": False,
}
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
JOB = {
    "Affinities": ([AFFINITY], None),
    "AllAtOnce": (bool, False),
    "Constraints": ([CONSTRAINT], None),
    "ConsulNamespace": (str, ""),
    "ConsulToken": (str, ""),
    "CreateIndex": (int, 0),
    "Datacenters": ("strings", None),
    "DispatchIdempotencyToken": (str, ""),
    "Dispatched": (bool, False),
    "ID": (str, ""),
    "JobModifyIndex": (int, 0),
    "Meta": ("map", None),
    "ModifyIndex": (int, 0),
    "Multiregion": ("any", None),
    "Name": (str, ""),
    "Namespace": (str, "default"),
    "NodePool": (str, "default"),
    "NomadTokenID": (str, ""),
    "ParameterizedJob": (PARAMETERIZED, None),
    "ParentID": (str, ""),
    "Payload": ("any", None),
    "Periodic": ("any", None),
    "Priority": (int, 50),
    "Region": (str, ""),
    "Spreads": ([SPREAD], None),
    "Stable": (bool, False),
    "Status": (str, ""),
    "StatusDescription": (str, ""),
    "Stop": (bool, False),
    "SubmitTime": (int, 0),
    "TaskGroups": ([GROUP], None),
    "Type": (str, "service"),
    "Update": ("any", None),
    "VaultNamespace": (str, ""),
    "VaultToken": (str, ""),
    "Version": (int, 0),
}
