"""Requests about the region itself (agent, status, members, namespaces, search, collection) enter, answers leave."""

from __future__ import annotations

import os
import socket
from typing import Any
from urllib.parse import urlsplit

from regions.local.http.context import NAMESPACES, Context, blocking
from regions.local.http.server import Failure, Reply, Request
from regions.local.state.job_rules import POOLS
from regions.local.state.snapshot import Record, Snapshot

_SEARCHED = (
    "allocs",
    "jobs",
    "nodes",
    "node_pools",
    "evals",
    "deployment",
    "plugins",
    "volumes",
    "scaling_policy",
    "vars",
    "namespaces",
)
_SEARCH_LIMIT = 20
_NAMESPACE: Record = {
    "Capabilities": None,
    "CreateIndex": 1,
    "Description": "Default shared namespace",
    "Hash": "C7UbjDwBK0dK8wQq7Izg7SJIzaV+lIo2X7wRtzY3pSw=",
    "Meta": None,
    "ModifyIndex": 1,
    "Name": "default",
    "NodePoolConfiguration": None,
    "Quota": "",
}


def leader(context: Context, request: Request) -> Reply:
    """/v1/status/leader"""
    _only(request, "GET")
    return Reply(context.address)


def peers(context: Context, request: Request) -> Reply:
    """/v1/status/peers"""
    _only(request, "GET")
    return Reply([context.address])


def regions(context: Context, request: Request) -> Reply:
    """/v1/regions"""
    _only(request, "GET")
    return Reply(sorted({context.config.region, *context.config.peers}))


def health(_context: Context, request: Request) -> Reply:
    """/v1/agent/health"""
    _only(request, "GET")
    return Reply({"client": {"message": "ok", "ok": True}, "server": {"message": "ok", "ok": True}})


def members(context: Context, request: Request) -> Reply:
    """/v1/agent/members: one server a region; a peer that doesn't listen has failed."""
    _only(request, "GET")
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


def self_(context: Context, request: Request) -> Reply:
    """/v1/agent/self"""
    _only(request, "GET")
    config = context.config
    state = context.store.snapshot
    host, _, port = context.address.rpartition(":")
    return Reply(
        {
            "config": {
                "ACL": {"Enabled": True},
                "AdvertiseAddrs": {"HTTP": context.address, "RPC": context.address, "Serf": context.address},
                "BindAddr": host,
                "Client": {"Enabled": True},
                "DataDir": str(config.data_dir),
                "Datacenter": config.datacenter,
                "DevMode": True,
                "NodeName": _server_name(config.region),
                "Ports": {"HTTP": int(port), "RPC": int(port), "Serf": int(port)},
                "Region": config.region,
                "Server": {"BootstrapExpect": 1, "Enabled": True},
                "TLSConfig": {"EnableHTTP": False, "EnableRPC": False},
                "Vault": {"Enabled": None},
                "Version": {
                    "Revision": "",
                    "Version": config.version,
                    "VersionMetadata": "embedded",
                    "VersionPrerelease": "",
                },
            },
            "member": _member(context, config.region, context.address, "alive"),
            "stats": {
                "client": {
                    "known_servers": context.address,
                    "node_id": next((node["ID"] for node in state.nodes.values()), ""),
                    "num_allocations": str(len(state.allocs_by_node)),
                },
                "nomad": {
                    "bootstrap": "true",
                    "known_regions": str(len(config.peers) + 1),
                    "leader": "true",
                    "leader_addr": context.address,
                    "server": "true",
                },
                "raft": {"applied_index": str(state.index), "commit_index": str(state.index), "state": "Leader"},
                "runtime": {"cpu_count": str(os.cpu_count()), "pid": str(os.getpid())},
            },
        }
    )


def namespaces(context: Context, request: Request) -> Reply:
    """/v1/namespaces"""
    _only(request, "GET")
    has_it = "default".startswith(request.get("prefix"))
    return blocking(context, request, lambda _state: 1, lambda _state: [_NAMESPACE] if has_it else [])


def namespace(context: Context, request: Request) -> Reply:
    """/v1/namespace/:name"""
    if request.method != "GET":
        raise Failure(501, "managing namespaces is not supported by this development engine")
    if request.path.removeprefix("/v1/namespace/") not in NAMESPACES:
        raise Failure(404, "Namespace not found")
    return blocking(context, request, lambda _state: 1, lambda _state: _NAMESPACE)


