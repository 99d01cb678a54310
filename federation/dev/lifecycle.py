"""A project enters; its development federation is up, or ended, and what each server is doing leaves as values.

The federation's random id is written before the first process starts and stands in the environment of all of them. So
after a crash at any moment the next `up` or `down` finds every process that was started, recorded or not.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from federation.config import Config, DevConfig
from federation.dev import servers
from federation.dev.lock import locked
from federation.dev.processes import end, marked, spawn
from federation.dev.state import (
    HOST,
    DevState,
    Server,
    new_state,
    read_state,
    state_folder,
    token_path,
    write_state,
)
from federation.errors import DevError

LOG_TAIL_LINES = 15

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One server. `state`: `ready`; `silent`, its process runs but doesn't answer; `down`, it has no process."""

    kind: Literal["region", "store"]
    name: str
    state: Literal["ready", "silent", "down"]
    address: str
    """Empty while it is down."""
    pid: int | None
    log: Path
    detail: str
    """What it consists of: nodes or buckets."""


@dataclass(frozen=True, slots=True)
class Up:
    """What `up` found and did: all servers, those it started (`region:us`), those that run with older settings."""

    servers: tuple[ServerStatus, ...]
    started: tuple[str, ...]
    outdated: tuple[str, ...]


def up(config: Config, tell: Tell, *, deadline_s: float = 60.0) -> Up:
    """Start what isn't running, wait until all is ready; what runs already is left alone.

    Raises DevError, with the end of the log, if a server doesn't become ready; all that this call started is ended then,
    as after Ctrl-C. A server that died is started again with its data, and its port if that is still free.
    """
    dev = _declared(config)
    servers.require_extras(dev.stores)
    root = config.root
    with _plain_errors(root), locked(root, tell):
        state = read_state(root) or new_state()
        write_state(root, state)
        _write_token(token_path(root))
        _end_strays(state)
        running = {key for key, server in state.servers.items() if server.is_running}
        wanted = [f"store:{name}" for name in dev.stores] + [f"region:{name}" for name in dev.regions]
        starting = [key for key in wanted if key not in running]
        try:
            with ExitStack() as sockets:
                state, listening = _with_ports(state, starting, sockets)
                outdated = _write_settings(config, dev, state, running)
                for key in starting:
                    state = _started(config, dev, state, key, listening[key])
            _wait_until_ready(root, state, wanted, tell, deadline_s)
        except BaseException:
            _stop(root, state, starting)
            _end_strays(state)
            raise
    return Up(status(config), tuple(starting), outdated)


def status(config: Config) -> tuple[ServerStatus, ...]:
    """Every declared server and every one that still runs, stores first."""
    dev = config.dev or DevConfig({}, {})
    state = read_state(config.root) or new_state()
    details = {f"store:{name}": f"buckets {', '.join(store.buckets)}" for name, store in dev.stores.items()}
    for name, region in dev.regions.items():
        nodes = len(region.nodes)
        details[f"region:{name}"] = f"{nodes} node{'s' if nodes != 1 else ''}, Nomad {region.version}"
    left = [key for key, server in state.servers.items() if server.is_running and key not in details]
    return tuple(_status(config.root, key, state.servers.get(key), details.get(key, "")) for key in [*details, *left])


def down(root: Path, tell: Tell, *, purge: bool = False, patience_s: float = 10.0) -> tuple[str, ...]:
    """End every process of the project's federation, tasks too, and nothing else; gives the servers that were running.

    Data and ports are kept for the next `up`, but with `purge` all of it is removed. Works whatever `fedml.toml` says.
    """
    if not state_folder(root).exists():
        return ()
    with _plain_errors(root), locked(root, tell):
        try:
            state = read_state(root)
        except DevError:
            if not purge:
                raise
            state = None
        was_running: tuple[str, ...] = ()
        if state is not None:
            was_running = tuple(key for key, server in state.servers.items() if server.is_running)
            _stop(root, state, state.servers, patience_s=patience_s)
            _end_marked(state.id, patience_s=patience_s)
        if purge:
            shutil.rmtree(state_folder(root))
    return was_running


@contextmanager
def _plain_errors(root: Path) -> Iterator[None]:
    """A full disk or a folder without permission, told as such."""
    try:
        yield
    except OSError as error:
        raise DevError(f"{error.filename or state_folder(root)}: {error.strerror}") from error


def _declared(config: Config) -> DevConfig:
    if sys.platform != "linux":
        raise DevError(
            "`fedml dev` needs Linux: it knows its processes by /proc", hint="use a Linux machine or container"
        )
    if config.dev is None:
        raise DevError(
            f"{config.path} declares no development federation",
            hint=f"add [dev.regions.{next(iter(config.regions))}] with nodes, or make a project with `fedml init`",
        )
    return config.dev


