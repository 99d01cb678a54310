"""Builds the Node objects of declared nodes."""

from __future__ import annotations

import os
import time
from zlib import crc32

from regions.local.config import NodeConfig, RegionConfig
from regions.local.drivers import sandbox
from regions.local.nomad_version import CORE_SPEEDS, UNDATED
from regions.local.state.job_writes import new_id
from regions.local.state.resources import device_groups, legacy_resources
from regions.local.state.snapshot import Record
from regions.local.state.store import Store
from regions.local.state.times import format_time
from regions.local.state.transaction import Transaction

_DISK_MB = 1_000_000
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def declare(store: Store, config: RegionConfig, address: str) -> None:
    """Updates the stored nodes to the declared ones: new ones get an ID, known ones keep theirs, others go down."""

    def change(transaction: Transaction) -> None:
        known = {node["Name"]: node for node in store.snapshot.nodes.values()}
        for declared in config.nodes:
            old = known.pop(declared.name, None)
            node = _node(declared, config, address, old)
            if old is None or any(old.get(field) != value for field, value in node.items()):
                transaction.put_node(node)
        for gone in known.values():
            if gone["Status"] != "down":
                down = {"Status": "down", "StatusDescription": "", "StatusUpdatedAt": int(time.time())}
                transaction.put_node({**gone, **down, "SchedulingEligibility": "eligible"})

    store.commit("NodeRegistration", change)


_SIGNALS = (
    "SIGABRT,SIGALRM,SIGBUS,SIGCONT,SIGFPE,SIGHUP,SIGILL,SIGINT,SIGIO,SIGIOT,SIGKILL,SIGNULL,SIGPIPE,SIGPROF,"
    "SIGQUIT,SIGSEGV,SIGSTOP,SIGSYS,SIGTERM,SIGTRAP,SIGTSTP,SIGTTIN,SIGTTOU,SIGUSR1,SIGUSR2,SIGWINCH,SIGXCPU,SIGXFSZ"
)
"""Signals that a task may be sent: a server requires them of a node where a job names one."""


def _node(declared: NodeConfig, config: RegionConfig, address: str, old: Record | None) -> Record:
    system = os.uname()
    offered = [name for name in declared.drivers if name != "exec" or sandbox.works()]
    kernel, machine = system.sysname.lower(), system.machine
    attributes = {
        "cpu.arch": _ARCHITECTURES.get(machine, machine),
        "cpu.numcores": str(declared.cores),
        "cpu.totalcompute": str(declared.cpu_mhz),
        "kernel.arch": machine,
        "kernel.name": kernel,
        "kernel.version": system.release,
        "memory.totalbytes": str(declared.memory_mb * 1024 * 1024),
        "nomad.service_discovery": "true",
        "nomad.version": config.version,
        "os.name": kernel,
        "os.signals": _SIGNALS,
        "unique.hostname": declared.name,
        "unique.network.ip-address": "127.0.0.1",
        **_attributes_of_version(declared, config, address),
        **{f"driver.{name}": "1" for name in offered},
        **declared.attributes,
    }
    updated = old["Drivers"] if old else {}
    drivers = {
        name: {
            "Attributes": {f"driver.{name}": "true"},
            "Detected": True,
            "HealthDescription": "Healthy",
            "Healthy": True,
            "UpdateTime": updated[name]["UpdateTime"] if name in updated else format_time(time.time_ns()),
        }
        for name in offered
    }
    volumes = {
        name: {"Name": name, "Path": path, "ReadOnly": is_read_only}
        for name, (path, is_read_only) in declared.host_volumes.items()
    }
    node: Record = {
        "Attributes": attributes,
        "CSIControllerPlugins": {},
        "CSINodePlugins": {},
        "CgroupParent": "",
        "ComputedClass": _computed_class(declared, attributes),
        "Datacenter": declared.datacenter,
        "Drain": False,
        "DrainStrategy": None,
        "Drivers": drivers,
        "HTTPAddr": address,
        "HostNetworks": None,
        "HostVolumes": volumes or None,
        "ID": new_id(),
        "LastDrain": None,
        "LastMissedHeartbeatIndex": 0,
        "Links": {},
        "Meta": declared.meta,
        "Name": declared.name,
        "NodeClass": declared.node_class,
        "NodePool": declared.node_pool,
        "NodeResources": {
            "Cpu": {
                "CpuShares": declared.cpu_mhz,
                "ReservableCpuCores": list(range(declared.cores)),
                "TotalCpuCores": declared.cores,
            },
            "Devices": device_groups(declared.devices, declared.name),
            "Disk": {"DiskMB": _DISK_MB},
            "MaxDynamicPort": 32000,
            "Memory": {"MemoryMB": declared.memory_mb},
            "MinDynamicPort": 20000,
            "Networks": [_NETWORK],
            "NodeNetworks": [_NODE_NETWORK],
        },
        "Reserved": legacy_resources(),
        "ReservedResources": {
            "Cpu": {"CpuShares": 0, "ReservedCpuCores": None},
            "Disk": {"DiskMB": 0},
            "Memory": {"MemoryMB": 0},
            "Networks": {"ReservedHostPorts": ""},
        },
        "Resources": legacy_resources(declared.cpu_mhz, declared.memory_mb, _DISK_MB),
        "SchedulingEligibility": "eligible",
        "SecretID": "",
        "Status": "ready",
        "StatusDescription": "",
        "TLSEnabled": False,
    }
    if config.answers_as >= UNDATED:
        _show_as_newer(node)
    if config.answers_as >= CORE_SPEEDS:
        node["NodeResources"]["Processors"] = {"Topology": _topology(declared)}
    if old is not None:
        kept = (
            "ID",
            "CreateIndex",
            "SchedulingEligibility",
            "Drain",
            "DrainStrategy",
            "LastDrain",
            "Events",
            "StatusUpdatedAt",
        )
        node |= {field: old[field] for field in kept}
        return node
    node["StatusUpdatedAt"] = int(time.time())
    node["Events"] = [
        {
            "CreateIndex": 0,
            "Details": None,
            "Message": "Node registered",
            "Subsystem": "Cluster",
            "Timestamp": format_time(int(time.time()) * 1_000_000_000),
        }
    ]
    return node


