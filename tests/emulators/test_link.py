"""The relay does to bytes what its faults say, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.emulators.link import Delayed, Dripped, Dropped, Fault, Limited, Link, Oversized, Refused, StreamStalled

SILENCE_S = 0.3
STREAM_REQUEST = b"GET /v1/event/stream?topic=Job HTTP/1.1\r\n\r\n"


class Server:
    """Takes connections one by one, for the test to read and to answer."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(20)
        self.link = Link(int(self.listener.getsockname()[1]))

    def connected(self) -> tuple[socket.socket, socket.socket]:
        """A client's end of a connection through the relay, and the server's."""
        client = socket.create_connection(("127.0.0.1", self.link.port))
        server, _ = self.listener.accept()
        client.settimeout(20)
        server.settimeout(20)
        return client, server

    def close(self) -> None:
        self.link.close()
        self.listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def has_ended(end: socket.socket) -> bool:
    """The connection was closed, or reset."""
    try:
        while end.recv(100):
            pass
    except ConnectionError:
        pass
    return True


def is_silent(end: socket.socket) -> bool:
    """Nothing comes for a moment, and the connection is open."""
    end.settimeout(SILENCE_S)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    return False


def read(end: socket.socket, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        more = end.recv(size_bytes - len(data))
        assert more, f"it ended after {data!r}"
        data += more
    return data


def asked(client: socket.socket, server: socket.socket, request: bytes, answer: bytes) -> bytes:
    """What the client reads when the server answers its request."""
    client.sendall(request)
    assert read(server, len(request)) == request
    server.sendall(answer)
    return read(client, len(answer))


def test_whole_it_passes_all_on_and_tells_of_ends(server: Server) -> None:
    client, end = server.connected()
    with end:
        client.close()
        assert end.recv(1) == b""
    client, end = server.connected()
    with client, end:
        assert asked(client, end, b"ask", b"x" * 300_000) == b"x" * 300_000
        end.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


@pytest.mark.parametrize(
    ("fault", "arrives_at_server", "arrives_at_client"),
    [
        (Dropped("in"), False, True),
        (Dropped("out"), True, False),
        (Dropped("both"), False, False),
        (Oversized(3), True, True),
        (Oversized(2), False, False),
        (StreamStalled(), True, True),
    ],
)
def test_what_is_dropped_is_lost_for_good_and_a_mended_one_starts_anew(
    server: Server, fault: Fault, arrives_at_server: bool, arrives_at_client: bool
) -> None:
    client, end = server.connected()
    with client, end:
        assert asked(client, end, b"ab", b"cd") == b"cd"
        server.link.suffer(fault)
        client.sendall(b"ask")
        end.sendall(b"say")
        assert is_silent(end) is not arrives_at_server
        assert is_silent(client) is not arrives_at_client
        server.link.mend()
        client.settimeout(20)
        assert has_ended(client)
    client, end = server.connected()
    with client, end:
        assert asked(client, end, b"ask", b"say") == b"say"


def test_only_event_streams_stall(server: Server) -> None:
    stream, its_end = server.connected()
    other, other_end = server.connected()
    with stream, its_end, other, other_end:
        assert asked(stream, its_end, STREAM_REQUEST, b"{}") == b"{}"
        server.link.suffer(StreamStalled())
        its_end.sendall(b"{}")
        assert asked(other, other_end, b"GET /v1/jobs HTTP/1.1\r\n\r\n", b"[]") == b"[]"
        assert is_silent(stream)


def test_refused_connections_are_reset(server: Server) -> None:
    client, end = server.connected()
    with client, end:
        server.link.suffer(Refused())
        assert has_ended(client)
    with socket.create_connection(("127.0.0.1", server.link.port)) as late:
        late.settimeout(20)
        assert has_ended(late)


@pytest.mark.parametrize("fault", [Delayed(600.0), Dripped(1, 600.0)])
def test_slow_answers_wait_until_their_time_or_the_next_fault(server: Server, fault: Fault) -> None:
    client, end = server.connected()
    with client, end:
        server.link.suffer(fault)
        client.sendall(b"ask")
        assert read(end, 3) == b"ask", "requests aren't slow"
        end.sendall(b"say")
        assert is_silent(client)
        server.link.suffer(Delayed(0.0))
        client.settimeout(20)
        assert read(client, 3) == b"say"


def test_a_limit_passes_all_in_pieces(server: Server) -> None:
    client, end = server.connected()
    with client, end:
        server.link.suffer(Limited(1000))
        sent = bytes(range(250))
        threading.Thread(target=client.sendall, args=(sent,)).start()
        pieces = [end.recv(1000)]
        while sum(map(len, pieces)) < len(sent):
            pieces.append(end.recv(1000))
        assert b"".join(pieces) == sent
        assert max(map(len, pieces)) < len(sent)
