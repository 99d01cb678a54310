"""A number enters; a random cluster and the jobs that come to it leave, the same for the same number.

Used for properties of the scheduler and, with a real Nomad's recorded answers to the same, for its agreement with Nomad.
"""

from __future__ import annotations

import random
from typing import Any

Raw = dict[str, Any]

_MODELS = [("nvidia", "gpu", "a100"), ("nvidia", "gpu", "t4"), ("intel", "fpga", "f1")]
_MODELS_ASKED = ["nvidia/gpu/a100", "nvidia/gpu/t4", "intel/fpga/f1"]
_ASKED_DEVICES = ["gpu", "nvidia/gpu", "nvidia/gpu/a100", "nvidia/gpu/t4", "intel/fpga"]
_CONSTRAINTS = [
    ("${meta.rack}", "=", "r1"),
    ("${meta.rack}", "!=", "r2"),
    ("${meta.size}", ">=", "10"),
    ("${meta.size}", "<", "100"),
    ("${meta.rack}", "regexp", "^r[12]$"),
    ("${meta.release}", "version", ">= 1.2, < 2"),
    ("${meta.release}", "semver", ">= 1.2.0"),
    ("${meta.tags}", "set_contains", "ssd,fast"),
    ("${meta.tags}", "set_contains_any", "ssd,old"),
    ("${meta.rack}", "is_set", ""),
    ("${meta.release}", "is_not_set", ""),
    ("${node.class}", "=", "big"),
    ("${node.unique.name}", "regexp", "[0-4]$"),
    ("", "distinct_hosts", "true"),
    ("${meta.rack}", "distinct_property", "2"),
]
_AFFINITIES = [("${meta.rack}", "=", "r1", 50), ("${node.class}", "=", "big", -30), ("${meta.size}", ">=", "10", 100)]
_SPREADS = [
    {"Attribute": "${meta.rack}", "Weight": 50},
    {"Attribute": "${node.datacenter}", "Weight": 100},
    {
        "Attribute": "${meta.rack}",
        "Weight": 70,
        "SpreadTarget": [{"Value": "r1", "Percent": 60}, {"Value": "r2", "Percent": 40}],
    },
]
_LIFECYCLES = [None, None, {"Hook": "prestart", "Sidecar": False}, {"Hook": "prestart", "Sidecar": True}]
_LIFECYCLES += [{"Hook": "poststop", "Sidecar": False}]


def cluster(seed: int) -> list[Raw]:
    """Nodes as the embedded region's configuration declares them; datacenters are of this world only."""
    chance = random.Random(seed)
    nodes = []
    for number in range(chance.randrange(1, 8)):
        meta = {"rack": chance.choice(["r1", "r2", "r3"]), "size": chance.choice(["9", "64", "128"])}
        meta |= {"tags": chance.choice(["ssd,fast", "ssd", "old"])}
        if chance.random() < 0.6:
            meta["release"] = chance.choice(["1.1.0", "1.4.2", "2.0.0", "1.5.0-beta"])
        nodes.append(
            {
                "name": f"w{seed}-{number}",
                "datacenter": f"w{seed}-{chance.choice('ab')}",
                "cpu_mhz": chance.randrange(500, 4000, 100),
                "memory_mb": chance.randrange(256, 4096, 128),
                "drivers": chance.choice(
                    [["raw_exec"], ["raw_exec", "docker"], ["raw_exec", "mock_driver"], ["docker"]]
                ),
                "node_class": chance.choice(["", "big", "small"]),
                "meta": meta,
                "devices": [
                    {"vendor": vendor, "type": kind, "name": model, "count": chance.randrange(1, 4)}
                    for vendor, kind, model in _MODELS
                    if chance.random() < 0.35
                ],
                "host_volumes": {"data": "/srv"} if chance.random() < 0.5 else {},
            }
        )
    return nodes


def jobs(seed: int, *, names_models: bool = False) -> list[Raw]:
    """Batch jobs of one group each, as a client sends them, in the order in which they come.

    `names_models`: devices are asked for by their model: where there are two that will do, a real Nomad takes any.
    """
    chance = random.Random(-seed - 1)
    made = [_job(chance, seed, number) for number in range(chance.randrange(1, 5))]
    for task in (
        [task for job in made for group in job["TaskGroups"] for task in group["Tasks"]] if names_models else ()
    ):
        for device in task["Resources"].get("Devices", ()):
            device["Name"] = _MODELS_ASKED[_ASKED_DEVICES.index(device["Name"]) % len(_MODELS_ASKED)]
    return made


def _job(chance: random.Random, seed: int, number: int) -> Raw:
    tasks = [_task(chance, "main", None)]
    tasks += [_task(chance, f"t{at}", chance.choice(_LIFECYCLES)) for at in range(chance.randrange(3))]
    group: Raw = {"Name": "g", "Count": chance.randrange(1, 12), "Tasks": tasks}
    group["EphemeralDisk"] = {"SizeMB": chance.choice([110, 300, 20_000])}
    group["Constraints"] = _constraints(chance, 0.35)
    if chance.random() < 0.15:
        group["Volumes"] = {"v": {"Name": "v", "Type": "host", "Source": "data"}}
    if chance.random() < 0.15:
        group["Networks"] = [{"ReservedPorts": [{"Label": "p", "Value": 9000 + chance.randrange(2)}]}]
    if chance.random() < 0.3:
        left, operand, right, weight = chance.choice(_AFFINITIES)
        group["Affinities"] = [{"LTarget": left, "Operand": operand, "RTarget": right, "Weight": weight}]
    if chance.random() < 0.3:
        group["Spreads"] = [chance.choice(_SPREADS)]
    return {
        "ID": f"w{seed}-{number}",
        "Type": "batch",
        "Priority": chance.choice([30, 50, 50, 70]),
        "Datacenters": chance.choice([[f"w{seed}-a"], [f"w{seed}-b"], [f"w{seed}-*"], [f"w{seed}-a", f"w{seed}-b"]]),
        "Constraints": _constraints(chance, 0.25),
        "TaskGroups": [group],
    }


def _constraints(chance: random.Random, often: float) -> list[Raw]:
    found = chance.sample(_CONSTRAINTS, chance.randrange(1, 3)) if chance.random() < often else []
    return [{"LTarget": left, "Operand": operand, "RTarget": right} for left, operand, right in found]


def _task(chance: random.Random, name: str, lifecycle: Raw | None) -> Raw:
    resources: Raw = {"CPU": chance.randrange(50, 1200, 50), "MemoryMB": chance.randrange(32, 1024, 32)}
    if chance.random() < 0.2:
        resources["Devices"] = [{"Name": chance.choice(_ASKED_DEVICES), "Count": chance.choice([1, 1, 2])}]
    return {
        "Name": name,
        "Driver": "raw_exec",
        "Config": {"command": "/bin/true"},
        "Resources": resources,
        "Lifecycle": lifecycle,
        "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 10},
    }
