"""Azurite, Microsoft's own emulator of Azure's blobs, on a free loopback port; blobs in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from regions.storage.emulators import AZURITE_ACCOUNT, AZURITE_KEY, azure_command
from tests.emulators.process import server

ACCOUNT, KEY = AZURITE_ACCOUNT, AZURITE_KEY


def is_installed() -> bool:
    """Whether Azurite and a Node to run it are here."""
    return azure_command(0) is not None


@contextmanager
def azurite_server() -> Iterator[str]:
    """The endpoint of a fresh, empty Azurite. Its clients need ACCOUNT and KEY."""
    with server(lambda port: azure_command(port) or []) as endpoint:
        yield endpoint
