"""Makes and undoes faults of a node or region of the development federation.

Faults are recorded in the state file, but those of an embedded region's nodes and its cuts in the region. Real Nomad lacks
one fault: its agents can't be cut from others on this machine.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any, Literal

from federation.config.dev_state import DevState, Process, Server, node_key, read_state, read_token, write_state
from federation.config.model import Config, DevConfig, DevRegion
from federation.dev import servers
from federation.dev.launch import Launch, Tell
from federation.dev.lock import locked
from federation.dev.processes import end, marked, send
from federation.errors import DevError

NodeOrder = Literal["kill", "pause", "drain", "restore"]
RegionOrder = Literal["kill", "pause", "cut", "restore"]


def node(config: Config, name: str, order: NodeOrder, tell: Tell) -> str:
    """Makes or undoes a fault of a node, `us-1` or `us/us-1`. Returns its full name.

    `kill`: its tasks are gone at once, and it is silent. `pause`: it stands still with its tasks. `drain`: it takes nothing
    new, and its tasks move. `restore`: all of that is undone. Raises DevError, having changed nothing.
    """
    with locked(config.root, tell):
        dev, state = _running(config)
        region, node_name = _find(dev, name)
        full, server = f"{region.name}/{node_name}", state.servers[f"region:{region.name}"]
        if order == "drain":
            _drain(config, server, node_name, is_on=True)
            return full
        if state.engine == "embedded":
            _order(config, server, f"/v1/fedml/node/{node_name}", order)
        else:
            _hurt_agent(config, dev, state, node_key(region.name, node_name), order, tell)
        if order == "restore":
            _drain(config, server, node_name, is_on=False)
        return full


def region(config: Config, name: str, order: RegionOrder, tell: Tell) -> None:
    """Makes or undoes a fault of a region's server. Its tasks go on in any case.

    `kill`: SIGKILL. `pause`: SIGSTOP. `cut`: it answers nobody, and works on (the embedded region only). `restore`: back,
    with its data. Raises DevError, having changed nothing.
    """
    with locked(config.root, tell):
        dev, state = _running(config)
        if name not in dev.regions:
            raise DevError(f"there is no development region {name!r}", hint=f"there are: {', '.join(dev.regions)}")
        key = f"region:{name}"
        server = state.servers[key]
        if order == "cut" and state.engine != "embedded":
            raise DevError("agents of real Nomad can't be cut off on one machine", hint="use `pause`")
        if order == "cut":
            _order(config, server, "/v1/fedml/region", "cut")
            write_state(config.root, state.with_server(key, replace(server, hurt="cut")))
        elif order == "restore" and server.hurt == "cut" and server.is_running:
            _order(config, server, "/v1/fedml/region", "restore")
            write_state(config.root, state.with_server(key, replace(server, hurt="")))
        else:
            _hurt_agent(config, dev, state, key, order, tell)


def mend(config: Config, state: DevState, tell: Tell) -> DevState:
    """Resumes everything that is paused or cut (`up` starts what was killed). The caller holds the lock."""
    for key, server in state.servers.items():
        if server.hurt == "paused":
            send(_processes(state, key), signal.SIGCONT)
        elif server.hurt == "cut" and server.is_running:
            _order(config, server, "/v1/fedml/region", "restore")
        if server.hurt:
            tell(f"{server.kind} {server.name} was {server.hurt}: restored")
            state = state.with_server(key, replace(server, hurt=""))
    return state


def mend_nodes(config: Config, state: DevState, tell: Tell) -> None:
    """Restores the nodes of all embedded regions. The caller holds the lock, and all regions are ready."""
    token = read_token(config.root, state)
    for server in state.servers.values():
        if server.kind == "region" and server.is_running and state.engine == "embedded":
            for name, how in servers.hurt_nodes(server, token).items():
                _order(config, server, f"/v1/fedml/node/{name}", "restore")
                tell(f"node {server.name}/{name} was {how}: restored")


def _running(config: Config) -> tuple[DevConfig, DevState]:
    state = read_state(config.root)
    if config.dev is None or state is None or not any(server.process for server in state.servers.values()):
        raise DevError("the development federation isn't up", hint="start it with `fedml dev up`")
    return config.dev, state


def _find(dev: DevConfig, name: str) -> tuple[DevRegion, str]:
    known = [(region, node.name) for region in dev.regions.values() for node in region.nodes]
    found = [(region, node) for region, node in known if name in (node, f"{region.name}/{node}")]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{region.name}/{node}" for region, node in (found or known))
    raise DevError(f"{'several nodes are' if found else 'no node is'} named {name!r}", hint=f"one of: {names}")


def _hurt_agent(config: Config, dev: DevConfig, state: DevState, key: str, order: str, tell: Tell) -> None:
    """Stops, resumes, kills or starts processes. The state is written before, and stays true."""
    server = state.servers[key]
    if order in ("kill", "pause") and not server.is_running:
        raise DevError(f"{server.kind} {server.name} isn't running", hint="`restore` or `fedml dev up` starts it")
    if order == "kill":
        write_state(config.root, state.with_server(key, replace(server, hurt="killed")))
        end(_processes(state, key), first=signal.SIGKILL)
    elif order == "pause":
        write_state(config.root, state.with_server(key, replace(server, hurt="paused")))
        send(_processes(state, key), signal.SIGSTOP)
    elif server.is_running:
        send(_processes(state, key), signal.SIGCONT)
        write_state(config.root, state.with_server(key, replace(server, hurt="")))
    else:
        Launch(config, dev, state, tell, 60.0).start([key], {each for each in state.servers if each != key}, only=[key])


def _processes(state: DevState, key: str) -> list[Process]:
    """The server's own process; for a node of real Nomad also all that it has started."""
    server = state.servers[key]
    own = [server.process] if server.process is not None else []
    if server.kind != "node":
        return own
    return own + [each.process for each in marked(state.id) if each.server == key and each.process not in own]


def _order(config: Config, server: Server, path: str, order: str) -> None:
    if _ask(config, server, "PUT", path, {"Do": order}) is None:
        raise DevError(f"{server.kind} {server.name} doesn't answer", hint="see `fedml dev status`")


def _drain(config: Config, server: Server, name: str, *, is_on: bool) -> None:
    nodes = _ask(config, server, "GET", "/v1/nodes", None)
    found = next((each for each in nodes or () if each["Name"] == name), None)
    if found is None:
        if not is_on:
            return
        raise DevError(f"region {server.name} doesn't know the node {name}", hint="see `fedml dev status`")
    if not is_on and not found["Drain"] and found["SchedulingEligibility"] == "eligible":
        return
    spec = {"Deadline": -1, "IgnoreSystemJobs": False} if is_on else None
    body = {"DrainSpec": spec, "MarkEligible": not is_on}
    if _ask(config, server, "PUT", f"/v1/node/{found['ID']}/drain", body) is None:
        raise DevError(f"region {server.name} doesn't drain the node {name}", hint="see `fedml dev status`")


def _ask(config: Config, server: Server, method: str, path: str, body: object) -> Any:
    state = read_state(config.root)
    token = read_token(config.root, state) if state else ""
    return servers.ask(server, path, token, method=method, body=body)
