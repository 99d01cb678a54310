"""Starts declared servers: chooses ports, writes settings, starts processes, records them and waits until all are ready."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from federation.config.dev_state import (
    HOST,
    DevState,
    Server,
    node_key,
    read_token,
    state_folder,
    token_path,
    write_state,
)
from federation.config.model import Config, DevConfig
from federation.dev import acl, agents, servers
from federation.dev.processes import spawn
from federation.dev.status import log_path
from federation.errors import DevError

LOG_TAIL_LINES = 15

Tell = Callable[[str], None]


class Launch:
    """One start of some of a project's servers. `state` is always what is recorded on disk."""

    def __init__(self, config: Config, dev: DevConfig, state: DevState, tell: Tell, deadline_s: float) -> None:
        self.config = config
        self.root = config.root
        self.dev = dev
        self.state = state
        self.outdated: tuple[str, ...] = ()
        self._is_real = state.engine == "nomad"
        self._binary = agents.require_binary() if self._is_real else ""
        self._tell = tell
        self._deadline_s = deadline_s
        self._until = time.monotonic() + deadline_s
        self._listening: dict[str, socket.socket] = {}

    def wanted(self) -> list[str]:
        """All servers that should run, in the order in which they start."""
        keys = [f"store:{name}" for name in self.dev.stores] + [f"region:{name}" for name in self.dev.regions]
        if self._is_real:
            keys += [node_key(name, node.name) for name, region in self.dev.regions.items() for node in region.nodes]
        return keys

    def start(self, keys: Sequence[str], running: set[str], *, only: Sequence[str] | None = None) -> None:
        """Starts these servers and waits until all that are wanted (or `only` those) are ready. Raises DevError, with the
        end of the log."""
        self._make_volumes()
        with ExitStack() as sockets:
            self._take_ports(keys, sockets)
            self.outdated = tuple(
                key.partition(":")[2] for key in self.wanted() if key in running and self._is_outdated(key)
            )
            first = [key for key in keys if self._comes_first(key)]
            for key in first:
                self._start(key)
            if self.state.has_acls and only is None:
                self._set_up_acls()
            nodes = [key for key in keys if _is_node(key)]
            for key in keys:
                if key not in first and key not in nodes:
                    self._start(key)
            if nodes:
                self._wait_for_keyrings(key for key in keys if key.startswith("region:"))
            for key in nodes:
                self._start(key)
        self._wait(self.wanted() if only is None else only)
        self._make_containers(keys)
        if self._is_real and only is None:
            self._wait_until_joined()

    def _make_volumes(self) -> None:
        for region in self.dev.regions.values():
            for volume in (folder for node in region.nodes for folder in node.host_volumes.values()):
                volume.mkdir(parents=True, exist_ok=True)

    def _wait_for_keyrings(self, regions: Iterable[str]) -> None:
        """Waits for servers that were just started, before their nodes start. Since 1.11 a client gets an identity when it
        registers. One that comes before the servers have keys tries again only half a minute later."""
        for key in regions:
            self._wait([key], quiet=True)
            while not servers.has_keyring(self.state.servers[key]):
                self._check_time(key, "had no keyring")

    def _set_up_acls(self) -> None:
        authority = f"region:{next(iter(self.dev.regions))}"
        self._wait([authority], quiet=True)
        acl.bootstrap(self.state.servers[authority], self.root)
        acl.apply(self.state.servers[authority], self.root, self.dev.policies)

    def _make_containers(self, keys: Iterable[str]) -> None:
        """Makes the containers of Azurite; other stores are started with their buckets."""
        for key in keys:
            store = self.dev.stores.get(key.removeprefix("store:"))
            if store is not None and store.kind == "azure":
                servers.make_containers(self.root, store, self.state.servers[key].address)

    def _comes_first(self, key: str) -> bool:
        """Whether the server starts first. With ACLs, the other regions need the first one's token to start with."""
        if _is_node(key):
            return False
        if not self.state.has_acls:
            return True
        return key.startswith("store:") or key == f"region:{next(iter(self.dev.regions))}"

    def _take_ports(self, keys: Iterable[str], sockets: ExitStack) -> None:
        """Takes a listening socket for each, on its earlier port where that is free. Real agents get two more ports."""
        for key in keys:
            kind, _, name = key.partition(":")
            earlier = self.state.servers.get(key) or Server(kind, name, 0)
            listener = sockets.enter_context(_listen(earlier.port))
            self._listening[key] = listener
            more: list[int] = []
            if self._is_real and kind != "store":
                for port in earlier.more_ports or (0, 0):
                    with _listen(port) as held:
                        more.append(int(held.getsockname()[1]))
            server = Server(kind, name, int(listener.getsockname()[1]), more_ports=tuple(more))
            self.state = self.state.with_server(key, server)

    def _settings(self, key: str) -> tuple[Path, dict[str, Any]]:
        kind, _, name = key.partition(":")
        if not self._is_real:
            addresses = {each: self.state.servers[f"region:{each}"].address for each in self.dev.regions}
            settings = servers.region_settings(self.config, self.dev.regions[name], addresses)
            return servers.settings_path(self.root, name), settings
        region = self.dev.regions[name.partition("/")[0]]
        if kind == "region":
            is_first = name == next(iter(self.dev.regions))
            token = token_path(self.root).read_text().strip() if self.state.has_acls and not is_first else ""
            settings = agents.server_settings(self.config, region, self.state, replication_token=token)
            return agents.settings_path(self.root, name), settings
        node = next(each for each in region.nodes if each.name == name.partition("/")[2])
        settings = agents.node_settings(self.config, region, node, self.state)
        return agents.settings_path(self.root, region.name, node.name), settings

    def _is_outdated(self, key: str) -> bool:
        """Whether the region or node was last started with other settings."""
        if key.startswith("store:"):
            return False
        path, settings = self._settings(key)
        try:
            return bool(json.loads(path.read_bytes()) != settings)
        except (OSError, ValueError):
            return True

    def _start(self, key: str) -> None:
        """Writes settings, starts the process, and records it."""
        server, listener = self.state.servers[key], self._listening[key]
        environment, keep = servers.environment(self.state.id, self.dev.stores.values()), [listener.fileno()]
        if server.kind == "store":
            store = self.dev.stores[server.name]
            command = servers.store_command(self.root, store, listener)
            if not servers.inherits_socket(store):
                keep = []
                listener.close()
        else:
            path, settings = self._settings(key)
            _write_private(path, json.dumps(settings, indent=1))
            if self._is_real:
                command, keep = agents.command(self._binary, path), []
                environment = agents.environment(environment, key)
                listener.close()
            else:
                command = servers.region_command(path, listener.fileno())
        log = log_path(self.root, key)
        log.parent.mkdir(parents=True, exist_ok=True)
        process = spawn(command, environment=environment, folder=state_folder(self.root), log=log, keep_fds=keep)
        self.state = self.state.with_server(key, replace(server, process=process))
        write_state(self.root, self.state)

    def _wait(self, keys: Iterable[str], *, quiet: bool = False) -> None:
        pending = list(keys)
        while True:
            for key in list(pending):
                server = self.state.servers[key]
                if server.is_running and servers.is_ready(server):
                    pending.remove(key)
                    if not quiet:
                        self._tell(f"{server.kind} {server.name} is ready at {server.address}")
                elif not server.is_running:
                    ended = f"{server.kind} {server.name} ended while it started"
                    raise DevError(f"{ended}{_tail(log_path(self.root, key))}")
            if not pending:
                return
            self._check_time(pending[0], "wasn't ready")

    def _wait_until_joined(self) -> None:
        """Waits until each region of real Nomad knows all others and its declared nodes are ready."""
        token = read_token(self.root, self.state)
        if self.dev.namespaces:
            first = self.state.servers[f"region:{next(iter(self.dev.regions))}"]
            acl.make_namespaces(first, self.dev.namespaces, token)
        tokens = [acl.read(self.root, name) for name in self.dev.policies] if self.state.has_acls else []
        namespaces = set(self.dev.namespaces)
        names = sorted(self.config.regions[name].nomad_region for name in self.dev.regions)
        for name, region in self.dev.regions.items():
            key, nodes = f"region:{name}", {node.name for node in region.nodes}
            server = self.state.servers[key]
            while not (
                servers.ask(server, "/v1/regions") == names
                and nodes
                <= {each["Name"] for each in self._listed(server, "nodes", token) if each["Status"] == "ready"}
                and namespaces <= {each["Name"] for each in self._listed(server, "namespaces", token)}
                and all(servers.ask(server, "/v1/acl/token/self", each) for each in tokens)
            ):
                self._check_time(key, "didn't find the other regions and its nodes")

    @staticmethod
    def _listed(server: Server, what: str, token: str) -> list[dict[str, Any]]:
        return servers.ask(server, f"/v1/{what}", token) or []

    def _check_time(self, key: str, what: str) -> None:
        if time.monotonic() > self._until:
            raise DevError(
                f"{key.replace(':', ' ')} {what} after {self._deadline_s:g} seconds{_tail(log_path(self.root, key))}",
                hint="`fedml dev down` ends what runs; then try `fedml dev up` again",
            )
        time.sleep(0.05)


def _is_node(key: str) -> bool:
    return key.startswith("node:")


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.bind((HOST, 0))
    listener.listen(128)
    return listener


def _write_private(path: Path, text: str) -> None:
    """Writes a file that only this user can read: settings may hold a token."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
    return f"; {log} ends with" + "".join(f"\n  {line}" for line in lines) if lines else f"; {log} is empty"
