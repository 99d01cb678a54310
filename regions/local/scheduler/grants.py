"""Grants devices, cores and ports of a node to a group's tasks. Pure.

Returns the name under which Nomad counts the node as exhausted where something is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from regions.local.scheduler.constraints import satisfied_by
from regions.local.state.snapshot import Record

Held = tuple[str, str]
"""("core", number), ("port", number) or ("device", instance)"""
_FIRST_DYNAMIC, _LAST_DYNAMIC = 20000, 32000
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def asks_for_more(group: Record) -> bool:
    """Returns whether the group needs more of a node than CPU, memory and disk."""
    return bool(group["Networks"]) or any(
        task["Resources"]["Devices"] or task["Resources"]["Cores"] for task in group["Tasks"]
    )


def held_by(alloc: Record) -> Iterator[Held]:
    """Yields what an allocation holds exclusively while it lives."""
    resources = alloc["AllocatedResources"]
    for task in resources["Tasks"].values():
        for core in task["Cpu"]["ReservedCores"] or ():
            yield "core", str(core)
        for device in task["Devices"] or ():
            for instance in device["DeviceIDs"]:
                yield "device", instance
    for port in resources["Shared"]["Ports"] or ():
        yield "port", str(port["Value"])


def shares_per_core(node: Record) -> int:
    """Returns the MHz of one reserved core."""
    cpu = node["NodeResources"]["Cpu"]
    return int(cpu["CpuShares"] // cpu["TotalCpuCores"])


def grant(group: Record, node: Record, taken: set[Held], seed: int) -> Record | str:
    """Returns {Tasks: {name: {Cores, Devices}}, Networks, Ports, Score}, or what is exhausted. `seed` selects ports."""
    taken = set(taken)
    granted: Record = {"Tasks": {}, "Networks": None, "Ports": None, "Score": None}
    if group["Networks"]:
        network = _ports(group["Networks"][0], node, taken, seed)
        if isinstance(network, str):
            return network
        granted |= network
    matched = 0.0
    for task in group["Tasks"]:
        resources = task["Resources"]
        devices = _devices(resources["Devices"] or (), node, taken)
        if isinstance(devices, str):
            return devices
        cores = _cores(resources["Cores"], node, taken)
        if cores is None:
            return "cores"
        offers, score = devices
        matched += score
        granted["Tasks"][task["Name"]] = {"Cores": cores or None, "Devices": offers or None}
    asks = (ask for task in group["Tasks"] for ask in task["Resources"]["Devices"] or ())
    weights = sum(abs(affinity["Weight"]) for ask in asks for affinity in ask["Affinities"] or ())
    if weights:
        granted["Score"] = matched / weights
    return granted


def _devices(asks: Iterable[Record], node: Record, taken: set[Held]) -> tuple[list[Record], float] | str:
    """Takes devices for one task. Returns (devices, their affinity score), or what is exhausted."""
    offers, matched = [], 0.0
    for ask in asks:
        device = _best_device(ask, node, taken)
        if device is None:
            why = "no devices match request" if node["NodeResources"]["Devices"] else "no devices available"
            return f"devices: {why}"
        offer, score = device
        taken |= {("device", instance) for instance in offer["DeviceIDs"]}
        offers.append(offer)
        matched += score
    return offers, matched


def _cores(wanted: int, node: Record, taken: set[Held]) -> list[int] | None:
    """Takes cores for one task. Returns None where there are too few."""
    cores = node["NodeResources"]["Cpu"]["ReservableCpuCores"] or ()
    free = [core for core in cores if ("core", str(core)) not in taken]
    if len(free) < wanted:
        return None
    taken |= {("core", str(core)) for core in free[:wanted]}
    return free[:wanted]


def apply(resources: Record, granted: Record, node: Record) -> Record:
    """Returns the allocation's AllocatedResources with what it was granted."""
    tasks = {}
    for name, task in resources["Tasks"].items():
        mine = granted["Tasks"][name]
        cpu = task["Cpu"]
        if mine["Cores"]:
            cpu = {"CpuShares": shares_per_core(node) * len(mine["Cores"]), "ReservedCores": mine["Cores"]}
        tasks[name] = {**task, "Cpu": cpu, "Devices": mine["Devices"]}
    shared = {**resources["Shared"], "Networks": granted["Networks"], "Ports": granted["Ports"]}
    return {**resources, "Shared": shared, "Tasks": tasks}