def _write_token(path: Path) -> None:
    """A random token, readable by this user only; one that is there stays."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(fd, "w") as file:
        file.write(f"{uuid.uuid4()}\n")


def _with_ports(state: DevState, keys: Iterable[str], sockets: ExitStack) -> tuple[DevState, dict[str, socket.socket]]:
    """A listening socket for each, on its earlier port where that is free."""
    listening = {}
    for key in keys:
        kind, _, name = key.partition(":")
        earlier = state.servers.get(key)
        listener = sockets.enter_context(_listen(earlier.port if earlier else 0))
        listening[key] = listener
        state = state.with_server(key, Server(kind, name, int(listener.getsockname()[1])))
    return state, listening


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError:
        listener.bind((HOST, 0))
    listener.listen(128)
    return listener


def _write_settings(config: Config, dev: DevConfig, state: DevState, running: set[str]) -> tuple[str, ...]:
    """Each region's settings where it will read them; gives the running ones that were started with others."""
    addresses = {name: state.servers[f"region:{name}"].address for name in dev.regions}
    outdated = []
    for name, region in dev.regions.items():
        settings = servers.region_settings(config, region, addresses)
        if f"region:{name}" not in running:
            servers.write_settings(config.root, name, settings)
        elif not servers.has_settings(config.root, name, settings):
            outdated.append(name)
    return tuple(outdated)


def _started(config: Config, dev: DevConfig, state: DevState, key: str, listener: socket.socket) -> DevState:
    """The server's process, recorded."""
    root, server = config.root, state.servers[key]
    if server.kind == "region":
        command = servers.region_command(root, server.name, listener.fileno())
    else:
        command = servers.store_command(root, dev.stores[server.name], listener.fileno())
    log = _log(root, key)
    log.parent.mkdir(parents=True, exist_ok=True)
    process = spawn(
        command,
        environment=servers.environment(state.id),
        folder=state_folder(root),
        log=log,
        keep_fds=[listener.fileno()],
    )
    state = state.with_server(key, replace(server, process=process))
    write_state(root, state)
    return state


def _wait_until_ready(root: Path, state: DevState, keys: Iterable[str], tell: Tell, deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    pending = list(keys)
    while True:
        for key in list(pending):
            server = state.servers[key]
            if servers.is_ready(server):
                pending.remove(key)
                tell(f"{server.kind} {server.name} is ready at {server.address}")
            elif not server.is_running:
                raise DevError(f"{server.kind} {server.name} ended while it started{_tail(_log(root, key))}")
        if not pending:
            return
        if time.monotonic() > deadline:
            key = pending[0]
            raise DevError(
                f"{key.replace(':', ' ')} wasn't ready after {deadline_s:g} seconds{_tail(_log(root, key))}",
                hint="`fedml dev down` ends what runs; then try `fedml dev up` again",
            )
        time.sleep(0.05)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
    return f"; {log} ends with" + "".join(f"\n  {line}" for line in lines) if lines else f"; {log} is empty"


def _stop(root: Path, state: DevState, keys: Iterable[str], *, patience_s: float = 10.0) -> None:
    """End those servers and record it."""
    stopping = {key: server for key, server in state.servers.items() if key in set(keys)}
    end((server.process for server in stopping.values() if server.process), patience_s=patience_s)
    for key, server in stopping.items():
        state = state.with_server(key, replace(server, process=None))
    write_state(root, state)


def _end_strays(state: DevState) -> None:
    """Servers that an `up` started and could not record any more."""
    recorded = {server.process for server in state.servers.values()}
    end(each.process for each in marked(state.id) if servers.is_server(each.command) and each.process not in recorded)


def _end_marked(federation_id: str, *, patience_s: float) -> None:
    """Everything that carries the federation's mark, also what was started while it ended."""
    for _ in range(10):
        found = marked(federation_id)
        if not found:
            return
        end((each.process for each in found), patience_s=patience_s)
    raise DevError("processes of the development federation keep starting others")


def _status(root: Path, key: str, server: Server | None, detail: str) -> ServerStatus:
    kind: Literal["region", "store"] = "region" if key.startswith("region:") else "store"
    name = key.partition(":")[2]
    if server is None or not server.is_running or server.process is None:
        return ServerStatus(kind, name, "down", "", None, _log(root, key), detail)
    state: Literal["ready", "silent"] = "ready" if servers.is_ready(server) else "silent"
    return ServerStatus(kind, name, state, server.address, server.process.pid, _log(root, key), detail)


def _log(root: Path, key: str) -> Path:
    return state_folder(root) / "logs" / f"{key.replace(':', '-')}.log"


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
