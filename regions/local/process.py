"""Runs a region's process from its configuration file."""

from __future__ import annotations

import gc
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from regions.local.config import InvalidConfig, RegionConfig, load
from regions.local.http.access import Tokens
from regions.local.http.context import Context
from regions.local.http.routes import answer
from regions.local.http.server import Server
from regions.local.server.collection import collect
from regions.local.server.heartbeats import Heartbeats
from regions.local.server.worker import Worker
from regions.local.state.journal import StateInUse
from regions.local.state.nodes import declare
from regions.local.state.snapshot import is_client_terminal
from regions.local.state.store import Store

if TYPE_CHECKING:
    from ssl import SSLContext

_COLLECT_EVERY_S = 300.0
_GC_THRESHOLD = 20_000
"""Records hold no cycles, so the garbage collector runs rarely."""
_STACK_BYTES = 512 * 1024


def main(arguments: list[str]) -> int:
    """Runs a region until SIGTERM or SIGINT. Returns the exit code."""
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[1] != "--fd"):
        print("usage: python -m regions.local CONFIG.json [--fd N]", file=sys.stderr)  # noqa: T201
        return 1
    try:
        config = load(Path(arguments[0]))
        listener = _listen(config, int(arguments[2]) if len(arguments) == 3 else None)
        tokens = Tokens(config)
        tls = _tls(config)
        store = Store(config.data_dir, event_buffer=config.event_buffer, answers_as=config.answers_as)
    except (InvalidConfig, StateInUse, OSError, ValueError) as error:
        print(f"regions.local: {error}", file=sys.stderr)  # noqa: T201
        return 1
    run(config, listener, store, tokens, tls)
    return 0


def run(
    config: RegionConfig, listener: socket.socket, store: Store, tokens: Tokens, tls: SSLContext | None = None
) -> None:
    """Runs the region on a listening socket until a signal ends it."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: done.set())
    host, port = listener.getsockname()[:2]
    address = f"{host}:{port}"
    print(  # noqa: T201
        f"region {config.region} on {config.scheme}://{address}: a development engine, not Nomad; "
        "it listens on loopback only, and raw_exec runs tasks as you",
        file=sys.stderr,
        flush=True,
    )
    threading.stack_size(_STACK_BYTES)
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    from regions.local.client import Client

    worker: Worker | None = None

    def on_update(updates: list[dict[str, object]]) -> None:
        assert worker is not None
        worker.on_update(updates)

    def variable(namespace: str, path: str) -> dict[str, str] | None:
        return (store.snapshot.variables.get((namespace, path)) or {}).get("Items")

    client = Client(config.data_dir, on_update, config.base_env(), f"{config.scheme}://{address}", variable)
    worker = Worker(store, client)
    declare(store, config, address)
    heartbeats = Heartbeats(store, worker, client, config.data_dir, config.heartbeat_grace_s)
    heartbeats.resume()
    state = store.snapshot
    client.restore(
        [
            (alloc, alloc["Job"], state.nodes.get(alloc["NodeID"]))
            for alloc in state.allocs.values()
            if not is_client_terminal(alloc)
        ]
    )
    worker.start()

    declared = frozenset(node.name for node in config.nodes)

    def collect_now(*, force: bool = False) -> None:
        collect(store, client.destroy, declared=declared, force=force)

    context = Context(config, store, worker, client, address, collect_now, heartbeats, tokens)
    server = Server(
        listener, lambda request: answer(context, request), context.faults.hold, tls=tls, hosts=config.hosts
    )
    server.start()
    while not done.wait(_COLLECT_EVERY_S):
        collect_now()
    server.close()
    heartbeats.stop()
    worker.stop()
    client.shutdown(kill=True)
    store.close()


def _tls(config: RegionConfig) -> SSLContext | None:
    """Returns the server's TLS context. Raises OSError where a file is missing or wrong."""
    if not config.tls:
        return None
    import ssl  # loaded on first use, so that start-up is quick

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config.tls["cert_file"], config.tls["key_file"])
    return context


def _listen(config: RegionConfig, inherited: int | None) -> socket.socket:
    if inherited is not None:
        listener = socket.socket(fileno=inherited)
        listener.set_inheritable(False)  # otherwise a task that outlives a killed region would keep its port
        listener.setblocking(True)
        return listener
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((config.host, config.port))
    listener.listen(128)
    return listener
