"""Builds Nomad's shapes of resources and devices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from regions.local.state.snapshot import Record


def device_groups(declared: Iterable[Record], node: str) -> list[Record] | None:
    """Builds NodeResources' Devices from a list of {vendor, type, name, count, attributes}."""
    groups = []
    for one in declared:
        attributes = {str(name): _attribute(value) for name, value in (one.get("attributes") or {}).items()}
        model = f"{one['vendor']}/{one['type']}/{one['name']}"
        instances = [
            {"HealthDescription": "", "Healthy": True, "ID": f"{node}-{model}-{number}", "Locality": None}
            for number in range(int(one.get("count", 1)))
        ]
        named = {"Vendor": str(one["vendor"]), "Type": str(one["type"]), "Name": str(one["name"])}
        groups.append({"Attributes": attributes, "Instances": instances, **named})
    return groups or None


def _attribute(value: Any) -> Record:
    made: Record = {"Bool": None, "Float": None, "Int": None, "String": None, "Unit": ""}
    match = re.fullmatch(r"(\d+) ?([kMGT]?i?B|MHz|GHz|W)", str(value))
    if match:
        return made | {"Int": int(match[1]), "Unit": match[2]}
    kinds = {bool: "Bool", int: "Int", float: "Float"}
    return made | {kinds.get(type(value), "String"): value if type(value) in kinds else str(value)}


def legacy_resources(cpu: int = 0, memory_mb: int = 0, disk_mb: int = 0) -> Record:
    """Builds Nomad's older shape of resources, which nodes and allocations still show."""
    return {
        "CPU": cpu,
        "Cores": 0,
        "Devices": None,
        "DiskMB": disk_mb,
        "IOPS": 0,
        "MemoryMB": memory_mb,
        "MemoryMaxMB": 0,
        "Networks": None,
    }
