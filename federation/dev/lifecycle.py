"""Starts and ends a project's development federation, and tells what each server is doing.

The federation's random id is written before the first process starts and stands in the environment of all of them. So
after a crash at any moment the next `up` or `down` finds every process that was started, recorded or not.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from federation.config.dev_state import (
    DevState,
    client_token_path,
    new_state,
    read_state,
    state_folder,
    token_path,
    write_state,
)
from federation.config.load import load
from federation.config.model import Config, DevConfig
from federation.dev import faults, servers
from federation.dev.launch import Launch, Tell
from federation.dev.lock import locked
from federation.dev.mounts import unmount_under
from federation.dev.processes import end, marked
from federation.dev.status import ServerStatus, as_json, status
from federation.errors import DevError
from federation.index.last_sync import forget_sync
from federation.text import counted, size_text
from jobs.errors import FedmlError
from regions.local.drivers import memory_cgroups
from regions.local.nomad_version import RAW_EXEC_MEMORY, parse
from regions.storage.backend import is_folder

__all__ = ["Engine", "ServerStatus", "Tell", "Up", "as_json", "down", "status", "up"]

Engine = Literal["embedded", "nomad", "auto"]


@dataclass(frozen=True, slots=True)
class Up:
    """What `up` found and did: all servers, those it started (`region:us`), those that run with older settings."""

    servers: tuple[ServerStatus, ...]
    started: tuple[str, ...]
    outdated: tuple[str, ...]
    engine: Literal["embedded", "nomad"] = "embedded"


def up(config: Config, tell: Tell, *, deadline_s: float = 60.0, engine: Engine = "auto", has_acls: bool = False) -> Up:
    """Starts what isn't running and waits until all is ready. What runs already is left alone, but faults made on purpose
    are undone.

    `engine`: `nomad` starts real agents (a server a region, a client a node), `auto` is what this federation was started
    with, at first the embedded region. `has_acls`: the agents of real Nomad get ACLs, and the token file their management
    token. Raises DevError, with the end of the log, if a server doesn't become ready. Then all that this call started is
    ended, as after Ctrl-C. A server that died is started again with its data, and its port if that is still free.
    """
    dev = _declared(config)
    servers.require_extras(dev.stores)
    root = config.root
    with _plain_errors(root), locked(root, tell):
        state = _with_engine(read_state(root) or new_state(), engine, has_acls)
        launch = Launch(config, dev, state, tell, deadline_s)
        write_state(root, state)
        for path in (token_path(root), *(client_token_path(root, name) for name in dev.policies)):
            _write_token(path)
        _end_strays(state)
        state = launch.state = faults.mend(config, state, tell)
        write_state(root, state)
        running = {key for key, server in state.servers.items() if server.is_running}
        starting = [key for key in launch.wanted() if key not in running]
        try:
            launch.start(starting, running)
            faults.mend_nodes(config, launch.state, tell)
        except BaseException:
            _stop(root, launch.state, starting)
            _end_strays(launch.state)
            raise
    return Up(status(config), tuple(starting), launch.outdated, state.engine)


def _with_engine(state: DevState, engine: Engine, has_acls: bool) -> DevState:
    """Raises DevError where regions of the other engine still run, and for ACLs that can't be turned on now."""
    chosen = state.engine if engine == "auto" else engine
    if has_acls and chosen == "embedded":
        raise DevError("--acl is only for real Nomad", hint="leave it out: the embedded region always asks for a token")
    wants_acls = chosen == "nomad" and (has_acls or (state.engine == "nomad" and state.has_acls))
    changed = chosen != state.engine or wants_acls != state.has_acls
    if changed and any(server.is_running and server.kind != "store" for server in state.servers.values()):
        is_now = f"the engine {state.engine}" if chosen != state.engine else "no ACLs"
        raise DevError(f"the federation runs with {is_now}", hint="`fedml dev down` first")
    return replace(state, engine=chosen, has_acls=wants_acls)