def has_devices(group: Record, node: Record) -> bool:
    """Returns whether the empty node would have all devices that the group asks for."""
    left = {id(device): len(device["Instances"]) for device in node["NodeResources"]["Devices"] or ()}
    for task in group["Tasks"]:
        for ask in task["Resources"]["Devices"] or ():
            for device in node["NodeResources"]["Devices"] or ():
                if left[id(device)] >= ask["Count"] and _is_wanted(ask, device):
                    left[id(device)] -= ask["Count"]
                    break
            else:
                return False
    return True


def missing_network(group: Record) -> str | None:
    """Returns what no node here has of the group's network: nodes have only their own address."""
    for network in (group["Networks"] or ())[:1]:
        if network["Mode"] not in ("", "host", "none"):
            return "missing network"
        for port in (*(network["ReservedPorts"] or ()), *(network["DynamicPorts"] or ())):
            if port["HostNetwork"] not in ("", "default"):
                return f'missing host network "{port["HostNetwork"]}" for port "{port["Label"]}"'
    return None


def _ports(ask: Record, node: Record, taken: set[Held], seed: int) -> Record | str:
    address = node["Attributes"]["unique.network.ip-address"]
    ports: list[Record] = []
    for port in ask["ReservedPorts"] or ():
        if ("port", str(port["Value"])) in taken:
            return f"network: reserved port collision {port['Label']}={port['Value']}"
        ports.append(port)
        taken.add(("port", str(port["Value"])))
    dynamic = []
    for number, port in enumerate(ask["DynamicPorts"] or ()):
        width = _LAST_DYNAMIC - _FIRST_DYNAMIC + 1
        tried = (_FIRST_DYNAMIC + (seed + number * 7919 + step) % width for step in range(width))
        value = next((one for one in tried if ("port", str(one)) not in taken), None)
        if value is None:
            return "network: dynamic port selection failed"
        taken.add(("port", str(value)))
        dynamic.append({**port, "Value": value, "To": value if port["To"] == -1 else port["To"]})
    given = [
        {"HostIP": address, "Label": port["Label"], "To": port["To"], "Value": port["Value"]}
        for port in (*ports, *dynamic)
    ]
    network = {**ask, "DynamicPorts": dynamic or None, "IP": address}
    return {"Networks": [network], "Ports": given or None}


def _best_device(ask: Record, node: Record, taken: set[Held]) -> tuple[Record, float] | None:
    best: tuple[Record, float] | None = None
    for device in node["NodeResources"]["Devices"] or ():
        free = [
            instance["ID"]
            for instance in device["Instances"]
            if instance["Healthy"] and ("device", instance["ID"]) not in taken
        ]
        if len(free) < ask["Count"] or not _is_wanted(ask, device):
            continue
        score = float(sum(affinity["Weight"] for affinity in ask["Affinities"] or () if _holds(affinity, device)))
        if best is None or score > best[1]:
            named = {name: device[name] for name in ("Name", "Type", "Vendor")}
            best = {**named, "DeviceIDs": free[: ask["Count"]]}, score
    return best


def _is_wanted(ask: Record, device: Record) -> bool:
    """Returns whether a device matches by name (`type`, `vendor/type` or `vendor/type/model`) and constraints."""
    names = ask["Name"].split("/", 2)
    have = [device["Type"]] if len(names) == 1 else [device["Vendor"], device["Type"], device["Name"]][: len(names)]
    return names == have and all(_holds(constraint, device) for constraint in ask["Constraints"] or ())


def _holds(constraint: Record, device: Record) -> bool:
    left, right = (_target(constraint[side], device) for side in ("LTarget", "RTarget"))
    if left is not None and right is not None:
        sizes = _quantity(left), _quantity(right)
        if sizes[0] is not None and sizes[1] is not None:
            left, right = str(sizes[0]), str(sizes[1])
    return satisfied_by(constraint["Operand"], left, right)


def _target(text: str, device: Record) -> str | None:
    if not text.startswith("${"):
        return text
    name = text[2:].rstrip("}")
    plain: dict[str, Any] = {"model": device["Name"], "vendor": device["Vendor"], "type": device["Type"]}
    plain["ids"] = ",".join(instance["ID"] for instance in device["Instances"])
    if name.startswith("device.attr."):
        return _text(device["Attributes"].get(name.removeprefix("device.attr.")))
    found: str | None = plain.get(name.removeprefix("device."))
    return found


def _text(attribute: Record | None) -> str | None:
    if attribute is None:
        return None
    value = next(value for name, value in attribute.items() if name != "Unit" and value is not None)
    return f"{str(value).lower() if isinstance(value, bool) else value} {attribute['Unit']}".rstrip()


def _quantity(text: str) -> int | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]?i?B)", text)
    return int(float(match[1]) * _BYTES[match[2]]) if match and match[2] in _BYTES else None
