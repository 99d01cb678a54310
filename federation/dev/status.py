"""Tells what each server of a project's development federation is doing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from federation.config.dev_state import DevState, Server, new_state, node_key, read_state, read_token, state_folder
from federation.config.model import NO_DEV, Config, DevConfig
from federation.dev import servers
from federation.text import counted

Kind = Literal["region", "store", "node"]
Condition = Literal["ready", "silent", "down", "paused", "killed", "cut", "drained"]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server. `state`: `ready`; `silent`, its process runs but doesn't answer; `down`, it has no process; `paused`,
    `killed`, `cut` or `drained`: a fault made on purpose (see `federation.dev.faults`)."""

    kind: Kind
    name: str
    state: Condition
    address: str
    """Empty while it is down."""
    pid: int | None
    log: Path
    detail: str
    """What it consists of: nodes or buckets."""


def status(config: Config) -> tuple[ServerStatus, ...]:
    """Every declared server and every one that still runs, stores first. Of an embedded region also nodes with faults."""
    dev = config.dev or NO_DEV
    state = read_state(config.root) or new_state()
    details = _details(dev, state)
    left = [key for key, server in state.servers.items() if server.is_running and key not in details]
    found = [_status(config.root, state, key, details.get(key, "")) for key in [*details, *left]]
    hurt = {node: how for each in found for node, how in _hurt_nodes(config.root, state, each).items()}
    if state.engine == "nomad":  # nodes are processes of their own, and listed
        return tuple(_with_fault(each, hurt) for each in found)
    return (*found, *_hurt_embedded(found, hurt))


def _details(dev: DevConfig, state: DevState) -> dict[str, str]:
    """What each declared server consists of, by its key."""
    details = {f"store:{name}": f"buckets {', '.join(store.buckets)}" for name, store in dev.stores.items()}
    for name, region in dev.regions.items():
        engine = f"Nomad {region.version}" if state.engine == "embedded" else "real Nomad"
        details[f"region:{name}"] = f"{counted(len(region.nodes), 'node')}, {engine}"
    if state.engine == "nomad":
        for name, region in dev.regions.items():
            nodes = {node_key(name, node.name): f"{node.cpu_mhz} MHz, {node.memory_mb} MB" for node in region.nodes}
            details |= nodes
    return details


def _with_fault(server: ServerStatus, hurt: Mapping[str, Condition]) -> ServerStatus:
    is_hurt = server.kind == "node" and server.state == "ready" and server.name in hurt
    return replace(server, state=hurt[server.name]) if is_hurt else server


def _hurt_embedded(found: Iterable[ServerStatus], hurt: Mapping[str, Condition]) -> list[ServerStatus]:
    """The nodes with faults, each with the log of its region."""
    log = {each.name: each.log for each in found if each.kind == "region"}
    return [
        ServerStatus("node", name, how, "", None, log[region], f"of region {region}")
        for name, how in hurt.items()
        if (region := name.partition("/")[0])
    ]


def _hurt_nodes(root: Path, state: DevState, region: ServerStatus) -> dict[str, Condition]:
    """The region's nodes (`us/us-1`) that are not ready, as the region tells."""
    if region.kind != "region" or region.state != "ready":
        return {}
    server, token = state.servers[f"region:{region.name}"], read_token(root, state)
    hurt: dict[str, Condition] = {}
    nodes = servers.ask(server, "/v1/nodes", token)
    for node in nodes if isinstance(nodes, list) else ():
        if node["Status"] != "ready":
            hurt[f"{region.name}/{node['Name']}"] = "down"
        elif node["SchedulingEligibility"] != "eligible":
            hurt[f"{region.name}/{node['Name']}"] = "drained"
    if state.engine == "embedded":
        for name, how in servers.hurt_nodes(server, token).items():
            hurt[f"{region.name}/{name}"] = "killed" if how == "killed" else "paused"
    return hurt


def _status(root: Path, state: DevState, key: str, detail: str) -> ServerStatus:
    kind, _, name = key.partition(":")
    server = state.servers.get(key)
    log = log_path(root, key)
    if server is None or not server.is_running or server.process is None:
        condition: Condition = "killed" if server is not None and server.hurt == "killed" else "down"
        return ServerStatus(_kind(kind), name, condition, "", None, log, detail)
    return ServerStatus(_kind(kind), name, _condition(server), server.address, server.process.pid, log, detail)


def _condition(server: Server) -> Condition:
    if server.hurt == "paused":
        return "paused"
    if server.hurt == "cut":
        return "cut"
    return "ready" if servers.is_ready(server) else "silent"


def _kind(text: str) -> Kind:
    return "region" if text == "region" else "node" if text == "node" else "store"


def log_path(root: Path, key: str) -> Path:
    """Where a server's output goes."""
    return state_folder(root) / "logs" / f"{key.replace(':', '-').replace('/', '-')}.log"


def as_json(found: Iterable[ServerStatus]) -> list[Mapping[str, object]]:
    """For `--json`."""
    return [
        {
            "kind": each.kind,
            "name": each.name,
            "state": each.state,
            "address": each.address or None,
            "pid": each.pid,
            "log": str(each.log),
            "detail": each.detail,
        }
        for each in found
    ]
