"""Writes configurations and command lines of real Nomad agents for a declared region: a server, and a client a node.

Agents keep their data. They are found again like every other process of the federation: by the marker in their
environment, which Nomad passes on to the tasks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from federation.config.dev_state import HOST, DevState, node_key, state_folder
from federation.config.model import Config, DevNode, DevRegion
from federation.dev.processes import SERVER_MARKER
from federation.errors import DevError

AGENT = ("agent", "-config")
_MIN_HEARTBEAT = "2s"
_FINGERPRINTS_OFF = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault,cni,bridge"


def find_binary() -> str | None:
    """Finds the Nomad to use: the first that `NOMAD_BIN` names (separated as PATH is), else `nomad` on PATH."""
    named = [path for path in os.environ.get("NOMAD_BIN", "").split(os.pathsep) if path]
    return shutil.which(named[0]) if named else shutil.which("nomad")


def require_binary() -> str:
    """As `find_binary`. Raises DevError where there is none, or where it isn't Nomad."""
    binary = find_binary()
    if binary is None:
        raise DevError(
            "no `nomad` program was found", hint="put one on PATH, name it in NOMAD_BIN, or use `--engine embedded`"
        )
    version(binary)
    return str(Path(binary).absolute())


def version(binary: str) -> str:
    """The version that the binary reports, as `1.6.3`. Raises DevError where that isn't Nomad."""
    try:
        output = subprocess.run(
            [binary, "version"], capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DevError(f"{binary} can't be run: {error}") from None
    found = re.match(r"Nomad v(\S+)", output)
    if found is None:
        raise DevError(f"{binary} is not Nomad: its `version` says otherwise", hint="see what NOMAD_BIN and PATH name")
    return found[1]


def server_settings(
    config: Config, region: DevRegion, state: DevState, *, replication_token: str = ""
) -> dict[str, Any]:
    """The configuration of the region's server. `replication_token`: for ACLs, in all regions but the first."""
    assert config.dev is not None
    names = {name: config.regions[name].nomad_region for name in config.dev.regions}
    server = state.servers[f"region:{region.name}"]
    rpc, serf = server.more_ports
    others = [state.servers[f"region:{name}"].more_ports[1] for name in names if name != region.name]
    settings = _common(
        config, region, state, f"{names[region.name]}-server", folder(config.root, region.name) / "server"
    )
    settings["ports"] = {"http": server.port, "rpc": rpc, "serf": serf}
    settings["server"] = {
        "enabled": True,
        "bootstrap_expect": 1,
        "authoritative_region": next(iter(names.values())),
        "heartbeat_grace": f"{region.heartbeat_grace_s:g}s",
        "min_heartbeat_ttl": _MIN_HEARTBEAT,
        "server_join": {"retry_join": [f"{HOST}:{port}" for port in others], "retry_interval": "1s"},
    }
    if replication_token:
        settings["acl"]["replication_token"] = replication_token
    return settings


def node_settings(config: Config, region: DevRegion, node: DevNode, state: DevState) -> dict[str, Any]:
    """The configuration of one node's client, whose total resources are the declared ones."""
    server = state.servers[f"region:{region.name}"]
    client = state.servers[node_key(region.name, node.name)]
    data = folder(config.root, region.name) / node.name
    settings = _common(config, region, state, node.name, data)
    settings["datacenter"] = node.datacenter
    settings["ports"] = {"http": client.port, "rpc": client.more_ports[0], "serf": client.more_ports[1]}
    settings["client"] = {
        "enabled": True,
        "servers": [f"{HOST}:{server.more_ports[0]}"],
        "cpu_total_compute": node.cpu_mhz,
        "memory_total_mb": node.memory_mb,
        "node_class": node.node_class,
        "meta": dict(node.meta),
        "options": {"driver.allowlist": ",".join(node.drivers), "fingerprint.denylist": _FINGERPRINTS_OFF},
    }
    if node.node_pool != "default":
        settings["client"]["node_pool"] = node.node_pool
    volumes = {
        volume: [{"path": str(folder), "read_only": volume in node.read_only_volumes}]
        for volume, folder in node.host_volumes.items()
    }
    if volumes:
        settings["client"]["host_volume"] = [volumes]
    # Since 1.10.2 a client measures what tasks use only where it publishes that.
    settings["telemetry"] = {"publish_allocation_metrics": True}
    settings["plugin"] = [{"raw_exec": [{"config": [{"enabled": "raw_exec" in node.drivers}]}]}]
    return settings


def _common(config: Config, region: DevRegion, state: DevState, name: str, data: Path) -> dict[str, Any]:
    return {
        "region": config.regions[region.name].nomad_region,
        "datacenter": next(iter(config.regions[region.name].datacenters)),
        "name": name,
        "data_dir": str(data),
        "bind_addr": HOST,
        "advertise": {"http": HOST, "rpc": HOST, "serf": HOST},
        "disable_update_check": True,
        "log_level": "INFO",
        "acl": {"enabled": state.has_acls},
        # All requests come from one address here.
        "limits": {"http_max_conns_per_client": 0, "rpc_max_conns_per_client": 0},
        "consul": {"auto_advertise": False, "server_auto_join": False, "client_auto_join": False},
    }


def folder(root: Path, region: str) -> Path:
    """Settings and data of one region's agents."""
    return state_folder(root) / "regions" / region / "nomad"


def settings_path(root: Path, region: str, node: str = "") -> Path:
    """The file of the server's (or the node's) configuration."""
    return folder(root, region) / (f"node-{node}.json" if node else "server.json")


def command(binary: str, settings: Path) -> list[str]:
    """The command line of an agent with its configuration."""
    return [binary, *AGENT, str(settings)]


def is_agent(command_line: Sequence[str]) -> bool:
    """Whether a process with this command line is such an agent (not one of its plugins)."""
    return tuple(command_line[1:3]) == AGENT


def environment(base: Mapping[str, str], key: str) -> dict[str, str]:
    """An agent's environment. `python3` and `fedml` of its tasks are those that run this. All that it starts carries its
    `key`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", os.defpath)])
    return {**base, "PATH": path, SERVER_MARKER: key}