def memory_note(config: Config) -> str:
    """Says which tasks of embedded regions are ended for more memory than they ask for."""
    if why := memory_cgroups.why_not():
        return f"No task is ended for using more memory than it asks for: {why}."
    regions = config.dev.regions if config.dev is not None else {}
    limited = [name for name, one in regions.items() if parse(one.version) >= RAW_EXEC_MEMORY]
    version = f"{RAW_EXEC_MEMORY.major}.{RAW_EXEC_MEMORY.minor}"
    if all("exec" not in node.drivers for one in regions.values() for node in one.nodes):
        if limited:
            return f"Tasks are ended when they use more memory than they ask for, in {', '.join(limited)}."
        return f"No task is ended for using more memory than it asks for, as by Nomad before {version}."
    exec_tasks = "Tasks of the driver exec are ended when they use more memory than they ask for"
    if limited:
        return f"{exec_tasks}, and raw_exec tasks in {', '.join(limited)} too, as by Nomad {version} and later."
    return f"{exec_tasks}; raw_exec tasks are not, as by Nomad before {version} (version in [dev.regions.NAME])."


def down(root: Path, tell: Tell, *, purge: bool = False, patience_s: float = 10.0) -> tuple[str, ...]:
    """Ends every process of the project's federation, tasks too, and nothing else. Returns the servers that were running.
    Data and ports are kept for the next `up`; with `purge` all of it is removed. Needs no valid `fedml.toml`."""
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
            unmount_under(state_folder(root))
        if purge:
            _forget_home(root)
            shutil.rmtree(state_folder(root))
    return was_running


def purged_data(root: Path) -> str:
    """What `down` with `purge` removes, in words. Empty where there is nothing."""
    folder = state_folder(root)
    if not folder.exists():
        return ""
    sizes = list(_file_sizes(folder))
    names: list[str] = []
    with suppress(DevError):  # a state that can't be read is removed too
        state = read_state(root)
        names = [key.replace(":", " ") for key in state.servers] if state is not None else []
    what = f", the data of {', '.join(names)}" if names else ""
    return f"{folder} ({counted(len(sizes), 'file')}, {size_text(sum(sizes))}){what}"


def _file_sizes(folder: Path) -> Iterator[int]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not os.path.ismount(Path(place, name))]  # a mount is not removed
        for name in files:
            with suppress(OSError):  # gone meanwhile
                yield os.lstat(Path(place, name)).st_size


def _forget_home(root: Path) -> None:
    """A home in a store that is purged is new again, and not one that lost its index."""
    with suppress(FedmlError):  # a fedml.toml that can't be read: the catalog stays known
        config = load(root / "fedml.toml")
        if config.dev is not None and config.dev.stores and not is_folder(config.home.url):
            forget_sync(config.cache_dir, config.home.url)


@contextmanager
def _plain_errors(root: Path) -> Iterator[None]:
    """Raises DevError for a full disk or a folder without permission."""
    try:
        yield
    except OSError as error:
        raise DevError(f"{error.filename or state_folder(root)}: {error.strerror}") from error


def _declared(config: Config) -> DevConfig:
    if sys.platform != "linux":
        raise DevError(
            "`fedml dev` needs Linux: it finds its processes in /proc", hint="use a Linux machine or container"
        )
    if config.dev is None:
        raise DevError(
            f"{config.path} declares no development federation",
            hint=f"add [dev.regions.{next(iter(config.regions))}] with nodes, or make a project with `fedml init`",
        )
    return config.dev


def _write_token(path: Path) -> None:
    """Writes a random token, readable by this user only. An existing one stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(fd, "w") as file:
        file.write(f"{uuid.uuid4()}\n")


def _stop(root: Path, state: DevState, keys: Iterable[str], *, patience_s: float = 10.0) -> None:
    """Ends those servers and records it."""
    stopping = {key: server for key, server in state.servers.items() if key in set(keys)}
    end((server.process for server in stopping.values() if server.process), patience_s=patience_s)
    for key, server in stopping.items():
        state = state.with_server(key, replace(server, process=None, hurt=""))
    write_state(root, state)


def _end_strays(state: DevState) -> None:
    """Servers that an `up` started and could not record any more."""
    recorded = {server.process for server in state.servers.values()}
    end(each.process for each in marked(state.id) if servers.is_server(each.command) and each.process not in recorded)


def _end_marked(federation_id: str, *, patience_s: float) -> None:
    """Ends everything that carries the federation's mark, also what was started meanwhile."""
    for _ in range(10):
        found = marked(federation_id)
        if not found:
            return
        end((each.process for each in found), patience_s=patience_s)
    raise DevError(
        "processes of the development federation start others faster than they can be ended",
        hint="`fedml dev down` again",
    )