def token_self(context: Context, request: Request) -> Reply:
    """/v1/acl/token/self: the one token there is may do everything"""
    _only(request, "GET")
    token = {
        "AccessorID": "00000000-0000-0000-0000-000000000fed",
        "CreateIndex": 1,
        "CreateTime": "1970-01-01T00:00:00Z",
        "ExpirationTTL": "",
        "ExpirationTime": None,
        "Global": True,
        "Hash": None,
        "ModifyIndex": 1,
        "Name": "Bootstrap Token",
        "Policies": None,
        "Roles": None,
        "SecretID": context.config.token,
        "Type": "management",
    }
    return Reply(token, index=1)


def pools(context: Context, request: Request) -> Reply:
    """/v1/node/pools"""
    _only(request, "GET")
    texts = {"all": "Node pool with all nodes in the cluster.", "default": "Default node pool."}
    found = [
        {
            "CreateIndex": 1,
            "Description": text,
            "Hash": None,
            "Meta": None,
            "ModifyIndex": 1,
            "Name": name,
            "SchedulerConfiguration": None,
        }
        for name, text in texts.items()
        if name.startswith(request.get("prefix"))
    ]
    return blocking(context, request, lambda _state: 1, lambda _state: found)


def scheduler_configuration(_context: Context, request: Request) -> Reply:
    """/v1/operator/scheduler/configuration"""
    if request.method != "GET":
        raise Failure(501, "changing the scheduler's configuration is not supported by this development engine")
    off = ("BatchSchedulerEnabled", "ServiceSchedulerEnabled", "SysBatchSchedulerEnabled", "SystemSchedulerEnabled")
    config = {
        "CreateIndex": 1,
        "MemoryOversubscriptionEnabled": False,
        "ModifyIndex": 1,
        "PauseEvalBroker": False,
        "PreemptionConfig": dict.fromkeys(off, False),
        "RejectJobRegistration": False,
        "SchedulerAlgorithm": "binpack",
    }
    return Reply(
        {"Index": 1, "KnownLeader": True, "LastContact": 0, "NextToken": "", "SchedulerConfig": config}, index=1
    )


def collect(context: Context, request: Request) -> Reply:
    """/v1/system/gc"""
    _only(request, "PUT", "POST")
    context.collect(force=True)
    return Reply(b"")


def search(context: Context, request: Request) -> Reply:
    """/v1/search: objects by the beginning of their ID"""
    _only(request, "PUT", "POST")
    body = request.json()
    prefix, wanted = str(body.get("Prefix") or ""), str(body.get("Context") or "all")
    if wanted != "all" and wanted not in _SEARCHED:
        raise Failure(
            500,
            f"context must be one of [{' '.join(_SEARCHED)}] or 'all' for all contexts; got \"{wanted}\"",
        )
    state = context.store.snapshot
    contexts = _SEARCHED if wanted == "all" else (wanted,)
    matches: dict[str, list[str] | None] = {}
    truncated = {}
    for name in contexts:
        found = _matches(state, name, prefix)
        matches[name] = found[:_SEARCH_LIMIT] or None
        truncated[name] = len(found) > _SEARCH_LIMIT
    reply = {
        "Index": state.index,
        "KnownLeader": True,
        "LastContact": 0,
        "Matches": matches,
        "NextToken": "",
        "Truncations": truncated,
    }
    return Reply(reply, index=state.index)


def empty_list(_context: Context, request: Request) -> Reply:
    """Kinds of objects that exist here never: an empty list is the truth."""
    _only(request, "GET")
    return Reply([], index=1)


def _matches(state: Snapshot, name: str, prefix: str) -> list[str]:
    if name == "namespaces":
        return [one for one in NAMESPACES if one.startswith(prefix)]
    if name == "node_pools":
        return [one for one in POOLS if one.startswith(prefix)]
    if name == "jobs":
        pairs = state.jobs.items(("default", prefix))
    elif name in ("allocs", "evals", "nodes"):
        pairs = getattr(state, name).items(prefix)
    else:
        return []
    found: list[str] = []
    for key, record in pairs:
        if not str(record["ID"]).startswith(prefix) or len(found) > _SEARCH_LIMIT:
            break
        assert key
        found.append(record["ID"])
    return found


def _member(context: Context, region: str, address: str, status: str) -> Record:
    host, _, port = address.rpartition(":")
    tags: dict[str, Any] = {
        "bootstrap": "1",
        "build": context.config.version,
        "dc": context.config.datacenter if region == context.config.region else "",
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


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise Failure(405, "Invalid method")
