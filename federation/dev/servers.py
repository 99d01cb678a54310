"""A declared region or store enters, the command line of its server and whether it answers leave.

An embedded region is `python -m regions.local`, a store of kind `s3` is moto's server. Both inherit a listening socket, so that
no other program can take the port in between.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from federation.config import Config, DevConfig, DevRegion, DevStore
from federation.dev import agents
from federation.dev.processes import MARKER
from federation.dev.state import HOST, Server, client_token_path, state_folder, token_path
from federation.errors import DevError

# -P: nothing in the working folder is taken for a module of ours.
REGION = ("-P", "-m", "regions.local")
STORE = ("-P", "-m", "federation.dev.s3_server")


def require_extras(stores: Mapping[str, DevStore]) -> None:
    """Raises DevError, before anything starts, if a store's server isn't installed."""
    if stores and (find_spec("moto") is None or find_spec("flask") is None):
        names = ", ".join(stores)
        raise DevError(
            f"the local store {names} needs moto's server, which isn't installed",
            hint="install the extra 'fedml-nomad[demo]' from fedml's checkout: pip install '.[demo]'",
        )


def region_settings(config: Config, region: DevRegion, addresses: Mapping[str, str]) -> dict[str, Any]:
    """What `python -m regions.local` reads. `addresses`: those of all development regions, by their name here."""
    nomad_names = {name: config.regions[name].nomad_region for name in addresses}
    name = nomad_names[region.name]
    dev = config.dev or DevConfig({}, {})
    return {
        "region": name,
        "datacenter": next(iter(config.regions[region.name].datacenters)),
        "version": region.version,
        "data_dir": str(region_folder(config.root, region.name) / "data"),
        "token_file": str(token_path(config.root)),
        "address": addresses[region.name].removeprefix("http://"),
        "peers": {nomad_names[peer]: address for peer, address in addresses.items() if nomad_names[peer] != name},
        "nodes": [
            {
                "name": node.name,
                "datacenter": node.datacenter,
                "cpu_mhz": node.cpu_mhz,
                "memory_mb": node.memory_mb,
                "drivers": list(node.drivers),
                "node_class": node.node_class,
                "meta": dict(node.meta),
                "host_volumes": {volume: str(folder) for volume, folder in node.host_volumes.items()},
                "devices": [dict(device) for device in node.devices],
            }
            for node in region.nodes
        ],
        "namespaces": dict.fromkeys(dev.namespaces, ""),
        "tokens": [
            {"name": each, "file": str(client_token_path(config.root, each)), "policies": {each: policy}}
            for each, policy in dev.policies.items()
        ],
        "heartbeat_grace_s": region.heartbeat_grace_s,
        "path_prepend": [str(Path(sys.executable).parent)],
    }


def settings_path(root: Path, region: str) -> Path:
    """Where the settings that a region was started with lie."""
    return region_folder(root, region) / "config.json"


def region_folder(root: Path, region: str) -> Path:
    """Settings and data of one region."""
    return state_folder(root) / "regions" / region


def region_command(settings: Path, fd: int) -> list[str]:
    """The region with its settings, on the socket that it inherits as `fd`."""
    return [sys.executable, *REGION, str(settings), "--fd", str(fd)]


def store_command(root: Path, store: DevStore, fd: int) -> list[str]:
    """The S3 server with its buckets and the folder that keeps its objects."""
    data = state_folder(root) / "stores" / store.name
    return [sys.executable, *STORE, str(data), *store.buckets, "--fd", str(fd)]


def is_server(command: Sequence[str]) -> bool:
    """Whether a process with this command line is one of the two, or an agent of real Nomad."""
    return tuple(command[1:4]) in (REGION, STORE) or agents.is_agent(command)


def environment(federation_id: str) -> dict[str, str]:
    """This shell's, without what is meant for Nomad's own client, with the marker."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NOMAD_")}
    return {**kept, MARKER: federation_id, "PYTHONUNBUFFERED": "1"}


def is_ready(server: Server, *, timeout_s: float = 2.0) -> bool:
    """Whether it does its work: a region has a leader, a node a server, a store answers."""
    path = {"region": "/v1/status/leader", "node": "/v1/agent/health?type=client"}.get(server.kind, "/")
    try:
        status, body = _request(server.port, path, timeout_s)
    except (OSError, http.client.HTTPException):
        return False
    return status == 200 and (server.kind != "region" or body.strip() not in (b"", b'""', b"null"))


def ask(server: Server, path: str, token: str = "", *, method: str = "GET", body: object = None) -> Any:
    """The JSON that it answers; None where it answers none, or refuses."""
    text = b"" if body is None else json.dumps(body).encode()
    try:
        status, answer = _request(server.port, path, 10.0, method=method, token=token, body=text)
        return json.loads(answer) if status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def refusal(server: Server, path: str, token: str, body: object) -> str:
    """What it says against a POST; empty where it is done."""
    try:
        text = json.dumps(body).encode()
        status, answer = _request(server.port, path, 10.0, method="POST", token=token, body=text)
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    return "" if status == 200 else answer.decode(errors="replace")


def hurt_nodes(server: Server, token: str) -> dict[str, str]:
    """The nodes of an embedded region that were hurt on purpose: `killed` or `paused`, by name."""
    answer = ask(server, "/v1/fedml/hurt", token)
    return dict(answer["Nodes"]) if isinstance(answer, dict) else {}


def _request(
    port: int, path: str, timeout_s: float, *, method: str = "GET", token: str = "", body: bytes = b""
) -> tuple[int, bytes]:
    """Straight to loopback: no proxy of the shell is asked."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request(method, path, body=body or None, headers={"X-Nomad-Token": token} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
