"""A command line with a place for its port enters, the address of a server that answers there leaves, until the block ends.

The server ends with its own process group's guard: also when the tests are killed, for the guard's stdin closes then.
"""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

HOST = "127.0.0.1"
START_S = 60.0
_TRIES = 3

_GUARD = """
import subprocess, sys, threading
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
def end():
    sys.stdin.read()
    server.terminate()
threading.Thread(target=end, daemon=True).start()
sys.exit(server.wait())
"""


@contextmanager
def server(
    command: Callable[[int], list[str]], environ: Mapping[str, str] | None = None, *, path: str = "/", beside: int = 0
) -> Iterator[str]:
    """`http://127.0.0.1:PORT` of `command(PORT)`, which is started again on another port where it ends at once.

    It is there when it answers `path` with anything below 500. `beside`: the port that far above is free too.
    """
    for tries_left in reversed(range(_TRIES)):
        port = free_port(beside)
        process = subprocess.Popen(
            [sys.executable, "-c", _GUARD, *command(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(environ or {})},
        )
        try:
            if _answers(process, port, path):
                yield f"http://{HOST}:{port}"
                return
            assert tries_left, f"{command(port)[0]} did not start: exit code {process.poll()}"
        finally:
            process.communicate()  # closes its stdin and waits for its end


def free_port(beside: int = 0) -> int:
    """A port that nobody listens on now, below those that the system gives out by itself."""
    while True:
        port = 10_000 + secrets.randbelow(20_000 - beside)
        if all(_is_free(port + above) for above in {0, beside}):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex((HOST, port)) != 0 and _binds(probe.family, port)


def _binds(family: int, port: int) -> bool:
    with socket.socket(family) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _answers(process: subprocess.Popen[bytes], port: int, path: str) -> bool:
    ends = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < ends:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status < 500:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    return False
