"""Builds the command line of a declared region or store, and asks whether its server answers.

An embedded region is `python -m regions.local`, a store of kind `s3` is moto's server. Both inherit a listening socket, so that
no other program can take the port in between. A store of kind `gcs` is fake-gcs-server, one of kind `azure` Azurite. Those
open their ports themselves.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from federation.config.dev_state import HOST, Server, azure_key_path, client_token_path, state_folder, token_path
from federation.config.model import NO_DEV, Config, DevRegion, DevStore
from federation.dev import agents
from federation.dev.processes import MARKER
from federation.errors import DevError
from federation.text import install_extra
from regions.credentials import SecretRef
from regions.model import StoreConfig
from regions.storage import emulators

# -P: nothing in the working folder is taken for a module of ours.
REGION = ("-P", "-m", "regions.local")
STORE = ("-P", "-m", "federation.dev.s3_server")
INSTALL_DEMO = install_extra("demo")
INSTALL_AZURITE = "install it beside this Python, in fedml's checkout: python3 tools/azurite.py"
_SERVERS = {"s3": "moto's server", "gcs": "fake-gcs-server", "azure": "Azurite"}


def require_extras(stores: Mapping[str, DevStore]) -> None:
    """Raises DevError, before anything starts, if a store's server isn't installed."""
    for kind, lacking in missing_servers({store.kind for store in stores.values()}).items():
        names = ", ".join(store.name for store in stores.values() if store.kind == kind)
        hint = INSTALL_AZURITE if kind == "azure" else INSTALL_DEMO
        raise DevError(f"the local store {names} needs {lacking}, which isn't installed", hint=hint)


def missing_servers(kinds: Iterable[str]) -> dict[str, str]:
    """Which of these kinds of stores can't be started here, and what each lacks."""
    is_there = {
        "s3": find_spec("moto") is not None and find_spec("flask") is not None,
        "gcs": emulators.gcs_command(0) is not None,
        "azure": emulators.azure_command(0) is not None,
    }
    return {kind: _SERVERS[kind] for kind in sorted(kinds, reverse=True) if not is_there[kind]}


