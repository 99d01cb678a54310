"""moto's S3 as a server of its own on a free loopback port: a context manager gives its address, and ends it by its pid.

The process ends by itself when its stdin closes, so also when the tests are killed.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
"""What moto takes: anything."""

_SERVER = """
import logging, sys, threading
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
# moto looks at If-Match and If-None-Match, and then writes: under load two writers can both win, as on S3 they can't.
lock, put_object = threading.Lock(), S3Response.put_object
def put_alone(self):
    with lock:
        return put_object(self)
S3Response.put_object = put_alone
logging.getLogger("werkzeug").disabled = True
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("http://%s:%d" % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""


def is_installed() -> bool:
    """Whether moto's server can be started here."""
    return importlib.util.find_spec("moto") is not None and importlib.util.find_spec("flask") is not None


@contextmanager
def moto_server() -> Iterator[str]:
    """The endpoint of a fresh, empty moto. Its clients need CREDENTIALS in their environment."""
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        endpoint = server.stdout.readline().strip()
        assert endpoint, f"moto ended with exit code {server.wait()}"
        yield endpoint
    finally:
        server.communicate()  # closes its stdin and waits for its end