def _attributes_of_version(declared: NodeConfig, config: RegionConfig, address: str) -> dict[str, str]:
    if config.answers_as < UNDATED:
        return {"nomad.advertise.address": address}
    return {"cpu.usablecompute": str(declared.cpu_mhz), "unique.advertise.address": address}


def _show_as_newer(node: Record) -> None:
    """Gives the node the fields of later versions."""
    del node["Reserved"], node["Resources"]
    node |= {"GCVolumesOnNodeGC": False, "HostVolumes": node["HostVolumes"] or {}, "NodeMaxAllocs": 0}
    networks = node["NodeResources"]["Networks"]
    node["NodeResources"]["Networks"] = [
        {field: value for field, value in network.items() if value is not None} for network in networks
    ]


def _topology(declared: NodeConfig) -> Record:
    """Returns the node's cores, of one speed, and the total that was declared."""
    core = {"Disable": False, "Grade": True, "GuessSpeed": 0, "MaxSpeed": 0, "NodeID": 0, "SocketID": 0}
    speed_mhz = declared.cpu_mhz // declared.cores
    return {
        "Cores": [{**core, "BaseSpeed": speed_mhz, "ID": number} for number in range(declared.cores)],
        "Distances": None,
        "Nodes": [0],
        "OverrideTotalCompute": declared.cpu_mhz,
        "OverrideWitholdCompute": 0,
    }


_NETWORK = {
    "CIDR": "127.0.0.1/32",
    "DNS": None,
    "Device": "lo",
    "DynamicPorts": None,
    "IP": "127.0.0.1",
    "MBits": 1000,
    "Mode": "host",
    "ReservedPorts": None,
}
_NODE_NETWORK = {
    "Addresses": [
        {"Address": "127.0.0.1", "Alias": "default", "Family": "ipv4", "Gateway": "", "ReservedPorts": ""},
    ],
    "Device": "lo",
    "MacAddress": "",
    "Mode": "host",
    "Speed": 1000,
}


def _computed_class(declared: NodeConfig, attributes: dict[str, str]) -> str:
    shared = sorted((key, value) for key, value in attributes.items() if not key.startswith(("unique.", "nomad.adv")))
    meta = sorted((key, value) for key, value in declared.meta.items() if not key.startswith("unique."))
    devices = [
        (device["vendor"], device["type"], device["name"], device.get("attributes")) for device in declared.devices
    ]
    text = repr((declared.datacenter, declared.node_class, declared.node_pool, shared, meta, devices))
    return f"v1:{crc32(text.encode()) << 32 | crc32(text[::-1].encode())}"