def region_settings(config: Config, region: DevRegion, addresses: Mapping[str, str]) -> dict[str, Any]:
    """The settings that `python -m regions.local` reads. `addresses`: those of all development regions, by their name here."""
    nomad_names = {name: config.regions[name].nomad_region for name in addresses}
    name = nomad_names[region.name]
    dev = config.dev or NO_DEV
    return {
        "region": name,
        "datacenter": next(iter(config.regions[region.name].datacenters)),
        "version": region.version,
        "data_dir": str(region_folder(config.root, region.name) / "data"),
        "token_file": str(token_path(config.root)),
        "address": addresses[region.name].removeprefix("http://"),
        "peers": {nomad_names[peer]: address for peer, address in addresses.items() if nomad_names[peer] != name},
        "peer_datacenters": {nomad_names[peer]: next(iter(config.regions[peer].datacenters)) for peer in addresses},
        "nodes": [
            {
                "name": node.name,
                "datacenter": node.datacenter,
                "cpu_mhz": node.cpu_mhz,
                "memory_mb": node.memory_mb,
                "drivers": list(node.drivers),
                "node_class": node.node_class,
                "meta": dict(node.meta),
                "node_pool": node.node_pool,
                "host_volumes": {
                    volume: {"path": str(folder), "read_only": volume in node.read_only_volumes}
                    for volume, folder in node.host_volumes.items()
                },
                **({"cores": node.cores} if node.cores else {}),
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
    """The file of the settings that a region was started with."""
    return region_folder(root, region) / "config.json"


def region_folder(root: Path, region: str) -> Path:
    """Settings and data of one region."""
    return state_folder(root) / "regions" / region


def region_command(settings: Path, fd: int) -> list[str]:
    """The command line of a region with its settings, on the socket that it inherits as `fd`."""
    return [sys.executable, *REGION, str(settings), "--fd", str(fd)]


def inherits_socket(store: DevStore) -> bool:
    """Whether the store's server takes the listening socket. If not, its port is freed right before it starts."""
    return store.kind == "s3"


def store_command(root: Path, store: DevStore, listener: socket.socket) -> list[str]:
    """The command line of a store's server, with its buckets and the folder that keeps its objects."""
    data = state_folder(root) / "stores" / store.name
    if store.kind == "s3":
        return [sys.executable, *STORE, str(data), *store.buckets, "--fd", str(listener.fileno())]
    data.parent.mkdir(parents=True, exist_ok=True)
    data.mkdir(mode=0o700, exist_ok=True)
    port = int(listener.getsockname()[1])
    if store.kind == "azure":
        azure_key_path(root).write_text(f"{emulators.AZURITE_KEY}\n")
        return emulators.azure_command(port, data) or []
    for bucket in store.buckets:  # a folder of fake-gcs-server is a bucket
        (data / bucket).mkdir(exist_ok=True)
    return emulators.gcs_command(port, data) or []


def make_containers(root: Path, store: DevStore, address: str) -> None:
    """Makes the containers of an Azurite that just started, and keeps no folder for each. Raises StoreError."""
    from regions.storage.azure.store import AzureStore

    for container in store.buckets:
        url = f"az://{emulators.AZURITE_ACCOUNT}/{container}"
        AzureStore(StoreConfig(url, address, secret_access_key=SecretRef(file=azure_key_path(root)))).make_container()


def is_server(command: Sequence[str]) -> bool:
    """Whether a process with this command line is one of these, or an agent of real Nomad."""
    is_gcs = Path(command[0]).name.startswith("fake-gcs-server-") if command else False
    is_azure = len(command) > 1 and command[1].endswith("azurite/dist/src/blob/main.js")
    return is_gcs or is_azure or tuple(command[1:4]) in (REGION, STORE) or agents.is_agent(command)


def environment(federation_id: str, stores: Iterable[DevStore] = ()) -> dict[str, str]:
    """The environment of this shell, without what is meant for Nomad's own client, with the marker. Tasks get it from their
    region, and with it what they need for a local Azure store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NOMAD_")}
    is_azure = any(store.kind == "azure" for store in stores)
    key = {"AZURE_STORAGE_KEY": emulators.AZURITE_KEY} if is_azure else {}
    return {**kept, **key, MARKER: federation_id, "PYTHONUNBUFFERED": "1"}


def is_ready(server: Server, *, timeout_s: float = 2.0) -> bool:
    """Whether the server does its work: a region has a leader, a node a server, a store answers."""
    path = {"region": "/v1/status/leader", "node": "/v1/agent/health?type=client"}.get(server.kind, "/")
    try:
        status, body = _request(server.port, path, timeout_s)
    except (OSError, http.client.HTTPException):
        return False
    if server.kind == "store":
        return status < 500
    return status == 200 and (server.kind != "region" or body.strip() not in (b"", b'""', b"null"))


def has_keyring(server: Server) -> bool:
    """Whether a server of real Nomad can sign identities. Versions before 1.7 don't tell, and need none for their clients."""
    status, keys = _asked(server, "/.well-known/jwks.json")
    return status == 404 or bool(keys and keys.get("keys"))


def ask(server: Server, path: str, token: str = "", *, method: str = "GET", body: object = None) -> Any:
    """The JSON that the server answers; None where it refuses or doesn't answer."""
    return _asked(server, path, token, method=method, body=body)[1]


def _asked(server: Server, path: str, token: str = "", *, method: str = "GET", body: object = None) -> tuple[int, Any]:
    """The status (0 without an answer), and the JSON where it is 200."""
    text = b"" if body is None else json.dumps(body).encode()
    try:
        status, answer = _request(server.port, path, 10.0, method=method, token=token, body=text)
        return status, json.loads(answer) if status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None


def refusal(server: Server, path: str, token: str, body: object) -> str:
    """Why the server refuses a POST; empty where it is done."""
    try:
        text = json.dumps(body).encode()
        status, answer = _request(server.port, path, 10.0, method="POST", token=token, body=text)
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    return "" if status == 200 else answer.decode(errors="replace")


def hurt_nodes(server: Server, token: str) -> dict[str, str]:
    """The nodes of an embedded region with faults made on purpose: `killed` or `paused`, by name."""
    answer = ask(server, "/v1/fedml/hurt", token)
    return dict(answer["Nodes"]) if isinstance(answer, dict) else {}


def _request(
    port: int, path: str, timeout_s: float, *, method: str = "GET", token: str = "", body: bytes = b""
) -> tuple[int, bytes]:
    """An opener that goes straight to loopback, past any proxy of the shell."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request(method, path, body=body or None, headers={"X-Nomad-Token": token} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
