"""Endpoints about the region itself: agent, status, members, garbage collection."""

from __future__ import annotations

import os
import socket
from typing import Any
from urllib.parse import urlsplit

from regions.local.http.context import Context
from regions.local.http.messages import Reply, Request
from regions.local.state.snapshot import Record


def leader(context: Context, request: Request) -> Reply:
    """/v1/status/leader"""
    return Reply(context.address)


def peers(context: Context, request: Request) -> Reply:
    """/v1/status/peers"""
    return Reply([context.address])


def regions(context: Context, request: Request) -> Reply:
    """/v1/regions"""
    return Reply(sorted({context.config.region, *context.config.peers}))


def health(_context: Context, request: Request) -> Reply:
    """/v1/agent/health"""
    asked = request.query.get("type", ["client", "server"])
    return Reply({part: {"message": "ok", "ok": True} for part in ("client", "server") if part in asked})


def members(context: Context, request: Request) -> Reply:
    """/v1/agent/members: one server per region. A peer that doesn't listen has failed."""
    found = [_member(context, context.config.region, context.address, "alive")]
    for name, url in sorted(context.config.peers.items()):
        address = urlsplit(url).netloc
        found.append(_member(context, name, address, "alive" if _listens(address) else "failed"))
    return Reply(
        {
            "Members": found,
            "ServerDC": context.config.datacenter,
            "ServerName": _server_name(context.config.region),
            "ServerRegion": context.config.region,
        }
    )


def self_(context: Context, _request: Request) -> Reply:
    """/v1/agent/self: the part that tools read"""
    config, address = context.config, context.address
    version = {"Revision": "", "Version": config.version, "VersionMetadata": "embedded", "VersionPrerelease": ""}
    own = {
        "ACL": {"Enabled": True},
        "AdvertiseAddrs": {"HTTP": address, "RPC": address, "Serf": address},
        "BindAddr": config.host,
        "Client": {"Enabled": True},
        "DataDir": str(config.data_dir),
        "Datacenter": config.datacenter,
        "DevMode": True,
        "NodeName": _server_name(config.region),
        "Region": config.region,
        "Server": {"BootstrapExpect": 1, "Enabled": True},
        "TLSConfig": {"EnableHTTP": bool(config.tls), "EnableRPC": False},
        "Vault": {"Enabled": None},
        "Version": version,
    }
    index = str(context.store.snapshot.index)
    stats = {
        "nomad": {
            "bootstrap": "true",
            "known_regions": str(len(config.peers) + 1),
            "leader": "true",
            "leader_addr": address,
            "server": "true",
        },
        "raft": {"applied_index": index, "commit_index": index, "state": "Leader"},
        "runtime": {"cpu_count": str(os.cpu_count()), "pid": str(os.getpid())},
    }
    return Reply({"config": own, "member": _member(context, config.region, address, "alive"), "stats": stats})


def collect(context: Context, request: Request) -> Reply:
    """/v1/system/gc"""
    context.collect(force=True)
    return Reply(b"")


def _member(context: Context, region: str, address: str, status: str) -> Record:
    host, _, port = address.rpartition(":")
    peer_datacenters = context.config.peer_datacenters
    tags: dict[str, Any] = {
        "bootstrap": "1",
        "build": context.config.version,
        "dc": context.config.datacenter if region == context.config.region else peer_datacenters.get(region, ""),
        "expect": "1",
        "id": _server_id(region),
        "port": port,
        "raft_vsn": "3",
        "region": region,
        "revision": "",
        "role": "nomad",
        "rpc_addr": host,
        "vsn": "1",
    }
    return {
        "Addr": host,
        "DelegateCur": 4,
        "DelegateMax": 5,
        "DelegateMin": 2,
        "Name": f"{_server_name(region)}.{region}",
        "Port": int(port),
        "ProtocolCur": 2,
        "ProtocolMax": 5,
        "ProtocolMin": 1,
        "Status": status,
        "Tags": tags,
    }


def _server_name(region: str) -> str:
    return f"{region}-server"


def _server_id(region: str) -> str:
    text = (region.encode() * 16)[:16].hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=0.3):
            return True
    except OSError:
        return False
