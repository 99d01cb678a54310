"""fake-gcs-server, from the wheel that brings it, on a free loopback port; objects in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from regions.storage.emulators import gcs_command
from tests.emulators.process import server


def is_installed() -> bool:
    """Whether its wheel is installed here, for this kind of machine."""
    return gcs_command(0) is not None


@contextmanager
def gcs_server() -> Iterator[str]:
    """The endpoint of a fresh, empty server. It takes anonymous requests."""
    with server(lambda port: gcs_command(port) or [], path="/storage/v1/b?project=test") as endpoint:
        yield endpoint
