"""A small HTTP server that records what reaches it and answers as a test says."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from regions.credentials import SecretRef
from regions.model import Region
from regions.nomad.client import NomadRegion


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire: `path` still quoted."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes | str | dict[str, Any] | list[Any] = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    """Close the connection without a word, after the request was read."""


MEMBERS = Reply(
    body={"Members": [{"Status": "alive", "Tags": {"role": "nomad", "region": "us", "build": "1.6.3"}}]},
)


class Recorder:
    """`answers`: what a path is answered, in order, the last one for ever; `default` for all other paths."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.connections = 0
        self.sockets: list[socket.socket] = []
        self.answers: dict[str, list[Reply] | Callable[[Seen], Reply]] = {"/v1/agent/members": [MEMBERS]}
        self.default = Reply()
        self.stream: Callable[[Any], None] | None = None
        """Writes the body of an event stream to the handler it is given."""
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet a reply: with Nagle's algorithm each would wait for the client's acknowledgement.
            wbufsize = -1

            def setup(self) -> None:
                super().setup()
                recorder.connections += 1
                recorder.sockets.append(self.connection)

            def handle(self) -> None:
                try:
                    super().handle()
                except (ConnectionError, ssl.SSLError):  # the client hung up: some tests want that
                    self.close_connection = True

            def finish(self) -> None:
                try:
                    super().finish()
                except (ConnectionError, ssl.SSLError):
                    pass

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                url = urlsplit(self.path)
                seen = Seen(
                    self.command,
                    url.path if not url.netloc else self.path,
                    parse_qs(url.query),
                    {key.lower(): value for key, value in self.headers.items()},
                    json.loads(raw) if raw else None,
                )
                recorder.seen.append(seen)
                if recorder.stream is not None and url.path == "/v1/event/stream":
                    self.send_response(200)
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.close_connection = True
                    recorder.stream(self)
                    return
                self.reply(recorder.next_reply(seen))

            def reply(self, reply: Reply) -> None:
                if reply.hangs_up:
                    self.close_connection = True
                    return
                body = reply.body
                data = (
                    body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
                )
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(data)))
                for key, value in reply.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *args: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def next_reply(self, seen: Seen) -> Reply:
        answers = self.answers.get(seen.path)
        if answers is None:
            return self.default
        if callable(answers):
            return answers(seen)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def use_tls(self, context: ssl.SSLContext) -> None:
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.address = self.address.replace("http://", "https://")

    def calls(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in self.sockets:
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def new_recorder() -> Iterator[Callable[[], Recorder]]:
    made: list[Recorder] = []

    def new() -> Recorder:
        made.append(Recorder())
        return made[-1]

    yield new
    for recorder in made:
        recorder.close()


@pytest.fixture
def recorder(new_recorder: Callable[[], Recorder]) -> Recorder:
    return new_recorder()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client(recorder: Recorder) -> Iterator[Callable[..., NomadRegion]]:
    """Makes the client of region `us` at the recorder, or at `addresses`."""
    made: list[NomadRegion] = []

    def make(
        *,
        addresses: tuple[str, ...] = (),
        token: SecretRef | None = None,
        deadline_s: float = 40.0,
        timeout_s: float = 20.0,
        **fields: Any,
    ) -> NomadRegion:
        region = Region(name="us", addresses=addresses or (recorder.address,), datacenters={}, token=token, **fields)
        made.append(NomadRegion(region, deadline_s=deadline_s, timeout_s=timeout_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply
