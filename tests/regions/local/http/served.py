"""A region's API served in this process, with a client that runs nothing, and a small HTTP client for it."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from regions.local.config import RegionConfig
from regions.local.http.access import Tokens
from regions.local.http.context import Context
from regions.local.http.routes import answer
from regions.local.http.server import Server
from regions.local.server.collection import collect
from regions.local.server.heartbeats import Heartbeats
from regions.local.server.worker import Worker
from regions.local.state.nodes import declare
from regions.local.state.store import Store
from tests.regions.local.state.builders import StillClient

TOKEN = "00000000-0000-0000-0000-00000000abcd"


class FolderClient(StillClient):
    """Has folders, runs nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.restarted: list[tuple[str, str | None]] = []

    def alloc_dir(self, alloc_id: str) -> Path:
        return self._folder / alloc_id

    def restart(self, alloc_id: str, task: str | None) -> None:
        if task == "missing":
            raise RuntimeError("Could not find task runner for task: missing")
        self.restarted.append((alloc_id, task))

    def stats(self, alloc_id: str) -> dict[str, Any]:
        raise LookupError(f'Unknown allocation "{alloc_id}"')


class Api:
    """Asks a region over one keep-alive connection."""

    def __init__(self, port: int, store: Store, worker: Worker, client: FolderClient, context: Context) -> None:
        self.port, self.store, self.worker, self.client, self.context = port, store, worker, client, context
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN) -> tuple[int, Any]:
        """(status, decoded JSON or text)"""
        headers = {"X-Nomad-Token": token} if token else {}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        self._connection.request(method, path, data, headers)
        response = self._connection.getresponse()
        text = response.read().decode()
        self.headers = dict(response.headers)
        is_json = response.headers.get("Content-Type", "") == "application/json" and response.status == 200
        return response.status, json.loads(text) if is_json else text

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str) -> Any:
        status, answer = self.ask("GET", path)
        assert status == 200, answer
        return answer

    def put(self, path: str, body: Any = None) -> Any:
        status, answer = self.ask("PUT", path, body if body is not None else {})
        assert status == 200, answer
        return answer

    def finished(self, eval_id: str) -> dict[str, Any]:
        """The evaluation, once it is not pending any more."""
        self.store.wait(lambda state: state.evals.get(eval_id)["Status"] != "pending", above=0, timeout_s=30)
        found: dict[str, Any] = self.get(f"/v1/evaluation/{eval_id}")
        assert found["Status"] != "pending"
        return found


@contextmanager
def serve(config: RegionConfig) -> Iterator[Api]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    address = f"127.0.0.1:{port}"
    store = Store(config.data_dir, event_buffer=config.event_buffer, answers_as=config.answers_as)
    client = FolderClient(config.data_dir / "alloc")
    worker = Worker(store, client)
    declare(store, config, address)

    def collect_now(*, force: bool = False) -> None:
        collect(store, lambda _alloc_id: None, force=force)

    heartbeats = Heartbeats(store, worker, client, config.data_dir, config.heartbeat_grace_s)
    context = Context(config, store, worker, client, address, collect_now, heartbeats, Tokens(config))
    server = Server(listener, lambda request: answer(context, request), context.faults.hold, hosts=config.hosts)
    worker.start()
    server.start()
    api = Api(port, store, worker, client, context)
    try:
        yield api
    finally:
        api.close()
        context.faults.mend()
        server.close()
        heartbeats.stop()
        worker.stop()
        store.close()
