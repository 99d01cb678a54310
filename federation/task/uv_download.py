"""Gets uv from the URL of `[run] uv`, once a node, and checks its sha256 before anything runs."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path

from federation.errors import FederationError
from federation.task.command_line import UvDownload

_BYTES_MAX = 256 * 1024 * 1024
_TIMEOUT_S = 60.0


def downloaded_uv(source: UvDownload, folder: Path) -> Path:
    """The program, in `folder`. Raises FederationError if it can't be had or has another sha256."""
    import urllib.request  # loaded only where it is used: a task should start at once

    program = folder / f"uv-{source.sha256[:32]}"
    if os.access(program, os.X_OK):
        return program
    try:
        with urllib.request.urlopen(source.url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the scheme is checked
            data = answer.read(_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        raise FederationError(
            f"can't get uv from {source.url}: {getattr(error, 'reason', None) or error}",
            hint="check uv under [run] in fedml.toml, and that nodes reach it",
        ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        raise FederationError(
            f"what lies at {source.url} has the sha256 {found}, not {source.sha256}; it was not run",
            hint="set uv_sha256 under [run] in fedml.toml, if you trust the new file",
        )
    # Tasks in containers share the folder, and often the number of their process.
    partial = program.with_name(f".{program.name}.{os.urandom(8).hex()}")
    partial.write_bytes(_program(data, source.url))
    partial.chmod(0o755)
    partial.replace(program)
    return program


def _program(data: bytes, url: str) -> bytes:
    """The file `uv` of a tar.gz, or the data itself."""
    import tarfile

    if data[:2] != b"\x1f\x8b":
        return data
    found = None
    with suppress(tarfile.TarError), tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = next((each for each in tar if each.isfile() and each.name.rpartition("/")[2] == "uv"), None)
        file = tar.extractfile(member) if member else None
        found = file.read() if file else None
    if found is None:
        raise FederationError(f"the archive at {url} holds no file named uv", hint="use one of uv's own releases")
    return found
