"""Reads and checks a region's `config.json`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from regions.errors import RegionError
from regions.local.nomad_version import REFERENCES, parse


class InvalidConfig(RegionError):
    """The configuration file is missing, not JSON, or a value in it is wrong."""


class NodeConfig:
    """One pretend node. Sizes are totals; `devices` is a list of {vendor, type, name, count, attributes};
    `host_volumes` maps names to folders, or to {path, read_only}."""

    def __init__(self, raw: dict[str, Any], datacenter: str) -> None:
        self.name = str(raw["name"])
        self.datacenter = str(raw.get("datacenter", datacenter))
        self.cpu_mhz = int(raw.get("cpu_mhz", 4000))
        self.cores = int(raw.get("cores", os.cpu_count() or 1))
        self.devices = [dict(device) for device in raw.get("devices", [])]
        self.memory_mb = int(raw.get("memory_mb", 8192))
        self.drivers = tuple(str(name) for name in raw.get("drivers", ["raw_exec"]))
        self.node_class = str(raw.get("node_class", ""))
        self.node_pool = str(raw.get("node_pool", "default"))
        self.meta = {str(key): str(value) for key, value in raw.get("meta", {}).items()}
        self.attributes = {str(key): str(value) for key, value in raw.get("attributes", {}).items()}
        self.host_volumes: dict[str, tuple[str, bool]] = {}
        """Name → (path, whether it is read-only)."""
        for name, volume in raw.get("host_volumes", {}).items():
            is_plain = isinstance(volume, str)
            found = (volume, False) if is_plain else (str(volume["path"]), bool(volume.get("read_only")))
            self.host_volumes[str(name)] = found


class TokenConfig:
    """A further token. `policies` are texts in Nomad's HCL or JSON form, by name."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.name = str(raw["name"])
        self.secret = Path(raw["file"]).read_text(encoding="utf-8").strip()
        self.policies = {str(name): str(text) for name, text in raw["policies"].items()}


class RegionConfig:
    """One region.

    `version`: the Nomad version that it answers as (`answers_as`), also a line (`2.0`). `peers`: addresses of the other
    regions; `peer_datacenters`: where their servers are. `hosts`: names besides the loopback ones under which clients ask.
    `tls`: `cert_file` and `key_file`, and `ca_file` to verify the peers. `namespaces`: descriptions by name. `pools`: the
    node pools. `event_buffer`: how many commits the event stream can look back. `heartbeat_grace_s`: how long a node may
    be silent before it is down. `tokens`: tokens besides the region's own.
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        self.region = str(raw["region"])
        self.datacenter = str(raw.get("datacenter", "us-east-1"))
        self.answers_as = parse(str(raw.get("version", REFERENCES[0])))
        self.version = str(self.answers_as)
        self.data_dir = Path(raw["data_dir"])
        self.token = Path(raw["token_file"]).read_text(encoding="utf-8").strip()
        self.tokens = [TokenConfig(token) for token in raw.get("tokens", [])]
        self.address = str(raw.get("address", "127.0.0.1:0"))
        self.peers = {str(name): str(url) for name, url in raw.get("peers", {}).items()}
        self.peer_datacenters = {str(name): str(text) for name, text in raw.get("peer_datacenters", {}).items()}
        self.hosts = [str(name) for name in raw.get("hosts", [])]
        self.tls = {str(name): str(path) for name, path in raw.get("tls", {}).items()}
        self.nodes = [NodeConfig(node, self.datacenter) for node in raw.get("nodes", [])]
        self.namespaces = {"default": "Default shared namespace"}
        self.namespaces |= {str(name): str(text) for name, text in raw.get("namespaces", {}).items()}
        self.pools = sorted({"all", "default", *(node.node_pool for node in self.nodes)})
        self.event_buffer = int(raw.get("event_buffer", 1000))
        self.heartbeat_grace_s = float(raw.get("heartbeat_grace_s", 10.0))
        self.path_prepend = [str(folder) for folder in raw.get("path_prepend", [])]

    @property
    def host(self) -> str:
        return self.address.rpartition(":")[0] or "127.0.0.1"

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    def base_env(self) -> dict[str, str]:
        """Returns the environment that tasks inherit: `path_prepend` comes first on PATH, and NOMAD_* is left out."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("NOMAD_")}
        env["PATH"] = os.pathsep.join([*self.path_prepend, env.get("PATH", os.defpath)])
        return env


def load(path: Path) -> RegionConfig:
    """Reads and checks the file. Raises InvalidConfig. Creates and changes nothing."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        config = RegionConfig(raw)
        _ = config.port  # raises ValueError where it isn't a number
    except KeyError as error:
        raise InvalidConfig(f"{path} has no {error}", region="?") from error
    except OSError as error:
        raise InvalidConfig(f"{error.filename or path}: {error.strerror}", region="?") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidConfig(f"{path}: {error}", region="?") from error
    if config.host not in ("127.0.0.1", "::1", "localhost"):
        raise InvalidConfig(
            f"address {config.address} is not on loopback",
            region=config.region,
            hint="this is a development engine: raw_exec would run anybody's tasks as you; use 127.0.0.1",
        )
    if not config.token:
        raise InvalidConfig(f"the token file {raw['token_file']} is empty", region=config.region)
    if len({node.name for node in config.nodes}) != len(config.nodes):
        raise InvalidConfig("two nodes have the same name", region=config.region)
    oldest = REFERENCES[0]
    if config.answers_as < oldest:
        raise InvalidConfig(
            f"version {config.version} is older than {oldest}, the oldest Nomad that this engine answers as",
            region=config.region,
            hint=f"set version to {oldest} or a later one",
        )
    return config
