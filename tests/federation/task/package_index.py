"""A package index on this machine's loopback with small packages of our own, and the uv that asks it."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.emulators.requirements import missing


def uv() -> str:
    """The installed uv. Skips the test where there is none."""
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return found or missing("uv", "there is no uv on PATH")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def served(folder: Path, packages: Mapping[str, str], *, modules: int = 0) -> Iterator[str]:
    """Serves `packages` (name → its requirement, "" for none), each in version 1.0 and with so many further modules. Yields
    the index's URL."""
    for name, requires in packages.items():
        place = folder / "simple" / name
        place.mkdir(parents=True)
        (place / f"{name}-1.0-py3-none-any.whl").write_bytes(_wheel(name, requires, modules))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked_for(*arguments: str, cwd: Path, index: str) -> None:
    """Runs uv on the side of the person who writes the code."""
    environ = {
        **os.environ,
        "UV_DEFAULT_INDEX": index,
        "UV_CACHE_DIR": str(cwd / ".uv-cache"),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    subprocess.run([uv(), *arguments], cwd=cwd, env=environ, check=True, capture_output=True, timeout=120)


def _wheel(name: str, requires: str, modules: int) -> bytes:
    info = f"{name}-1.0.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": b"VERSION = '1.0'\n",
        **{f"{name}_parts/part_{number}.py": b"VALUE = 1\n" * 50 for number in range(modules)},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"
        for path, data in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return buffer.getvalue()
