"""Reads and writes what `fedml dev` started for a project: processes, ports, and whether they still run.

The state is one file, `.fedml/dev/state.json`, replaced atomically. A process is identified by its pid, its start time and
the boot of the machine, so that a pid that another process got since is never taken for ours.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from federation.errors import DevError, FormatTooNew
from jobs.frozen import field, frozen

STATE_FORMAT = 1
STATE_FOLDER = Path(".fedml") / "dev"
HOST = "127.0.0.1"


@frozen
class Process:
    """A process, identified by values that are never used twice. `start_time` is the kernel's, in ticks since boot."""

    pid: int
    start_time: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this pid now; None where there is none, or only its zombie."""
        start_time = process_start_time(pid)
        return None if start_time is None else cls(pid, start_time, boot_id())

    @property
    def is_running(self) -> bool:
        """Whether this very process still runs."""
        return self.boot_id == boot_id() and process_start_time(self.pid) == self.start_time


@frozen
class Server:
    """One server of the development federation; `process` is None while it is meant to be down."""

    kind: str
    """`region`, `store`, or `node`: a node of real Nomad, which is a process of its own"""
    name: str
    """A node's with its region: `us/us-1`."""
    port: int
    process: Process | None = None
    more_ports: tuple[int, ...] = ()
    """Of an agent of real Nomad: RPC and Serf."""
    hurt: str = ""
    """The fault that was made and not undone yet: `killed`, `paused` or `cut`."""

    @property
    def address(self) -> str:
        """`http://127.0.0.1:PORT`"""
        return f"http://{HOST}:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.is_running


@frozen
class DevState:
    """All servers that were started. `id` is random and stands in the environment of every process of this federation."""

    id: str
    servers: Mapping[str, Server] = field(factory=dict)
    """By `region:NAME`, `store:NAME` and `node:REGION/NAME`."""
    engine: Literal["embedded", "nomad"] = "embedded"
    has_acls: bool = False
    """Whether the agents of real Nomad have ACLs on."""

    def server(self, kind: str, name: str) -> Server | None:
        """The region's (`region`) or store's (`store`) server, None if it was never started."""
        return self.servers.get(f"{kind}:{name}")

    def with_server(self, key: str, server: Server) -> DevState:
        """The state with that server added or replaced."""
        return replace(self, servers={**self.servers, key: server})


def new_state() -> DevState:
    """The state of a federation of which nothing runs yet."""
    return DevState(secrets.token_hex(16))


def node_key(region: str, node: str) -> str:
    """The key of a node of real Nomad among the servers."""
    return f"node:{region}/{node}"


def state_folder(root: Path) -> Path:
    """Where the project's development federation keeps its files."""
    return root / STATE_FOLDER


def token_path(root: Path) -> Path:
    """The file (mode 0600) with the token of all its regions."""
    return state_folder(root) / "token"


def azure_key_path(root: Path) -> Path:
    """The file with the key of Azurite's account. It is not secret, but a store's credentials are references."""
    return state_folder(root) / "azure.key"


def client_token_path(root: Path, name: str) -> Path:
    """The file (mode 0600) with the token of that name under [dev.acl.tokens]."""
    return state_folder(root) / "tokens" / name


def read_token(root: Path, state: DevState) -> str:
    """The token that the regions expect; empty where they expect none (real Nomad refuses to drain with an unknown one)."""
    return token_path(root).read_text().strip() if state.engine == "embedded" or state.has_acls else ""


def read_state(root: Path) -> DevState | None:
    """Reads the state of the project's federation; None if it was never up. Raises DevError for a file that can't be read."""
    path = state_folder(root) / "state.json"
    try:
        data = json.loads(path.read_bytes())
        if data["format"] > STATE_FORMAT:
            raise FormatTooNew(f"{path} has format {data['format']}, this fedml knows {STATE_FORMAT}: upgrade fedml")
        servers = {key: _server(value) for key, value in data["servers"].items()}
        return DevState(data["id"], servers, data.get("engine", "embedded"), data.get("has_acls", False))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DevError(f"{path} can't be read: {error}", hint="`fedml dev down --purge` begins anew") from error


def write_state(root: Path, state: DevState) -> None:
    """Replaces the state atomically: after a crash the old or the new one is there whole."""
    path = state_folder(root) / "state.json"
    text = json.dumps({"format": STATE_FORMAT, **asdict(state)}, indent=1)
    beside = path.with_suffix(f".{os.getpid()}.new")
    beside.write_text(text)
    beside.replace(path)


def _server(data: Mapping[str, Any]) -> Server:
    process = data["process"]
    return Server(
        data["kind"],
        data["name"],
        data["port"],
        None if process is None else Process(**process),
        tuple(data.get("more_ports", ())),
        data.get("hurt", ""),
    )


def process_start_time(pid: int) -> int | None:
    """When the kernel started the process, in ticks since boot; None where there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def boot_id() -> str:
    """A random text that is new at each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
