"""Sizes of nodes enter, and a real Nomad server counts nodes of them in: pretended, registered over Nomad's own RPC.

The protocol is net/rpc with MessagePack (Nomad's contributing notes and the fields' names of its API): one byte that says
"RPC", then a header and a body for each request. A pretended node sends no heartbeats: it is ready for some ten seconds.
"""

from __future__ import annotations

import socket
import struct
import uuid
from collections.abc import Iterable
from typing import Any

_RPC = b"\x01"
_ADDRESS = {"Family": "ipv4", "Alias": "default", "Address": "127.0.0.1"}
_NO_ERROR = b"\xa5Error\xa0"


def register(rpc_address: tuple[str, int], region: str, nodes: Iterable[dict[str, Any]]) -> None:
    """Registers nodes (see `pretended`) with the region's server. Raises RuntimeError with what it refuses."""
    with socket.create_connection(rpc_address, timeout=10) as connection:
        connection.sendall(_RPC)
        for number, node in enumerate(nodes):
            header = {"ServiceMethod": "Node.Register", "Seq": number}
            connection.sendall(_packed(header) + _packed({"Region": region, "Node": node}))
            if _NO_ERROR not in (answer := connection.recv(65536)):
                raise RuntimeError(f"Node.Register: {answer!r}")


def pretended(
    name: str, datacenter: str, *, cpu_mhz: int, memory_mb: int, drivers: Iterable[str] = ("raw_exec",), **fields: Any
) -> dict[str, Any]:
    """A node as the RPC takes it; `fields` are further fields of Nomad's Node."""
    attributes = {"kernel.name": "linux", "cpu.arch": "amd64"} | {f"driver.{one}": "1" for one in drivers}
    return {
        "ID": str(uuid.uuid4()),
        "SecretID": str(uuid.uuid4()),
        "Name": name,
        "Datacenter": datacenter,
        "Status": "ready",
        "Attributes": attributes,
        "Drivers": {one: {"Detected": True, "Healthy": True} for one in drivers},
        "NodeResources": {
            "Cpu": {"CpuShares": cpu_mhz},
            "Memory": {"MemoryMB": memory_mb},
            "Disk": {"DiskMB": 100_000},
            "Networks": [{"Mode": "host", "Device": "lo", "IP": "127.0.0.1", "CIDR": "127.0.0.1/32", "MBits": 1000}],
            "NodeNetworks": [{"Mode": "host", "Device": "lo", "Addresses": [_ADDRESS]}],
        },
        "ReservedResources": {},
    } | fields


def _packed(value: Any) -> bytes:
    """MessagePack, in the form that knows no separate type for text."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 | len(data)]) if len(data) < 32 else b"\xda" + struct.pack(">H", len(data))) + data
    if isinstance(value, dict):
        parts = [_packed(part) for pair in value.items() for part in pair]
        return b"\xde" + struct.pack(">H", len(value)) + b"".join(parts)
    return b"\xdc" + struct.pack(">H", len(value)) + b"".join(_packed(item) for item in value)
